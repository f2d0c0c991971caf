"""Record the cost of each stage: reserved CPUs and GPUs, times the seconds of the reservation.

A task or a training worker counts from its start to its end, busy or not, which is what a cluster
bills; a stage without tasks counts as one CPU, that of the driver. Each attempt is a row of the
table `costs`, also if it failed or was interrupted. A reused artifact costs nothing. Not counted
are the driver beside its tasks, and tasks that died, failed or were cancelled.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, Unpack, cast

from electra_pipeline.core.execution import (
    Executor,
    MapOptions,
    Outcome,
    Resources,
    Scale,
    TrainFunction,
    Worker,
    one_cpu,
    timed,
)
from electra_pipeline.core.progress import Progress, Update
from electra_pipeline.results import store

logger = logging.getLogger(__name__)

SAVE_SECONDS = 30.0  # most that a killed driver leaves unrecorded
MIN_SECONDS = 1.0  # of a stage on the driver; to find a finished artifact takes less

Record = Callable[[float, float, float], None]
"""Called with the CPU seconds, GPU seconds and wall seconds of an attempt so far."""

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass
class Meter:
    """An executor that sums the cost of its tasks and workers and records it in the database."""

    executor: Executor
    record: Record
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    _adding: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._started = self._saved = time.monotonic()

    def add(self, resources: Resources, seconds: float, number: int = 1) -> None:
        """Add `number` tasks with these resources that took so long."""
        with self._adding:
            self.cpu_seconds += number * resources.num_cpus * seconds
            self.gpu_seconds += number * resources.num_gpus * seconds
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        if self.cpu_seconds or self.gpu_seconds:
            self.record(self.cpu_seconds, self.gpu_seconds, self._saved - self._started)

    def check(self, scale: Scale, root: str) -> None:
        self.executor.check(scale, root)

    def trial_resources(self, scale: Scale, memory_bytes: int) -> Resources:
        return self.executor.trial_resources(scale, memory_bytes)

    def training_resources(self, scale: Scale) -> Resources:
        return self.executor.training_resources(scale)

    def slots(self, resources: Resources) -> int:
        return self.executor.slots(resources)

    def map(
        self, function: Callable[..., Value], items: Sequence[Item], **options: Unpack[MapOptions]
    ) -> Iterator[Outcome[Value]]:
        resources = options.get("resources", one_cpu)
        mapped = self.executor.map(partial(timed, function), items, **options)
        return self._values(mapped, lambda index, used: (*used, resources(items[index])))

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        trained = self.executor.train_each(partial(_timed_worker, function), items, progress)
        return self._values(trained, lambda index, used: used)

    def _values(
        self,
        outcomes: Iterator[Outcome[Any]],
        split: Callable[[int, Any], tuple[Value, float, Resources]],
    ) -> Iterator[Outcome[Value]]:
        """Add the cost of each outcome and yield it with the value alone.

        `split` returns value, seconds and resources of an outcome's index and value. Closing this
        iterator cancels running items, as without the meter.
        """
        with closing(cast(Any, outcomes)):
            for outcome in outcomes:
                if outcome.error is None:
                    value, seconds, resources = split(outcome.index, outcome.value)
                    self.add(resources, seconds)
                    outcome = Outcome(outcome.index, value)
                yield outcome

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        resources, last = self.training_resources(scale), time.monotonic()

        def add_elapsed() -> None:
            nonlocal last
            now = time.monotonic()
            self.add(resources, now - last, scale.workers)
            last = now

        def add_and_report(update: Update) -> None:
            add_elapsed()
            progress(update)

        try:
            self.executor.train(function, scale, add_and_report)
        finally:
            add_elapsed()


def _timed_worker(
    function: Callable[[Item, Worker], Value], item: Item, worker: Worker
) -> tuple[Value, float, Resources]:
    value, seconds = timed(lambda each: function(each, worker), item)
    return (
        value,
        seconds,
        Resources(worker.num_threads, 1.0 if worker.device.type == "cuda" else 0.0),
    )


@contextmanager
def metered(database: str, run: str, stage: str, executor: Executor) -> Iterator[Meter]:
    """Measure one attempt at a stage; its row is in the table at the end of the block."""
    meter = Meter(executor, _writer(database, run, stage))
    try:
        yield meter
    finally:
        meter.save()


@contextmanager
def driver_metered(database: str, run: str, stage: str) -> Iterator[None]:
    """Measure one attempt at a stage that runs in the driver alone, on one CPU."""
    record, started = _writer(database, run, stage), time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - started
        if seconds >= MIN_SECONDS:
            record(seconds, 0.0, seconds)


def _writer(database: str, run: str, stage: str) -> Record:
    """Return a function that writes the row of a new attempt and updates it in later calls.

    If the database cannot be reached, the row is missing; the stage does not fail.
    """
    attempt = {
        "attempt": uuid.uuid4().hex,
        "run": run,
        "stage": stage,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

    def record(cpu_seconds: float, gpu_seconds: float, wall_seconds: float) -> None:
        seconds = {
            "cpu_seconds": cpu_seconds,
            "gpu_seconds": gpu_seconds,
            "wall_seconds": wall_seconds,
        }
        try:
            store.record_costs(database, [{**attempt, **seconds}])
        except ValueError as error:
            logger.warning("%s: its cost was not recorded: %s", stage, error)

    return record
