"""What a stage may ask of Ray: `map` over tasks, and `train` on Ray Train workers."""

import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import (
    NOTHING,
    LocalWorker,
    Outcome,
    Resources,
    Scale,
    TrainFunction,
    Waiting,
    Worker,
    one_cpu,
)
from electra_pipeline.core.progress import Progress, Update, deliver, throttled
from electra_pipeline.on_ray import gauges
from electra_pipeline.on_ray.logs import RECORDS, caught, log_again, recorded
from electra_pipeline.on_ray.placement import (
    cpus_per_worker,
    fitting,
    gpus_per_worker,
)
from electra_pipeline.on_ray.room import PLACEMENT_SECONDS, Room
from electra_pipeline.on_ray.training import (
    Post,
    end_of_process,
    open_mailbox,
    own_error,
    placement_groups,
    remove_placement_groups,
    start_fit,
)
from electra_pipeline.storage.folder import Folder

Item = TypeVar("Item")
Value = TypeVar("Value")

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # how long one call into Ray waits
UPDATE_SECONDS = 2.0  # between two signs of life of one of many items
FIT_END_SECONDS = 5.0  # how long a training that was shut down may take to end; it takes 0.5


class WorkerDiedError(RuntimeError):
    """The process ended, or its node, or another one that it needs; nothing that it raised."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


@dataclass(frozen=True)
class RayExecutor(Room):
    """Runs work on the Ray that this process is connected to; made by `cluster`."""

    max_retries: int = 2
    """How often an item is started again whose worker process died."""

    def check_open(self) -> None:
        """Raise RuntimeError once Ray was shut down: so work that needs no Ray ends as well."""
        with self.connection:
            pass

    def check(self, scale: Scale, root: str) -> None:
        """Refuse what this cluster can never run.

        Raises ValueError for a root in this process's memory and for a scale that asks for more
        than the nodes have.
        """
        if Folder(root).is_memory:
            raise ValueError(
                f"root is {root!r}, which Ray's worker processes cannot see; "
                "give a path or an object store that all of them reach"
            )
        self.check_workers(scale)
        self.check_fits(Resources(scale.cpus_per_trial, scale.gpus_per_trial or 0.0))

    def map(
        self,
        function: Callable[..., Value],
        items: Sequence[Item],
        *,
        resources: Callable[[Item], Resources] = one_cpu,
        after: Mapping[int, int] = NOTHING,
        progress: Progress | None = None,
    ) -> Iterator[Outcome[Value]]:
        """Apply `function` to each item in a Ray task; see `execution.Executor.map`.

        An outcome's error is the exception that `function` raised, or a RuntimeError where the
        worker process died each time. Closing the iterator cancels what is still running.
        """
        if progress is None:
            return self._map(partial(recorded, function), items, resources, after, lambda: None)
        return self._map_with_progress(function, items, resources, after, progress)

    def _map_with_progress(
        self,
        function: Callable[..., Value],
        items: Sequence[Item],
        resources: Callable[[Item], Resources],
        after: Mapping[int, int],
        progress: Progress,
    ) -> Iterator[Outcome[Value]]:
        import ray

        if not items:
            return
        mailbox, box = self._shared_mailbox(), uuid.uuid4().hex

        def run_one(item: Item) -> tuple[Value, list[logging.LogRecord]]:
            tell = throttled(Post(mailbox, box), UPDATE_SECONDS)
            try:
                return recorded(partial(function, progress=tell), item)
            finally:
                ray.get(mailbox.__ray_ready__.remote())  # as in `start_fit`: its updates are there

        yield from self._map(
            run_one, items, resources, after, lambda: self._deliver(mailbox, progress, box)
        )

    def _map(
        self,
        function: Callable[[Item], tuple[Value, list[logging.LogRecord]]],
        items: Sequence[Item],
        resources: Callable[[Item], Resources],
        after: Mapping[int, int],
        while_waiting: Callable[[], object],
    ) -> Iterator[Outcome[Value]]:
        import ray

        resources_by_memory = [resources(item) for item in items]
        at_once = [self.check_fits(each) for each in dict.fromkeys(resources_by_memory)]
        # One round waits while one runs: no worker idles, and few arguments are held at once.
        limit = 2 * max(at_once, default=0)
        apply = ray.remote(_apply)
        waiting = Waiting(len(items), after)
        running: dict[Any, int] = {}
        quiet_until = time.monotonic() + PLACEMENT_SECONDS
        with self.connection:
            shared = ray.put(function)
        try:
            while waiting or running:
                with self.connection:
                    while len(running) < limit and (index := waiting.take()) is not None:
                        task = apply.options(
                            num_cpus=resources_by_memory[index].num_cpus,
                            num_gpus=resources_by_memory[index].num_gpus,
                            memory=resources_by_memory[index].memory_bytes or None,
                            max_retries=self.max_retries,
                        )
                        running[task.remote(shared, items[index])] = index
                    ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                    outcomes = [self._outcome(running.pop(each), each) for each in ready]
                while_waiting()
                if outcomes:
                    quiet_until = time.monotonic() + PLACEMENT_SECONDS
                elif time.monotonic() > quiet_until:
                    lost = [
                        each for each in dict.fromkeys(resources_by_memory) if self.slots(each) == 0
                    ]
                    if lost:
                        self.say_what_waits("tasks", lost[0])
                    quiet_until = time.monotonic() + (float("inf") if lost else PLACEMENT_SECONDS)
                for outcome in outcomes:
                    yield from waiting.finish(outcome)
        finally:
            with suppress(RuntimeError), self.connection:
                for reference in running:
                    ray.cancel(reference, force=True)

    def _shared_mailbox(self) -> Any:
        """One for all fan-outs: a flow has one for each trial, and an actor starts in a second."""
        with self.connection.opening_mailbox, self.connection:
            if self.connection.mailbox is None:
                self.connection.mailbox = open_mailbox()
            return self.connection.mailbox

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        """Run `function(item, worker)` for each item in a Ray task; see `Executor.train_each`.

        A task has one GPU where there are any, and the most CPUs with which as many tasks run at
        the same time as there is room for.
        """
        nodes = self.nodes()
        num_gpus = gpus_per_worker(nodes)
        at_once = max(1, min(len(items), fitting(nodes, 1, num_gpus)))
        resources = Resources(max(1, cpus_per_worker(nodes, at_once)), num_gpus)
        return self._train_each(function, items, resources, progress)

    def _train_each(
        self,
        function: Callable[[Item, Worker], Value],
        items: Sequence[Item],
        resources: Resources,
        progress: Progress,
    ) -> Iterator[Outcome[Value]]:
        import ray

        with self.connection:
            mailbox = open_mailbox()
        worker = LocalWorker(Post(mailbox), resources.num_cpus)

        def run_one(item: Item) -> tuple[Value, list[logging.LogRecord]]:
            mailbox.arrive.remote()
            try:
                with caught(mailbox.put.remote):
                    return function(item, worker), []
            finally:
                ray.get(mailbox.__ray_ready__.remote())  # as in `start_fit`: its updates are there

        yield from self._map(
            run_one, items, lambda _: resources, NOTHING, lambda: self._deliver(mailbox, progress)
        )

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        """Run `function(worker)` on `scale.workers` workers; see `execution.Executor`.

        More than one are Ray Train's; one alone is a Ray task, which starts ten seconds sooner.
        `progress` is called in the thread that calls this. When a worker process dies, all of them
        are started again, up to `scale.retries` times; `function` itself finds where it was. Where
        a lost node leaves too little room for them, they wait for another one.

        Raises the exception of `function`, or RuntimeError if workers keep dying.
        """
        for attempt in range(scale.retries + 1):
            resources = self.await_room(scale)
            try:
                if scale.workers == 1:
                    return self._train_alone(function, resources, progress)
                return self._fit(function, scale.workers, resources, progress)
            except WorkerDiedError as error:
                if attempt == scale.retries:
                    raise RuntimeError(
                        f"a training worker died {attempt + 1} times, last with: {error.reason}; "
                        "started again, the run goes on from its last checkpoint; if memory ran "
                        "out, lower scale.micro_batch_sequences"
                    ) from error
                logger.warning("a training worker died (%s); started again", error.reason)
        return None

    def _train_alone(
        self, function: TrainFunction, resources: Resources, progress: Progress
    ) -> None:
        alone = replace(self, max_retries=0)
        for outcome in alone._train_each(
            lambda _, worker: function(worker), [None], resources, progress
        ):
            if outcome.error is not None:
                raise outcome.error

    def _fit(
        self, function: TrainFunction, workers: int, resources: Resources, progress: Progress
    ) -> None:
        from ray.exceptions import RayError
        from ray.train import ControllerError, WorkerGroupError

        with self.connection:
            mailbox = open_mailbox()
            others = placement_groups()
        quiet_until = time.monotonic() + PLACEMENT_SECONDS
        with tempfile.TemporaryDirectory(
            prefix="ray-train-", ignore_cleanup_errors=True
        ) as scratch:
            fitted = start_fit(function, workers, resources, mailbox, scratch)
            try:
                while not wait([fitted], POLL_SECONDS).done:
                    num_arrived = self._deliver(mailbox, progress)
                    if time.monotonic() > quiet_until and num_arrived == 0:
                        self.say_what_waits(f"{workers} training workers", resources)
                        quiet_until = float("inf")
            except BaseException:
                self.connection.close()  # nothing else ends `fit`
                wait([fitted], FIT_END_SECONDS)
                raise
            try:
                fitted.result()
            except WorkerGroupError as error:
                self._deliver(mailbox, progress)  # what led to it
                # Ray's own FailureConfig would also start again what fails the same way each time.
                own = own_error(error.worker_failures.values())
                if own is not None:
                    raise own from error
                reason = next(iter(error.worker_failures.values()), error)
                raise WorkerDiedError(first_line(reason)) from error
            except (ControllerError, RayError) as error:
                with self.connection:  # where this run was interrupted, that is what to say
                    remove_placement_groups(placement_groups() - others)
                end = end_of_process(error)
                if end is None:
                    raise
                raise WorkerDiedError(first_line(end)) from error
            self._deliver(mailbox, progress)

    def _deliver(self, mailbox: Any, progress: Progress, box: str = "") -> int:
        """Hand on what lies in the mailbox; how many workers have started."""
        import ray

        with self.connection:
            num_arrived, updates = ray.get(mailbox.take.remote(box))
            if counted := [each for each in updates if isinstance(each, Update) and not each.item]:
                gauges.show(counted[-1])
        for update in updates:
            if isinstance(update, logging.LogRecord):
                log_again(update)
            else:
                deliver(update, progress)
        return int(num_arrived)

    def _outcome(self, index: int, reference: Any) -> Outcome[Any]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            value, records = ray.get(reference)
            for record in records:
                log_again(record)
            return Outcome(index, value=value)
        except RayTaskError as error:
            if isinstance(error.cause, Exception):
                for record in getattr(error.cause, RECORDS, ()):
                    log_again(record)
                return Outcome(index, error=error.cause)
            return Outcome(index, error=RuntimeError(first_line(error)))
        except RayError as error:
            message = (
                f"item {index}: its worker process died {self.max_retries + 1} times "
                f"({first_line(error)}); if memory ran out, give each task more CPUs, so that "
                "fewer run at once"
            )
            return Outcome(index, error=WorkerDiedError(first_line(error), message))


def _apply(function: Callable[[Item], Value], item: Item) -> Value:
    return function(item)
