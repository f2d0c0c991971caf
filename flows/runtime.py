"""Run the stages of a flow: connect to Ray, run tasks in their threads, stop when interrupted.

The main thread of a flow never blocks in Ray: a cancel would end as a crash, and Ctrl-C would hang.
So all work runs in task threads. An interrupted main thread leaves `flow_runtime`, which shuts Ray
down, which ends the calls that the task threads wait for.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prefect import Task

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, StageContext, StageName
from electra_pipeline.on_ray import RayExecutor, cluster
from electra_pipeline.stages import Artifacts
from electra_pipeline.storage.artifact import Artifact
from flows import tasks
from flows.server_sync import synced_with_server

Value = TypeVar("Value")


@contextmanager
def flow_runtime(
    config: PipelineConfig, check: Task[[PipelineConfig, Executor], None] = tasks.check
) -> Iterator[RayExecutor]:
    """Connect to Ray for one flow run and check the configuration before any work."""
    logging.getLogger("electra_pipeline").setLevel(logging.INFO)
    with cluster() as executor, synced_with_server():
        run_task(check, config, executor)
        yield executor


def run_until(
    last: StageName, config: PipelineConfig, executor: RayExecutor
) -> dict[str, Artifact]:
    """Run the chain up to the stage `last`, each stage as a Prefect task."""

    def run(
        name: StageName, config: PipelineConfig, context: StageContext, inputs: Artifacts
    ) -> Artifact:
        return run_task(tasks.STAGES[name], config, executor, inputs)

    return stages.run_until(last, config, config.context(executor), run)


def run_task(task: Task[..., Value], config: PipelineConfig, *arguments: Any) -> Value:
    """Run a task in a thread of its own; return its value or raise its exception."""
    return with_timeout(task, config).submit(config, *arguments).result()


def with_timeout(task: Task[..., Value], config: PipelineConfig) -> Task[..., Value]:
    """Return the task with the time limit of `scale.timeout_seconds` for its name, if any."""
    seconds = config.scale.timeout_seconds.get(cast(StageName, task.name))
    return task.with_options(timeout_seconds=seconds) if seconds is not None else task
