"""Evaluate models: plan their fine-tuning trials, run them, record and report the results.

Failed trials do not stop the others. `Evaluation.raise_errors` is called last, when everything else
is recorded and shown.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import (
    Executor,
    Outcome,
    Resources,
    SkippedError,
    StageContext,
    Worker,
    cpus_of_this_process,
)
from electra_pipeline.core.progress import Update
from electra_pipeline.finetuning import plan
from electra_pipeline.finetuning import run as finetuning
from electra_pipeline.finetuning.order import longest_first, parents
from electra_pipeline.finetuning.trial import Trial, find_trial
from electra_pipeline.results.cost_recording import metered
from electra_pipeline.storage.artifact import Artifact, open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.uri import check_model_allowed
from electra_pipeline.workflows.record import record_trials
from electra_pipeline.workflows.report import write_report

logger = logging.getLogger(__name__)

# What a CPU core computes in the 15 seconds that Ray and its workers take to start: the quick
# start's trials reach 2.7e10 operations a second (an AMD EPYC, Zen 3).
RAY_START_OPERATIONS = 4e11


@dataclass
class Evaluation:
    """The trials that finished and failed, and the rows and the report that were written."""

    finished: list[tuple[Trial, Artifact]] = field(default_factory=list)
    failed: list[tuple[Trial, Exception]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    missing_rows: list[str] = field(default_factory=list)
    """Name and error of each task whose rows could not be computed from its finished trials."""
    report: str = ""

    def of_run(self, run: str) -> "Evaluation":
        """The trials of one of several runs; without rows."""
        return Evaluation(
            [each for each in self.finished if each[0].run == run],
            [each for each in self.failed if each[0].run == run],
        )

    def record(self, config: PipelineConfig) -> None:
        """Write the rows of the finished trials into the results table."""
        artifacts = [artifact for _, artifact in self.finished]
        self.rows, self.missing_rows = record_trials(config, artifacts)

    @property
    def failed_trials(self) -> list[str]:
        """Label and error of each failed or skipped trial, with the run if there are several."""
        several = len({trial.run for trial, _ in (*self.finished, *self.failed)}) > 1
        return [_describe(trial, error, with_run=several) for trial, error in self.failed]

    def raise_errors(self) -> None:
        """Raise RuntimeError if a trial failed or rows are missing; the message names each."""
        problems = []
        if failed := self.failed_trials:
            num_trials = len(self.finished) + len(failed)
            num_skipped = sum(isinstance(error, SkippedError) for _, error in self.failed)
            skipped = f" and {num_skipped} were skipped" if num_skipped else ""
            problems.append(
                f"{len(failed) - num_skipped} of {num_trials} trials failed{skipped}, "
                f"the others are recorded: {'; '.join(failed)}"
            )
        if self.missing_rows:
            problems.append(
                f"no rows of {len(self.missing_rows)} tasks, the others are recorded: "
                f"{'; '.join(self.missing_rows)}"
            )
        if problems:
            raise RuntimeError("; ".join(problems))


def _describe(trial: Trial, error: Exception, with_run: bool) -> str:
    label = trial.full_label if with_run else trial.label
    if isinstance(error, SkippedError) and trial.parent is not None:
        return f"{label}: skipped, because its parent trial ({trial.parent.label}) did not finish"
    return f"{label}: {str(error).removeprefix(f'{trial.label}: ')}"


def find_model(uri: str) -> Artifact | str:
    """Return the published or fine-tuned artifact at a path or URI, else `uri` itself.

    Raises ValueError if the URI is not allowed.
    """
    check_model_allowed(uri)
    folder = Folder(uri)
    return (open_artifact(folder) if folder.exists() else None) or uri


def plan_trials(config: PipelineConfig, model: Artifact | str) -> list[Trial]:
    """Plan one trial for each task, seed and init.

    `model` is an artifact, a Hugging Face directory, a URI or a hub name. Raises ValueError for a
    configuration without tasks, and for a model or data that cannot be used.
    """
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    return plan.plan(config.finetune, model, config.context())


def evaluate(
    config: PipelineConfig, model: Artifact | str, trials: Sequence[Trial], context: StageContext
) -> Evaluation:
    """Run the planned trials of a model, record their rows and write the report."""
    found = run(config, trials, context)
    found.record(config)
    found.report = write_report(config, model, found.rows)
    return found


def run(config: PipelineConfig, trials: Sequence[Trial], context: StageContext) -> Evaluation:
    """Run trials, of one or of several runs; their costs are recorded under `config.name`."""
    found = Evaluation()
    for outcome in run_trials(config, trials, context):
        trial = trials[outcome.index]
        if outcome.value is not None:
            found.finished.append((trial, outcome.value))
        else:
            found.failed.append((trial, outcome.error or RuntimeError("no artifact")))
    return found


def run_trials(
    config: PipelineConfig, trials: Sequence[Trial], context: StageContext
) -> Iterator[Outcome[Artifact]]:
    """Yield the outcome of each trial as it finishes; a failure skips only the trial's children.

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
    missing = longest_first(missing)
    started = time.monotonic()
    made: list[tuple[Trial, Artifact]] = []
    resources_by_memory = _resources_by_memory(config, missing, context.executor)
    with metered(config.database_url, config.name, "finetune", context.executor) as meter:
        outcomes = meter.map(
            partial(
                finetuning.run_trial,
                num_threads=config.scale.cpus_per_trial,
                precision=config.scale.precision,
            ),
            missing,
            resources=lambda trial: resources_by_memory[trial.estimate.memory_bytes],
            after=parents(missing),
            progress=context.progress,
        )
        for num_done, outcome in enumerate(outcomes, start=len(trials) - len(missing) + 1):
            context.progress(Update("finetune", num_done, len(trials), "trials"))
            trial = missing[outcome.index]
            if outcome.value is not None:
                if not made:
                    logger.info(
                        "finetune: matrix products in %s", outcome.value.observed["precision"]
                    )
                made.append((trial, outcome.value))
            yield replace(outcome, index=positions[id(trial)])
    if len(missing) > 1:
        log_utilization(config, made, context.executor, time.monotonic() - started)


