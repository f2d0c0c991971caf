"""The stages as Prefect tasks: names, retries and progress around the functions of `pipeline`.

Nothing is cached by Prefect: a finished artifact is what makes a second run do nothing.
"""

import errno
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.storage.artifact import Artifact
from flows.watching import RunProgress

PERMANENT_ERRNOS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS)
TRIAL_LINE_SECONDS = 20.0  # many trials run at once, and each line is a call to the server
RETRY_DELAYS_SECONDS = [10.0, 60.0]


async def may_pass(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may be gone in a minute: networks and servers, never the user's input."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, OSError) and error.errno not in PERMANENT_ERRNOS


PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
RETRIED: dict[str, Any] = {
    **PLAIN,
    "retries": len(RETRY_DELAYS_SECONDS),
    "retry_delay_seconds": RETRY_DELAYS_SECONDS,
    "retry_condition_fn": may_pass,
}


@task(name="check", task_run_name="check", **PLAIN)
def check(config: PipelineConfig, executor: Executor) -> None:
    """Refuse before any work whatever can be known to fail."""
    stages.check(config, executor)


@task(name="check", task_run_name="check", **PLAIN)
def check_evaluation(config: PipelineConfig, executor: Executor) -> None:
    """Refuse before any trial whatever can be known to fail."""
    stages.check_evaluation(config, executor)


@task(name="corpus", task_run_name="corpus", **RETRIED)
def corpus(config: PipelineConfig, executor: Executor) -> Artifact:
    """Sources to clean, deduplicated documents."""
    return stages.build_corpus(config, executor, RunProgress())


@task(name="tokenizer", task_run_name="tokenizer", **PLAIN)
def tokenizer(config: PipelineConfig, corpus: Artifact, executor: RayExecutor) -> Artifact:
    """Documents to a WordPiece vocabulary, in this process."""
    return stages.train_tokenizer(config, corpus, RunProgress(executor.check_open))


@task(name="sequences", task_run_name="sequences", **PLAIN)
def sequences(
    config: PipelineConfig, corpus: Artifact, tokenizer: Artifact, executor: Executor
) -> Artifact:
    """Documents and vocabulary to sequences of ids."""
    return stages.build_sequences(config, corpus, tokenizer, executor, RunProgress())


@task(name="pretrain", task_run_name="pretrain", **PLAIN)
def pretrain(
    config: PipelineConfig, tokenizer: Artifact, sequences: Artifact, executor: Executor
) -> Artifact:
    """Sequences to a generator and a discriminator. Ray starts lost workers again by itself."""
    return stages.pretrain(config, tokenizer, sequences, executor, RunProgress())


@task(name="publish", task_run_name="publish", **PLAIN)
def publish(
    config: PipelineConfig, pretrained: Artifact, tokenizer: Artifact, corpus: Artifact
) -> Artifact:
    """Weights, tokenizer and card to model directories that plain transformers loads."""
    return stages.publish(config, pretrained, tokenizer, corpus)


@task(name="plan", task_run_name="plan", **RETRIED)
def plan(config: PipelineConfig, model: Artifact | str) -> list[Trial]:
    """One trial for each task, seed and starting model."""
    return stages.plan_trials(config, model)


@task(name="finetune", task_run_name="{trial.label}", **RETRIED)
def finetune(config: PipelineConfig, trial: Trial, executor: Executor) -> Artifact:
    """Fine-tune and evaluate one trial, in one Ray task."""
    progress = RunProgress(line_seconds=TRIAL_LINE_SECONDS)
    (outcome,) = stages.run_trials(config, [trial], executor, progress)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.value is not None
    return outcome.value


@task(name="busy-share", task_run_name="busy-share", **PLAIN)
def log_utilization(
    config: PipelineConfig,
    made: list[tuple[Trial, Artifact]],
    executor: Executor,
    wall_seconds: float,
) -> None:
    """Say how busy the trials of this run kept the cluster."""
    stages.log_utilization(config, made, executor, wall_seconds)


@task(name="held-out", task_run_name="held-out", **PLAIN)
def record_pretraining(
    config: PipelineConfig, sequences: Artifact, pretrained: Artifact, model: Artifact
) -> list[dict[str, Any]]:
    """Write what held-out text says of a model into the results table."""
    return stages.record_pretraining(config, sequences, pretrained, model)


@task(name="results", task_run_name="results", **PLAIN)
def record(config: PipelineConfig, trials: list[Artifact]) -> list[dict[str, Any]]:
    """Write the rows of finished trials into the results table."""
    return stages.record_results(config, trials)


@task(name="report", task_run_name="report", **PLAIN)
def report(config: PipelineConfig, model: Artifact | str, rows: list[dict[str, Any]]) -> str:
    """Draw the run as one HTML page; return its place."""
    return stages.write_report(config, model, rows)


@task(name="costs", task_run_name="costs", **PLAIN)
def costs(config: PipelineConfig) -> list[dict[str, Any]]:
    """What the stages of the run have cost."""
    return stages.read_costs(config)
