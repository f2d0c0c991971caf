"""What a command that works without Prefect needs around it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from electra_pipeline.core.execution import Executor
    from electra_pipeline.core.progress import Progress


LOG_FORMAT = "ELECTRA_PIPELINE_LOG_FORMAT"


@contextmanager
def surroundings(run: str, use_ray: bool) -> "Iterator[tuple[Executor, Progress]]":
    """An executor and a progress display for the run of this name, without Prefect.

    `ELECTRA_PIPELINE_LOG_FORMAT=json` makes the log one of JSON lines.
    """
    from electra_pipeline.core.console import progress_display, set_up_logging
    from electra_pipeline.core.execution import LocalExecutor

    console = Console(stderr=True)
    wanted = os.environ.get(LOG_FORMAT, "text")
    if wanted not in ("text", "json"):
        raise ValueError(f"{LOG_FORMAT} is {wanted!r}; set it to text or json")
    as_json = wanted == "json"
    set_up_logging(console, run if as_json else None)
    with progress_display(console, lines=as_json) as progress:
        if use_ray:
            from electra_pipeline.on_ray import cluster

            with cluster() as ray_executor:
                yield ray_executor, progress
        else:
            yield LocalExecutor(), progress


def complain(line: str) -> None:
    """One line of red on standard error."""
    Console(stderr=True).print(line, style="red", markup=False, soft_wrap=True)
