"""A fan-out over Ray tasks: scheduled, awaited and turned into outcomes."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import MapOptions, Outcome, Waiting, one_cpu
from electra_pipeline.on_ray.capacity import PLACEMENT_SECONDS, ClusterCapacity
from electra_pipeline.on_ray.messages import RECORDS, log_in_driver

Item = TypeVar("Item")
Value = TypeVar("Value")

POLL_SECONDS = 0.5  # duration of one call into Ray


class WorkerDiedError(RuntimeError):
    """The worker's process or node ended, or that of another worker that it needs."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


def run_tasks(
    capacity: ClusterCapacity,
    function: Callable[[Item], tuple[Value, list[logging.LogRecord]]],
    items: Sequence[Item],
    options: MapOptions,
    max_retries: int,
    poll: Callable[[], object],
) -> Iterator[Outcome[Value]]:
    """Apply `function` to each item in a Ray task; yield the outcomes as they finish.

    `poll` is called about twice a second. Closing the iterator cancels the running tasks.
    """
    import ray

    needed = list(map(options.get("resources", one_cpu), items))
    distinct = list(dict.fromkeys(needed))
    at_once = [capacity.check_fits(each) for each in distinct]
    # As many tasks wait as run: no worker idles, and few arguments are held at once.
    limit = 2 * max(at_once, default=0)
    apply = ray.remote(_apply)
    waiting = Waiting(len(items), options.get("after", {}))
    running: dict[Any, int] = {}
    warn_at = time.monotonic() + PLACEMENT_SECONDS
    with capacity.connection:
        shared = ray.put(function)
    try:
        while waiting or running:
            with capacity.connection:
                while len(running) < limit and (index := waiting.take()) is not None:
                    task = apply.options(
                        num_cpus=needed[index].num_cpus,
                        num_gpus=needed[index].num_gpus,
                        memory=needed[index].memory_bytes or None,
                        max_retries=max_retries,
                    )
                    running[task.remote(shared, items[index])] = index
                ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                outcomes = [_outcome(running.pop(each), each, max_retries) for each in ready]
            poll()
            if outcomes:
                warn_at = time.monotonic() + PLACEMENT_SECONDS
            elif time.monotonic() > warn_at:
                unplaceable = [each for each in distinct if capacity.slots(each) == 0]
                if unplaceable:
                    capacity.warn_of_waiting("tasks", unplaceable[0])
                warn_at = time.monotonic() + (float("inf") if unplaceable else PLACEMENT_SECONDS)
            for outcome in outcomes:
                yield from waiting.finish(outcome)
    finally:
        with suppress(RuntimeError), capacity.connection:
            for reference in running:
                ray.cancel(reference, force=True)


def _outcome(index: int, reference: Any, max_retries: int) -> Outcome[Any]:
    """Return the outcome of a finished task, and log its records."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        value, records = ray.get(reference)
        for record in records:
            log_in_driver(record)
        return Outcome(index, value=value)
    except RayTaskError as error:
        if isinstance(error.cause, Exception):
            for record in getattr(error.cause, RECORDS, ()):
                log_in_driver(record)
            return Outcome(index, error=error.cause)
        return Outcome(index, error=RuntimeError(first_line(error)))
    except RayError as error:
        message = (
            f"item {index}: its worker process died {max_retries + 1} times "
            f"({first_line(error)}); if memory ran out, give each task more CPUs, so that "
            "fewer run at once"
        )
        return Outcome(index, error=WorkerDiedError(first_line(error), message))


def _apply(function: Callable[[Item], Value], item: Item) -> Value:
    return function(item)
