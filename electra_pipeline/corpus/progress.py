"""Progress of the steps of the corpus stage."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from electra_pipeline.core.progress import Progress, Update

STAGE = "corpus"
STEP_SECONDS = 1.0  # between two updates of a step

Report = Callable[[int, int], None]
"""Called with the number of finished items and the number of all items found so far."""
Item = TypeVar("Item")


def step_report(progress: Progress, step: str, unit: str = "partitions") -> Report:
    """Return a function that reports how far a step is, at most once a second."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= STEP_SECONDS:
            last = time.monotonic()
            progress(Update(STAGE, done, total, unit, {"step": step}))

    return report


def reported(
    items: Iterable[Item], total: int, report: Report, size: Callable[[Item], int] = lambda item: 1
) -> Iterator[Item]:
    """Yield the items; before each, report the sum of the sizes of those before it."""
    done = 0
    for item in items:
        report(done, total)
        yield item
        done += size(item)
