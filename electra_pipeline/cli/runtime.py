"""Executor, progress display and logging of commands that run without Prefect."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.core.execution import StageContext
    from electra_pipeline.finetuning.trial import Trial

LOG_FORMAT = "ELECTRA_PIPELINE_LOG_FORMAT"


@contextmanager
def local_runtime(
    config: "PipelineConfig", use_ray: bool | None = None
) -> "Iterator[StageContext]":
    """Set up logging and progress, and yield the context of a run without Prefect.

    `use_ray` None takes Ray for several workers, and where RAY_ADDRESS is set.
    `ELECTRA_PIPELINE_LOG_FORMAT=json` writes the log as JSON lines.
    """
    from rich.console import Console

    from electra_pipeline.core.console import progress_display, set_up_logging

    console = Console(stderr=True)
    wanted = os.environ.get(LOG_FORMAT, "text")
    if wanted not in ("text", "json"):
        raise ValueError(f"{LOG_FORMAT} is {wanted!r}; set it to text or json")
    as_json = wanted == "json"
    set_up_logging(console, config.name if as_json else None)
    if use_ray is None:
        use_ray = config.scale.workers > 1 or bool(os.environ.get("RAY_ADDRESS"))
    with progress_display(console, lines=as_json) as progress:
        if use_ray:
            from electra_pipeline.on_ray import cluster

            with cluster() as ray_executor:
                yield config.context(ray_executor, progress)
        else:
            yield config.context(progress=progress)


@contextmanager
def trial_runtime(
    config: "PipelineConfig", trials: "list[Trial]", context: "StageContext"
) -> "Iterator[StageContext]":
    """Yield the context for trials: on a Ray of this command, if they end sooner in parallel."""
    from electra_pipeline.core.execution import LocalExecutor
    from electra_pipeline.on_ray import cluster
    from electra_pipeline.workflows.evaluate import gains_from_ray

    if isinstance(context.executor, LocalExecutor) and gains_from_ray(config, trials):
        with cluster() as ray_executor:
            yield replace(context, executor=ray_executor)
    else:
        yield context


def print_error(line: str) -> None:
    """Print one line in red on standard error."""
    from rich.console import Console

    Console(stderr=True).print(line, style="red", markup=False, soft_wrap=True)
