"""Commands that do the work: the whole chain, a stage, variants."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from electra_pipeline.cli.options import (
    ConfigOption,
    DatabaseOption,
    PresetOption,
    RootOption,
    SetOption,
)
from electra_pipeline.cli.runtime import complain, surroundings

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.core.execution import Executor
    from electra_pipeline.core.progress import Progress
    from electra_pipeline.finetuning.trial import Trial
    from electra_pipeline.storage.artifact import Artifact

DEFAULT_EVALUATION = "glue"  # the preset of `evaluate`


def run(config: "PipelineConfig") -> None:
    """Run the whole chain as a Prefect flow, here and now."""
    from electra_pipeline.results import store
    from electra_pipeline.results.tables import table
    from flows.local import run_here

    outcome = run_here(config, debug="--debug" in sys.argv)
    if outcome.rows:
        print(table.render(table.aggregate(outcome.rows), "table"))
    if outcome.report:
        print(f"report   {outcome.report}")
    print(f"results  {store.shown(config.database_url)}")
    print(f"model    {outcome.model}")


def stage(last: str) -> "Callable[[PipelineConfig], None]":
    """The command that runs the stages up to `last`, without Prefect."""

    def command(config: "PipelineConfig") -> None:
        with surroundings(config.name, _wants_ray(config)) as (executor, progress):
            artifact = _run_until(last, config, executor, progress)
        if artifact is not None:
            print(artifact.folder)

    return command


def sweep(
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="PATH=V1,V2",
            help="Values of one key: pretrain.learning_rate=2e-4,5e-4. Given more than once, every "
            "combination is run.",
        ),
    ],
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
) -> None:
    """Run a configuration in variants, fanned out over Ray; each is a run in the results table.

    Corpus, tokenizer, sequences and pre-trainings that variants have in common are made once. Each
    variant trains on one worker (scale.workers counts as 1), and as many at once as the machine
    has room for. Without Prefect.
    """
    from electra_pipeline import config as configuration
    from electra_pipeline.results import store
    from electra_pipeline.results.tables import table
    from electra_pipeline.workflows import sweep as sweeping
    from electra_pipeline.workflows.variants import expand

    given = configuration.read(preset=preset, file=config, overrides=set_ or [], root=root)
    variants = expand(*given, vary)
    with surroundings(variants[0].sweep, use_ray=True) as (executor, progress):
        found = sweeping.run(variants, executor, progress)
    print(table.grid(*sweeping.summary(found), "table"))
    print(f"results  {store.shown(variants[0].config.database_url)}")
    lost = [result for result in found if result.errors]
    for result in lost:
        for error in result.errors:
            complain(f"variant {result.variant.label}: {error}")
    if lost:
        names = "; ".join(result.variant.label for result in lost)
        raise RuntimeError(
            f"{len(lost)} of {len(found)} variants failed ({names}); the others are recorded"
        )


def history(config: "PipelineConfig") -> None:
    """Fine-tune and score the kept checkpoints of a pre-training: its learning curve on tasks.

    They are those that scale.keep_every_steps kept, while the run goes on or after it. Without
    Prefect.
    """
    from electra_pipeline import stages
    from electra_pipeline.results import learning_curves as curves
    from electra_pipeline.results.tables import table
    from electra_pipeline.workflows import learning_curve as past

    with surroundings(config.name, _wants_ray(config)) as (executor, progress):
        found = past.run(config, executor, progress)
    print(table.grid(*curves.table(curves.learning_curves(found.rows, found.steps)), "table"))
    of_newest = [row for row in found.rows if row["fingerprint"] == found.newest.fingerprint]
    print(stages.write_report(config, found.newest, of_newest))
    for line in found.lost:
        complain(line)
    if found.lost:
        raise RuntimeError(
            f"{len(found.lost)} of {found.num_trials} trials failed; the others are recorded"
        )


def _run_until(
    last: str, config: "PipelineConfig", executor: "Executor", progress: "Progress"
) -> "Artifact | None":
    """Run the stages up to `last`; finished ones say so and cost nothing."""
    from electra_pipeline import stages

    stages.check(config, executor)
    corpus = stages.build_corpus(config, executor, progress)
    if last == "corpus":
        return corpus
    tokenizer = stages.train_tokenizer(config, corpus, progress)
    if last == "tokenizer":
        return tokenizer
    sequences = stages.build_sequences(config, corpus, tokenizer, executor, progress)
    if last == "sequences":
        return sequences
    pretrained = stages.pretrain(config, tokenizer, sequences, executor, progress)
    if last == "pretrain":
        return pretrained
    model = stages.publish(config, pretrained, tokenizer, corpus)
    pretraining = stages.record_pretraining(config, sequences, pretrained, model)
    if last == "publish":
        return model
    _finetune(config, model, pretraining, executor, progress)
    return None


def evaluate(
    model: Annotated[
        str, typer.Argument(help="An artifact of ours, a model directory, a URI or a hub name.")
    ],
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
) -> None:
    """Fine-tune and evaluate a model that is there, ours or any Hugging Face encoder.

    Of the configuration only root, database, finetune and scale count; without one it is the preset
    glue. The run is named after the model (--set name=... names it otherwise). Without Prefect.
    """
    from electra_pipeline import config as configuration
    from electra_pipeline import stages
    from electra_pipeline.results import store

    is_given = preset is not None or config is not None
    values, place = configuration.read(
        preset=preset if is_given else DEFAULT_EVALUATION,
        file=config,
        overrides=set_ or [],
        root=root,
    )
    found = stages.find_model(model)
    if not any(each.startswith("name=") for each in set_ or []):
        values["name"] = configuration.name_of(model if isinstance(found, str) else found.name)
    if database is not None:
        values["database"] = database
    chosen = configuration.validate(values, place)
    with surroundings(chosen.name, _wants_ray(chosen)) as (executor, progress):
        stages.check_evaluation(chosen, executor)
        _finetune(chosen, found, [], executor, progress)
    print(f"results  {store.shown(chosen.database_url)}")


def _wants_ray(config: "PipelineConfig") -> bool:
    return config.scale.workers > 1 or bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def _side_by_side(
    config: "PipelineConfig", trials: "list[Trial]", executor: "Executor"
) -> "Iterator[Executor]":
    """A Ray of this command alone, where that ends sooner than one trial after another."""
    from electra_pipeline import stages
    from electra_pipeline.core.execution import LocalExecutor
    from electra_pipeline.on_ray import cluster

    if isinstance(executor, LocalExecutor) and stages.gain_from_ray(config, trials):
        with cluster() as on_ray:
            yield on_ray
    else:
        yield executor


def _finetune(
    config: "PipelineConfig",
    model: "Artifact | str",
    pretraining: "list[dict[str, Any]]",
    executor: "Executor",
    progress: "Progress",
) -> None:
    from electra_pipeline import stages
    from electra_pipeline.results.tables import table

    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    trials = stages.plan_trials(config, model)
    with _side_by_side(config, trials, executor) as place:
        outcomes = list(stages.run_trials(config, trials, place, progress))
    finished = [outcome.value for outcome in outcomes if outcome.value is not None]
    failure: stages.LostRowsError | None = None
    try:
        rows = stages.record_results(config, finished)
    except stages.LostRowsError as lost_rows:
        rows, failure = lost_rows.rows, lost_rows
    print(table.render(table.aggregate([*pretraining, *rows]), "table"))
    print(stages.write_report(config, model, rows))
    lost = [(trials[outcome.index], outcome.error) for outcome in outcomes if outcome.error]
    for trial, error in lost:
        complain(f"trial {trial.label} failed: {error}")
    if failure is not None:
        raise failure
    if lost:
        raise RuntimeError(f"{len(lost)} of {len(trials)} trials failed; the others are recorded")
