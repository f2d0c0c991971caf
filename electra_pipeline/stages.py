"""The chain, in running order: each stage is called with the whole configuration and its inputs.

Flows wrap these calls in tasks, the command line calls them one after another; both take the same
steps. Where the work runs is the executor's business.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import (
    Executor,
    LocalWorker,
    Outcome,
    Resources,
    StageContext,
    cpus_of_this_process,
)
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.corpus import build as corpus_stage
from electra_pipeline.finetuning import order, plan, run
from electra_pipeline.finetuning.rows import reported_rows
from electra_pipeline.finetuning.trial import Trial, find_trial
from electra_pipeline.pretraining import loop, sequences
from electra_pipeline.publishing import huggingface
from electra_pipeline.results import pretraining, store
from electra_pipeline.results.cost_recording import driver_metered, metered
from electra_pipeline.storage import local_folders
from electra_pipeline.storage.artifact import Artifact, open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.permissions import check_writable
from electra_pipeline.storage.uri import check_model
from electra_pipeline.text.losses import warn_of_loss
from electra_pipeline.tokenizer import train as tokenizer_stage
from electra_pipeline.workflows.preflight import check_places
from electra_pipeline.workflows.report import render

logger = logging.getLogger(__name__)

# What a CPU core computes in the 15 seconds that Ray and its workers take to start: the quick
# start's trials reach 2.7e10 operations a second (an AMD EPYC, Zen 3).
RAY_START_OPERATIONS = 4e11
RECORD_DELAYS_SECONDS = (1.0, 5.0, 15.0, 45.0)  # a server that is started again is there by then


def check(config: PipelineConfig, executor: Executor) -> None:
    """Refuse, before any work, whatever can be known to fail; raises ValueError in one line."""
    if config.corpus is None:
        raise ValueError(
            "corpus: missing; name its sources, or evaluate a model that is there: evaluate MODEL"
        )
    _check_place(config, executor)
    tokenizer_stage.check(config.tokenizer)
    loop.check(config.pretrain, config.sequences.length, config.scale)
    if config.finetune is not None:
        plan.check(config.finetune)


def check_evaluation(config: PipelineConfig, executor: Executor) -> None:
    """`check`, for the evaluation of a model that is there; `plan_trials` checks model and data."""
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    _check_place(config, executor)


def _check_place(config: PipelineConfig, executor: Executor) -> None:
    check_places(config)
    executor.check(config.scale, config.root)
    local_folders.temporary().check()
    if not Folder(config.root).is_local:
        local_folders.cache().check()
    check_writable(Folder(config.root))
    store.check(config.database_url)


def build_corpus(config: PipelineConfig, executor: Executor, progress: Progress) -> Artifact:
    """Sources -> clean, deduplicated documents, none of which holds what models are scored on."""
    if config.corpus is None:
        raise ValueError("corpus: missing; name its sources")
    wanted = config.corpus.decontaminate
    examples = (
        plan.scored_texts(config.finetune)
        if wanted is not None and wanted.tasks and config.finetune is not None
        else {}
    )
    with metered(config.database_url, config.name, "corpus", executor) as meter:
        return corpus_stage.build(
            config.corpus,
            StageContext(config.root, config.name, meter, progress),
            examples=examples,
        )


def train_tokenizer(config: PipelineConfig, corpus: Artifact, progress: Progress) -> Artifact:
    """Documents -> WordPiece vocabulary."""
    with driver_metered(config.database_url, config.name, "tokenizer"):
        return tokenizer_stage.train(
            config.tokenizer, corpus, StageContext(config.root, config.name, progress=progress)
        )


def build_sequences(
    config: PipelineConfig,
    corpus: Artifact,
    tokenizer: Artifact,
    executor: Executor,
    progress: Progress,
) -> Artifact:
    """Documents and vocabulary -> sequences of ids."""
    with metered(config.database_url, config.name, "sequences", executor) as meter:
        return sequences.build(
            config.sequences,
            corpus,
            tokenizer,
            StageContext(config.root, config.name, meter, progress),
        )


def pretrain(
    config: PipelineConfig,
    tokenizer: Artifact,
    sequences: Artifact,
    executor: Executor,
    progress: Progress,
) -> Artifact:
    """Sequences -> generator and discriminator."""
    with metered(config.database_url, config.name, "pretrain", executor) as meter:
        return loop.pretrain(
            config.pretrain,
            tokenizer,
            sequences,
            StageContext(config.root, config.name, meter, progress),
            scale=config.scale,
        )


def publish(
    config: PipelineConfig, pretrained: Artifact, tokenizer: Artifact, corpus: Artifact
) -> Artifact:
    """Weights, tokenizer and card -> directories that plain transformers loads."""
    with driver_metered(config.database_url, config.name, "publish"):
        return huggingface.publish(
            config.publish, pretrained, tokenizer, corpus, StageContext(config.root, config.name)
        )


def find_model(place: str) -> Artifact | str:
    """The published or fine-tuned artifact at a place, or else the place itself.

    Raises ValueError if the place is not allowed.
    """
    check_model(place)
    folder = Folder(place)
    return (open_artifact(folder) if folder.exists() else None) or place


def plan_trials(config: PipelineConfig, model: Artifact | str) -> list[Trial]:
    """One trial for each task, seed and starting model; none without a finetune section.

    `model` is an artifact, a Hugging Face directory, a URI or a hub name.
    """
    if config.finetune is None:
        return []
    return plan.plan(config.finetune, model, StageContext(config.root, config.name))


def run_trials(
    config: PipelineConfig, trials: Sequence[Trial], executor: Executor, progress: Progress
) -> Iterator[Outcome[Artifact]]:
    """Outcomes of all trials as they finish; a failed trial loses only itself and those after it.

    Finished trials are looked up here: asking a worker would cost seconds for each. The others run
    the longest first, each after its parent. Where several ran, their utilization of the executor
    is logged.
    """
    positions = {id(trial): index for index, trial in enumerate(trials)}
    missing = []
    for index, trial in enumerate(trials):
        if (found := find_trial(trial)) is not None:
            yield Outcome(index, value=found)
        else:
            missing.append(trial)
    missing = order.longest_first(missing)
    started, made = time.monotonic(), []
    resources_by_memory = _trial_resources(config, missing, executor)
    with metered(config.database_url, config.name, "finetune", executor) as meter:
        outcomes = meter.map(
            partial(run.run_trial, num_threads=config.scale.cpus_per_trial),
            missing,
            resources=lambda trial: resources_by_memory[trial.estimate.memory_bytes],
            after=order.parents(missing),
            progress=progress,
        )
        for num_done, outcome in enumerate(outcomes, start=len(trials) - len(missing) + 1):
            progress(Update("finetune", num_done, len(trials), "trials"))
            trial = missing[outcome.index]
            if outcome.value is not None:
                made.append((trial, outcome.value))
            yield replace(outcome, index=positions[id(trial)])
    if len(missing) > 1:
        log_utilization(config, made, executor, time.monotonic() - started)


def gain_from_ray(config: PipelineConfig, trials: Sequence[Trial]) -> bool:
    """Whether the trials that have not run end sooner side by side than one after another here.

    They do if there is room for two, and what need not be waited for costs more than Ray's start.
    """
    missing = [trial.estimate.operations for trial in trials if find_trial(trial) is None]
    on_gpu = LocalWorker().device.type == "cuda"
    has_room = on_gpu or cpus_of_this_process() >= 2 * config.scale.cpus_per_trial
    return has_room and sum(missing) - max(missing, default=0) > RAY_START_OPERATIONS


def log_utilization(
    config: PipelineConfig,
    made: Sequence[tuple[Trial, Artifact]],
    executor: Executor,
    wall_seconds: float,
) -> float:
    """Say, and return, the share of a fan-out's time in which its slots were busy with trials.

    Busy time over slots x wall time: 1 is as fast as the place can be. What is missing are starts
    of processes, and slots that have nothing left to do while the last trials end.
    """
    resources_by_memory = _trial_resources(config, [trial for trial, _ in made], executor)
    at_once = {
        memory_bytes: executor.slots(resources)
        for memory_bytes, resources in resources_by_memory.items()
    }
    slots = [at_once[trial.estimate.memory_bytes] for trial, _ in made]
    seconds = [float(artifact.observed["seconds"]) for _, artifact in made]
    busy = sum(each / most for each, most in zip(seconds, slots, strict=True)) / wall_seconds
    logger.info(
        "finetune: %d trials in %.0f s, %d at once, busy for %.0f %% of the slots' time; one after "
        "another they take %.0f s",
        *(len(made), wall_seconds, max(slots, default=0), 100 * busy, sum(seconds)),
    )
    return busy


def _trial_resources(
    config: PipelineConfig, trials: Iterable[Trial], executor: Executor
) -> dict[int, Resources]:
    """What trials take of a node, by the memory that they need."""
    needed = {trial.estimate.memory_bytes for trial in trials}
    return {
        memory_bytes: executor.trial_resources(config.scale, memory_bytes)
        for memory_bytes in needed
    }


def record_pretraining(
    config: PipelineConfig, sequences: Artifact, pretrained: Artifact, model: Artifact
) -> list[dict[str, Any]]:
    """Write what held-out text says of a model into the results table and return the rows."""
    rows = pretraining.rows(config.name, pretrained, model, sequences)
    _record(config, rows)
    return rows


class LostRowsError(RuntimeError):
    """The rows of some tasks cannot be made; `rows` are those of the others."""

    def __init__(self, message: str, rows: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message, rows)  # both, for pickling
        self.rows = list(rows)

    def __str__(self) -> str:
        return str(self.args[0])


def record_results(config: PipelineConfig, trials: Iterable[Artifact]) -> list[dict[str, Any]]:
    """Write the rows of finished trials into the results table and return them.

    Raises LostRowsError, with the others recorded, that names each task whose rows cannot be made.
    """
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    by_task: dict[str, list[Artifact]] = {}
    for trial in trials:
        by_task.setdefault(trial.config["task"], []).append(trial)
    for task, members in by_task.items():
        try:
            _warn_of_cut_inputs(task, members[0])
            rows += reported_rows(config.finetune, members) if config.finetune else []
        except Exception as error:  # whatever it is, it loses the rows of this task alone
            failures.append(f"{task}: {type(error).__name__}: {error}")
    _record(config, rows)
    if failures:
        raise LostRowsError(
            f"no rows of {len(failures)} tasks, the others are recorded: {'; '.join(failures)}",
            rows,
        )
    return rows


def _warn_of_cut_inputs(task: str, trial: Artifact) -> None:
    """Log how much of a task's training texts its inputs have no room for, if it is much."""
    warn_of_loss(
        f"finetune: {task}",
        f"beyond the {trial.config['max_length']} tokens of an input",
        trial.counters["truncated_train_characters"],
        trial.counters["train_characters"],
        "raise finetune.max_length",
    )


