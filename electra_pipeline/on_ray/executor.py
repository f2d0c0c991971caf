"""The Ray executor: `map` over Ray tasks, and `train` on Ray Train workers."""

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, Unpack

from electra_pipeline.core.execution import (
    MapOptions,
    Outcome,
    Resources,
    Scale,
    TrainFunction,
    Worker,
    values_in_order,
)
from electra_pipeline.core.progress import Progress, throttled
from electra_pipeline.on_ray.capacity import (
    ClusterCapacity,
    count_fitting,
    fits_this_machine,
    gpus_per_worker,
    worker_resources,
)
from electra_pipeline.on_ray.connection import LOCAL
from electra_pipeline.on_ray.messages import (
    RemoteProgress,
    connected_worker,
    deliver_messages,
    flush,
    start_message_queue,
    with_log_records,
)
from electra_pipeline.on_ray.tasks import WorkerDiedError, run_tasks
from electra_pipeline.on_ray.training import fit
from electra_pipeline.storage.folder import Folder

Item = TypeVar("Item")
Value = TypeVar("Value")

logger = logging.getLogger(__name__)

UPDATE_SECONDS = 2.0  # between two progress updates of one of several items


@dataclass(frozen=True)
class RayExecutor(ClusterCapacity):
    """Runs work on the Ray that this process is connected to; made by `cluster`."""

    max_retries: int = 2
    """Number of restarts of an item whose worker process died."""

    def check_open(self) -> None:
        """Raise RuntimeError after Ray was shut down, to stop work that does not call Ray."""
        self.connection.check_open()

    def check(self, scale: Scale, root: str) -> None:
        """Raise ValueError for a root in this process's memory or a scale beyond the cluster.

        A Ray of this machine that has the CPUs is only asked when it starts for the first work.
        """
        if Folder(root).is_memory:
            raise ValueError(
                f"root is {root!r}, which Ray's worker processes cannot see; "
                "give a path or an object store that all of them reach"
            )
        if self.address == LOCAL and fits_this_machine(scale):
            self.connection.when_started(partial(self._check_scale, scale))
        else:
            self._check_scale(scale)

    def _check_scale(self, scale: Scale) -> None:
        self.check_workers(scale)
        self.check_fits(Resources(scale.cpus_per_trial, scale.gpus_per_trial or 0.0))

    def map(
        self, function: Callable[..., Value], items: Sequence[Item], **options: Unpack[MapOptions]
    ) -> Iterator[Outcome[Value]]:
        """Apply `function` to each item in a Ray task; see `execution.Executor.map`.

        An outcome's error is the exception that `function` raised, or a RuntimeError if the worker
        process died each time. Closing the iterator cancels the running tasks.
        """
        if not items:
            return
        if (progress := options.get("progress")) is None:
            apply = partial(with_log_records, function)
            yield from run_tasks(self, apply, items, options, self.max_retries, lambda: None)
            return
        queue, channel = self._shared_queue(), uuid.uuid4().hex

        def run_one(item: Item) -> tuple[Value, list[logging.LogRecord]]:
            report = throttled(RemoteProgress(queue, channel), UPDATE_SECONDS)
            try:
                return with_log_records(partial(function, progress=report), item)
            finally:
                flush(queue)

        poll = partial(deliver_messages, self.connection, queue, progress, channel)
        yield from run_tasks(self, run_one, items, options, self.max_retries, poll)

    def _shared_queue(self) -> Any:
        """Return one queue for all fan-outs: a flow has many, and starting an actor takes 1 s."""
        with self.connection.starting_queue, self.connection:
            if self.connection.message_queue is None:
                self.connection.message_queue = start_message_queue()
            return self.connection.message_queue

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        """Run `function(item, worker)` for each item in a Ray task; see `Executor.train_each`.

        A task has one GPU if there are any, and the largest number of CPUs with which the maximum
        number of tasks runs at once.
        """
        nodes = self.nodes()
        smallest = Resources(1, gpus_per_worker(nodes))
        at_once = max(1, min(len(items), count_fitting(nodes, smallest)))
        resources = worker_resources(nodes, at_once) or smallest
        return self._train_each(function, items, resources, progress)

    def _train_each(
        self,
        function: Callable[[Item, Worker], Value],
        items: Sequence[Item],
        resources: Resources,
        progress: Progress,
    ) -> Iterator[Outcome[Value]]:
        with self.connection:
            queue = start_message_queue()
        worker = Worker(RemoteProgress(queue), resources.num_cpus)

        def run_one(item: Item) -> tuple[Value, list[logging.LogRecord]]:
            with connected_worker(queue):
                return function(item, worker), []

        poll = partial(deliver_messages, self.connection, queue, progress)
        options: MapOptions = {"resources": lambda item: resources}
        yield from run_tasks(self, run_one, items, options, self.max_retries, poll)

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        """Run `function(worker)` on `scale.workers` workers; see `execution.Executor`.

        Several workers are Ray Train's; a single one is a Ray task, which starts ten seconds
        sooner. `progress` is called in the thread of the caller. If a worker process dies, all are
        restarted, up to `scale.retries` times; `function` itself resumes its work. If a failed node
        leaves too little capacity, they wait for another node.

        Raises the exception of `function`, or RuntimeError if workers keep dying.
        """
        for attempt in range(scale.retries + 1):
            resources = self.wait_for_capacity(scale)
            try:
                if scale.workers > 1:
                    return fit(self, function, scale.workers, resources, progress)
                alone = replace(self, max_retries=0)
                values_in_order(
                    alone._train_each(
                        lambda _, worker: function(worker), [None], resources, progress
                    )
                )
                return None
            except WorkerDiedError as error:
                if attempt == scale.retries:
                    raise RuntimeError(
                        f"a training worker died {attempt + 1} times, last with: {error.reason}; "
                        "run it again to resume from the last checkpoint; if memory ran out, lower "
                        "scale.micro_batch_sequences"
                    ) from error
                logger.warning("a training worker died (%s); restarting", error.reason)
        return None
