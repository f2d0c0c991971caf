"""A sweep: one configuration in variants. What they share is made once, what differs fans out.

Each variant is a run of its own in the results table. Its corpus, tokenizer, sequences and
pre-training are kept under the name of the sweep, so that variants which agree in one of them have
the same artifact.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, LocalExecutor, StageContext, Worker
from electra_pipeline.core.identity import canonical_json
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.pretraining import loop
from electra_pipeline.results import pretraining
from electra_pipeline.results.cost_recording import metered
from electra_pipeline.results.tables import table
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.workflows.variants import Variant, label_of, text_of


@dataclass
class Result:
    """What became of a variant: its rows of the results table, and the errors that lost a part."""

    variant: Variant
    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One pre-training, for all variants that agree in it."""

    members: Sequence[Result]
    corpus: Artifact
    tokenizer: Artifact
    sequences: Artifact

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


def check(variants: Sequence[Variant], executor: Executor) -> None:
    """Refuse, before any work, what can be known to fail in any variant; ValueError names it."""
    checked = []
    for variant in variants:
        config = variant.config
        if config.finetune in checked:  # reading a task's data may take minutes
            config = config.model_copy(update={"finetune": None})
        checked.append(config.finetune)
        try:
            stages.check(config, executor)
        except ValueError as error:
            raise ValueError(f"variant {variant.label}: {error}") from error


def run(variants: Sequence[Variant], executor: Executor, progress: Progress) -> list[Result]:
    """Train, publish, evaluate and record every variant; what fails loses only its own part.

    Pre-trainings fan out over `executor`, each on one worker with its share of the machine, then
    the fine-tuning trials of all variants. Started again, it goes on where it was.
    """
    check(variants, executor)
    found = [Result(variant) for variant in variants]
    jobs = list(plan(found, executor, progress))
    trials: list[Trial] = []
    shared = variants[0].shared
    with metered(shared.database_url, shared.name, "pretrain", executor) as meter:
        outcomes = meter.train_each(_pretrain, jobs, progress)
        for num_done, outcome in enumerate(outcomes, start=1):
            job = jobs[outcome.index]
            for result in job.members:
                with _losing(result):
                    if outcome.error is not None:
                        raise outcome.error
                    assert outcome.value is not None
                    trials += _publish(result, job, outcome.value)
            progress(Update("pretrain", num_done, len(jobs), "models"))
    _evaluate(found, trials, executor, progress)
    return found


def plan(found: Sequence[Result], executor: Executor, progress: Progress) -> Iterator[Job]:
    """Make what pre-training reads, each thing once, and join the variants that agree in all."""
    tools: dict[str, Any] = {"executor": executor, "progress": progress}
    for same_corpus, corpus in _made(found, "corpus", partial(stages.build_corpus, **tools)):
        make = partial(stages.train_tokenizer, corpus=corpus, progress=progress)
        for same_tokenizer, tokenizer in _made(same_corpus, "tokenizer", make):
            make = partial(stages.build_sequences, corpus=corpus, tokenizer=tokenizer, **tools)
            for same_sequences, sequences in _made(same_tokenizer, "sequences", make):
                for members in _agreeing(same_sequences, "pretrain"):
                    yield Job(members, corpus, tokenizer, sequences)


def _made(
    found: Sequence[Result], stage: str, make: Callable[[PipelineConfig], Artifact]
) -> Iterator[tuple[list[Result], Artifact]]:
    """The artifact of each configuration of a stage, and the variants that it is for."""
    for members in _agreeing(found, stage):
        try:
            made = make(members[0].variant.shared)
        except Exception as error:
            for result in members:
                result.errors.append(str(error))
        else:
            yield members, made


def _agreeing(found: Sequence[Result], stage: str) -> list[list[Result]]:
    groups: dict[bytes, list[Result]] = {}
    for result in found:
        values = getattr(result.variant.config, stage).model_dump(mode="json")
        groups.setdefault(canonical_json(values), []).append(result)
    return list(groups.values())


def _pretrain(job: Job, worker: Worker) -> Artifact:
    def report(update: Update) -> None:
        worker.report(replace(update, stage=job.label))

    here = LocalExecutor(worker.num_threads)
    config = job.members[0].variant.shared
    return loop.pretrain(
        config.pretrain,
        job.tokenizer,
        job.sequences,
        StageContext(config.root, config.name, here, report),
        scale=config.scale,
    )


def _publish(result: Result, job: Job, pretrained: Artifact) -> list[Trial]:
    """Publish and record one variant's model; return the trials that evaluate it."""
    config = result.variant.config
    model = stages.publish(config, pretrained, job.tokenizer, job.corpus)
    result.rows += stages.record_pretraining(config, job.sequences, pretrained, model)
    return stages.plan_trials(config, model)


def _evaluate(
    found: Sequence[Result], trials: Sequence[Trial], executor: Executor, progress: Progress
) -> None:
    by_name = {result.variant.name: result for result in found}
    finished: dict[str, list[Artifact]] = {name: [] for name in by_name}
    for outcome in stages.run_trials(found[0].variant.config, trials, executor, progress):
        trial = trials[outcome.index]
        if outcome.value is None:
            by_name[trial.run].errors.append(f"trial {trial.label}: {outcome.error}")
        else:
            finished[trial.run].append(outcome.value)
    for name, result in by_name.items():
        with _losing(result):
            result.rows += stages.record_results(result.variant.config, finished[name])


@contextmanager
def _losing(result: Result) -> Iterator[None]:
    """Whatever fails in here is an error of this variant, and of no other."""
    try:
        yield
    except Exception as error:
        result.errors.append(str(error))


def summary(found: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Column names, and one line for each variant: its values, held-out metrics, tasks' medians."""
    paths = list(found[0].variant.values)
    scores: list[dict[str, str]] = []
    for result in found:
        of_tasks, _ = pretraining.split(result.rows)
        summaries = table.aggregate(row for row in of_tasks if row["model"] == "pretrained")
        scores.append(
            {
                f"{each['task']} {each['metric']}, {each['split']}": table.score_text(each)
                for each in summaries
            }
        )
    columns = list(dict.fromkeys(column for score in scores for column in score))
    lines = []
    for result, score in zip(found, scores, strict=True):
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