def _record(config: PipelineConfig, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows into the results table, for which a database may be away for a minute.

    Raises ValueError if it stays away, or refuses.
    """
    for delay_seconds in (*RECORD_DELAYS_SECONDS, None):
        try:
            return store.record(config.database_url, rows)
        except ValueError as error:
            if delay_seconds is None or not isinstance(error, store.UnreachableError):
                raise ValueError(
                    f"{error}; what is finished is kept, run it again to record it"
                ) from error
            logger.warning("%s; trying again in %g s", error, delay_seconds)
            time.sleep(delay_seconds)
    return None


def read_costs(config: PipelineConfig) -> list[dict[str, Any]]:
    """What the run has cost so far: a row for each attempt at a stage."""
    return store.read_costs(config.database_url, run=config.name)


def write_report(
    config: PipelineConfig, model: Artifact | str, rows: Sequence[dict[str, Any]]
) -> str:
    """Write the run's report beside its artifacts; return its place."""
    name = f"{config.name}-report.html"
    ours = model if isinstance(model, Artifact) else None
    folder = Folder(config.root)
    pages = render(config.root, config.database_url, config.name, ours, rows, name)
    for page, text in pages.items():
        folder.write_bytes(page, text.encode())
    return folder.join(name) if folder.is_local else f"{config.root.rstrip('/')}/{name}"