def gains_from_ray(config: PipelineConfig, trials: Sequence[Trial]) -> bool:
    """Return whether the missing trials end sooner in parallel on Ray than one after another here.

    They do if two fit on this machine, and all but the longest take more time than Ray's start.
    """
    missing = [trial.estimate.operations for trial in trials if find_trial(trial) is None]
    on_gpu = Worker().device.type == "cuda"
    has_room = on_gpu or cpus_of_this_process() >= 2 * config.scale.cpus_per_trial
    return has_room and sum(missing) - max(missing, default=0) > RAY_START_OPERATIONS


def log_utilization(
    config: PipelineConfig,
    made: Sequence[tuple[Trial, Artifact]],
    executor: Executor,
    wall_seconds: float,
) -> float:
    """Log and return the utilization of the executor's slots: busy time over slots x wall time.

    1 is the maximum. Below it are starts of processes, and slots that stay empty while the last
    trials end.
    """
    resources_by_memory = _resources_by_memory(config, [trial for trial, _ in made], executor)
    slots_by_memory = {
        memory_bytes: executor.slots(resources)
        for memory_bytes, resources in resources_by_memory.items()
    }
    slots = [slots_by_memory[trial.estimate.memory_bytes] for trial, _ in made]
    seconds = [float(artifact.observed["seconds"]) for _, artifact in made]
    utilization = sum(each / most for each, most in zip(seconds, slots, strict=True)) / wall_seconds
    logger.info(
        "finetune: %d trials in %.0f s, %d at a time, utilization %.0f %%; one after another they "
        "take %.0f s",
        *(len(made), wall_seconds, max(slots, default=0), 100 * utilization, sum(seconds)),
    )
    return utilization


def _resources_by_memory(
    config: PipelineConfig, trials: Sequence[Trial], executor: Executor
) -> dict[int, Resources]:
    """Resources of the trials by the memory, in bytes, that they need."""
    return {
        memory_bytes: executor.trial_resources(config.scale, memory_bytes)
        for memory_bytes in {trial.estimate.memory_bytes for trial in trials}
    }
