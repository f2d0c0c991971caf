"""Commands that run the chain, a stage, an evaluation, a sweep or a learning curve."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from electra_pipeline.cli.options import (
    ConfigOption,
    DatabaseOption,
    PresetOption,
    RootOption,
    SetOption,
)
from electra_pipeline.cli.runtime import local_runtime, print_error, trial_runtime

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.core.execution import StageContext, StageName
    from electra_pipeline.storage.artifact import Artifact

DEFAULT_EVALUATION = "glue"  # the preset of `evaluate`


def run(config: "PipelineConfig") -> None:
    """Run the whole chain as a Prefect flow."""
    from electra_pipeline.results.aggregation import aggregate
    from electra_pipeline.results.database import redacted_database
    from electra_pipeline.results.tables.results_table import render_results
    from flows.local import run_here

    summary = run_here(config, debug="--debug" in sys.argv)
    if summary.rows:
        print(render_results(aggregate(summary.rows), "table"))
    if summary.report:
        print(f"report   {summary.report}")
    print(f"results  {redacted_database(config.database_url)}")
    print(f"model    {summary.model}")


def stage(last: "StageName") -> "Callable[[PipelineConfig], None]":
    """Return the command that runs the chain up to the stage `last`, without Prefect."""

    def command(config: "PipelineConfig") -> None:
        from electra_pipeline import stages
        from electra_pipeline.workflows import preflight
        from electra_pipeline.workflows.record import record_pretraining

        with local_runtime(config) as context:
            preflight.check(config, context.executor)
            made = stages.run_until(last, config, context)
            if last == "publish":
                record_pretraining(config, made)
        print(made[last].folder)

    return command


def finetune(config: "PipelineConfig") -> None:
    """Fine-tune and evaluate the model of a configuration; record the results. Without Prefect.

    Runs the stages that are not finished first.
    """
    from electra_pipeline import stages
    from electra_pipeline.workflows import preflight
    from electra_pipeline.workflows.record import record_pretraining

    with local_runtime(config) as context:
        preflight.check(config, context.executor)
        preflight.check_evaluation(config, context.executor)
        made = stages.run_until("publish", config, context)
        pretraining = record_pretraining(config, made)
        _evaluate(config, made["publish"], context, pretraining)


def evaluate(
    model: Annotated[
        str, typer.Argument(help="An artifact, a model directory, a URI or a hub name.")
    ],
    preset: PresetOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    root: RootOption = None,
    database: DatabaseOption = None,
) -> None:
    """Fine-tune and evaluate an existing model: of this pipeline, or any Hugging Face encoder.

    Of the configuration only root, database, finetune and scale are used; the default is the preset
    glue. The run is named after the model (--set name=... changes that). Without Prefect.
    """
    from electra_pipeline import config as configuration
    from electra_pipeline.results.database import redacted_database
    from electra_pipeline.workflows import preflight
    from electra_pipeline.workflows.evaluate import find_model

    is_given = preset is not None or config is not None
    values, origin = configuration.read(
        preset=preset if is_given else DEFAULT_EVALUATION,
        file=config,
        overrides=set_ or [],
        root=root,
        database=database,
    )
    found = find_model(model)
    if not any(each.startswith("name=") for each in set_ or []):
        values["name"] = configuration.name_of(model if isinstance(found, str) else found.name)
    chosen = configuration.validate(values, origin)
    with local_runtime(chosen) as context:
        preflight.check_evaluation(chosen, context.executor)
        _evaluate(chosen, found, context, [])
    print(f"results  {redacted_database(chosen.database_url)}")


def _evaluate(
    config: "PipelineConfig",
    model: "Artifact | str",
    context: "StageContext",
    pretraining: list[dict[str, Any]],
) -> None:
    """Evaluate a model, print its results below those of its pre-training, and fail last."""
    from electra_pipeline.results.aggregation import aggregate
    from electra_pipeline.results.tables.results_table import render_results
    from electra_pipeline.workflows import evaluate as evaluation

    trials = evaluation.plan_trials(config, model)
    with trial_runtime(config, trials, context) as context_of_trials:
        found = evaluation.evaluate(config, model, trials, context_of_trials)
    print(render_results(aggregate([*pretraining, *found.rows]), "table"))
    print(found.report)
    found.raise_errors()


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
    database: DatabaseOption = None,
) -> None:
    """Run variants of a configuration in parallel on Ray; each is a run in the results table.

    Corpus, tokenizer, sequences and pre-trainings that variants have in common are made once. Each
    variant trains on one worker (scale.workers counts as 1), and as many at once as the machine
    has room for. Without Prefect.
    """
    from electra_pipeline import config as configuration
    from electra_pipeline.results.database import redacted_database
    from electra_pipeline.results.tables.text_table import render_table
    from electra_pipeline.workflows import sweep as sweeps
    from electra_pipeline.workflows.variants import expand

    values, origin = configuration.read(
        preset=preset, file=config, overrides=set_ or [], root=root, database=database
    )
    variants = expand(values, origin, vary)
    with local_runtime(variants[0].shared, use_ray=True) as context:
        results = sweeps.run(variants, context)
    print(render_table(*sweeps.summary(results), "table"))
    print(f"results  {redacted_database(variants[0].config.database_url)}")
    failed = [result for result in results if result.errors]
    for result in failed:
        for error in result.errors:
            print_error(f"variant {result.variant.label}: {error}")
    if failed:
        names = "; ".join(result.variant.label for result in failed)
        raise RuntimeError(
            f"{len(failed)} of {len(results)} variants failed ({names}); the others are recorded"
        )


def learning_curve(config: "PipelineConfig") -> None:
    """Fine-tune and score the kept checkpoints of a pre-training: its learning curve on tasks.

    scale.keep_every_steps keeps them; the pre-training may still be running. Without Prefect.
    """
    from electra_pipeline.results import learning_curves as curves
    from electra_pipeline.results.tables.text_table import render_table
    from electra_pipeline.workflows import learning_curve as workflow
    from electra_pipeline.workflows.report import write_report

    with local_runtime(config) as context:
        found = workflow.run(config, context)
    rows = found.evaluation.rows
    print(render_table(*curves.table(curves.learning_curves(rows, found.steps)), "table"))
    of_newest = [row for row in rows if row["fingerprint"] == found.newest.fingerprint]
    print(write_report(config, found.newest, of_newest))
    found.evaluation.raise_errors()
