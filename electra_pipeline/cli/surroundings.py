"""What a command that works without Prefect needs around it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from electra_pipeline.execution import Executor
    from electra_pipeline.progress import Progress


@contextmanager
def surroundings(use_ray: bool) -> "Iterator[tuple[Executor, Progress]]":
    """An executor and a progress display for what runs without Prefect."""
    from electra_pipeline.execution import LocalExecutor
    from electra_pipeline.terminal import set_up_logging, shown_progress

    console = Console(stderr=True)
    set_up_logging(console)
    with shown_progress(console) as progress:
        if use_ray:
            from electra_pipeline.on_ray import cluster

            with cluster() as ray_executor:
                yield ray_executor, progress
        else:
            yield LocalExecutor(), progress


def complain(line: str) -> None:
    """One line of red on standard error."""
    Console(stderr=True).print(line, style="red", markup=False, soft_wrap=True)
