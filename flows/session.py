"""What every flow does around its stages: connect to Ray, hand the work to threads, stay stoppable.

A flow's main thread never blocks in Ray. There, a cancel would end as a crash, and Ctrl-C would
hang: so stages run in task threads, and an interrupted main thread leaves `connected`, which shuts
Ray down, which ends what the threads wait for.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prefect import Task

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, StageName
from electra_pipeline.on_ray import RayExecutor, cluster
from flows import stages
from flows.state import agreeing_with_server

Value = TypeVar("Value")


@contextmanager
def connected(
    config: PipelineConfig, check: Task[[PipelineConfig, Executor], None] = stages.check
) -> Iterator[RayExecutor]:
    """Ray for one flow run, after everything that can be refused at once has been checked."""
    logging.getLogger("electra_pipeline").setLevel(logging.INFO)
    with cluster() as executor, agreeing_with_server():
        step(check, config, executor)
        yield executor


def step(task: Task[..., Value], config: PipelineConfig, *arguments: Any) -> Value:
    """Run a task in its thread and wait for what it returns, or raise what it raised."""
    return timed(task, config).submit(config, *arguments).result()


def timed(task: Task[..., Value], config: PipelineConfig) -> Task[..., Value]:
    """The task, which fails once it takes longer than `scale.timeout_seconds` has for its name."""
    seconds = config.scale.timeout_seconds.get(cast(StageName, task.name))
    return task.with_options(timeout_seconds=seconds) if seconds is not None else task
