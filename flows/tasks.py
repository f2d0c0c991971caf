"""The stages and workflows as Prefect tasks: names, retries and progress.

Prefect caches nothing: a stage whose artifact is finished returns it.
"""

import errno
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, StageName
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.stages import Artifacts
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.workflows import preflight
from electra_pipeline.workflows import record as recording
from flows.prefect_artifacts import RunProgress

PERMANENT_ERRNOS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS)
RETRY_DELAYS_SECONDS = [10.0, 60.0]


async def is_transient(task: Any, run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help: after errors of networks and servers, never of invalid input."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, OSError) and error.errno not in PERMANENT_ERRNOS


PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
RETRIED: dict[str, Any] = {
    **PLAIN,
    "retries": len(RETRY_DELAYS_SECONDS),
    "retry_delay_seconds": RETRY_DELAYS_SECONDS,
    "retry_condition_fn": is_transient,
}
# The corpus is read from servers of others; Ray itself starts lost training workers again.
STAGE_OPTIONS = {"corpus": RETRIED}


@task(name="check", task_run_name="check", **PLAIN)
def check(config: PipelineConfig, executor: Executor) -> None:
    """Check the configuration before any work."""
    preflight.check(config, executor)


@task(name="check", task_run_name="check", **PLAIN)
def check_evaluation(config: PipelineConfig, executor: Executor) -> None:
    """Check the configuration of an evaluation before any trial."""
    preflight.check_evaluation(config, executor)


def _stage_task(name: StageName) -> Task[..., Artifact]:
    options = STAGE_OPTIONS.get(name, PLAIN)
    description = stages.STAGES[name].function.__doc__

    @task(name=name, task_run_name=name, description=description, **options)
    def run(config: PipelineConfig, executor: RayExecutor, inputs: Artifacts) -> Artifact:
        context = config.context(executor, RunProgress(executor.check_open))
        return stages.run_stage(name, config, context, inputs)

    return run


STAGES = {name: _stage_task(name) for name in stages.STAGES}


@task(name="held-out", task_run_name="held-out", **PLAIN)
def record_pretraining(config: PipelineConfig, made: Artifacts) -> list[dict[str, Any]]:
    """Write the held-out metrics of a model into the results table."""
    return recording.record_pretraining(config, made)
