"""Run a sweep: one configuration in variants, which share what they have in common.

Each variant is a run of its own in the results table. Corpus, tokenizer, sequences and pre-training
are written under the name of the sweep, so that variants with equal settings of a stage share its
artifact.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from electra_pipeline.core.execution import LocalExecutor, StageContext, StageName, Worker
from electra_pipeline.core.identity import canonical_json
from electra_pipeline.core.progress import Update
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.results import pretraining
from electra_pipeline.results.aggregation import aggregate
from electra_pipeline.results.cost_recording import metered
from electra_pipeline.results.tables.results_table import score_text
from electra_pipeline.stages import STAGES, Artifacts, run_stage
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.workflows import evaluate, preflight
from electra_pipeline.workflows.record import record_pretraining
from electra_pipeline.workflows.variants import Variant, label_of, text_of


@dataclass
class Result:
    """The rows of a variant in the results table, and the errors of the parts that failed."""

    variant: Variant
    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One pre-training, for all variants with equal settings up to it."""

    members: Sequence[Result]
    inputs: Artifacts

    @property
    def label(self) -> str:
        """The values that its members have in common."""
        first, *others = (each.variant.values for each in self.members)
        common = {
            path: value
            for path, value in first.items()
            if all(other[path] == value for other in others)
        }
        return label_of(common) or "pretrain"


def check(variants: Sequence[Variant], context: StageContext) -> None:
    """Raise ValueError, before any work, that names a variant which is certain to fail."""
    checked = []
    for variant in variants:
        config = variant.config
        if config.finetune in checked:  # reading a task's data may take minutes
            config = config.model_copy(update={"finetune": None})
        checked.append(config.finetune)
        try:
            preflight.check(config, context.executor)
        except ValueError as error:
            raise ValueError(f"variant {variant.label}: {error}") from error


def run(variants: Sequence[Variant], context: StageContext) -> list[Result]:
    """Train, publish, evaluate and record every variant; a failure affects only its own variants.

    Pre-trainings run in parallel, each on one worker with its part of the machine, then the
    fine-tuning trials of all variants. A second call resumes. `context` has the name of the sweep.
    """
    check(variants, context)
    results = [Result(variant) for variant in variants]
    jobs = plan(results, context)
    trials: list[Trial] = []
    shared = variants[0].shared
    with metered(shared.database_url, shared.name, "pretrain", context.executor) as meter:
        outcomes = meter.train_each(_pretrain, jobs, context.progress)
        for num_done, outcome in enumerate(outcomes, start=1):
            job = jobs[outcome.index]
            for result in job.members:
                with _errors_added_to(result):
                    if outcome.error is not None:
                        raise outcome.error
                    assert outcome.value is not None
                    trials += _publish(result, {**job.inputs, "pretrain": outcome.value}, context)
            context.progress(Update("pretrain", num_done, len(jobs), "models"))
    found = evaluate.run(variants[0].config, trials, context)
    for result in results:
        of_variant = found.of_run(result.variant.name)
        result.errors += [f"trial {each}" for each in of_variant.failed_trials]
        with _errors_added_to(result):
            of_variant.record(result.variant.config)
            result.rows += of_variant.rows
            result.errors += of_variant.missing_rows
    return results


def plan(results: Sequence[Result], context: StageContext) -> list[Job]:
    """Run the stages before pre-training, once for equal settings; return the pre-trainings."""
    groups: list[tuple[Sequence[Result], Artifacts]] = [(results, {})]
    for name in STAGES:
        groups = [
            (members, inputs) for group, inputs in groups for members in _group_by(name, group)
        ]
        if name == "pretrain":
            break
        groups = [
            (members, {**inputs, name: made})
            for members, inputs in groups
            if (made := _run_stage(name, members, context, inputs)) is not None
        ]
    return [Job(members, inputs) for members, inputs in groups]


def _run_stage(
    name: StageName, members: Sequence[Result], context: StageContext, inputs: Artifacts
) -> Artifact | None:
    """Return the artifact that the members share, or None and add the error to each of them."""
    try:
        return run_stage(name, members[0].variant.shared, context, inputs)
    except Exception as error:
        for result in members:
            result.errors.append(str(error))
        return None


def _group_by(name: StageName, results: Sequence[Result]) -> list[list[Result]]:
    """Split variants by their settings of a stage."""
    groups: dict[bytes, list[Result]] = {}
    for result in results:
        values = getattr(result.variant.config, name).model_dump(mode="json")
        groups.setdefault(canonical_json(values), []).append(result)
    return list(groups.values())


def _pretrain(job: Job, worker: Worker) -> Artifact:
    def report(update: Update) -> None:
        worker.report(replace(update, stage=job.label))

    config = job.members[0].variant.shared
    context = config.context(LocalExecutor(worker.num_threads), report)
    return STAGES["pretrain"].function(config, context, job.inputs)


def _publish(result: Result, made: Artifacts, context: StageContext) -> list[Trial]:
    """Publish and record the model of one variant; return the trials that evaluate it."""
    config = result.variant.config
    model = run_stage("publish", config, config.context(context.executor, context.progress), made)
    result.rows += record_pretraining(config, {**made, "publish": model})
    return evaluate.plan_trials(config, model) if config.finetune is not None else []


@contextmanager
def _errors_added_to(result: Result) -> Iterator[None]:
    """Add any exception of the block to the errors of one variant."""
    try:
        yield
    except Exception as error:
        result.errors.append(str(error))


def summary(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return column names, and for each variant its values, held-out metrics and medians."""
    paths = list(results[0].variant.values)
    scores: list[dict[str, str]] = []
    for result in results:
        of_tasks, _ = pretraining.split(result.rows)
        summaries = aggregate(row for row in of_tasks if row["model"] == "pretrained")
        scores.append(
            {
                f"{each['task']} {each['metric']}, {each['split']}": score_text(each)
                for each in summaries
            }
        )
    columns = list(dict.fromkeys(column for score in scores for column in score))
    lines = []
    for result, score in zip(results, scores, strict=True):
        _, of_pretraining = pretraining.split(result.rows)
        held_out = {row["metric"]: row["value"] for row in of_pretraining}
        lines.append(
            [
                *(text_of(value) for value in result.variant.values.values()),
                *pretraining.cells(held_out),
                *(score.get(column, "-") for column in columns),
                result.variant.name,
            ]
        )
    return [*paths, *pretraining.HEADER, *columns, "run"], lines
