"""What a stage may ask of Ray: `map` over tasks, and `train` on Ray Train workers."""

import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from electra_pipeline.execution import (
    NOTHING,
    LocalWorker,
    Outcome,
    Scale,
    Share,
    TrainFunction,
    Waiting,
    Worker,
    one_cpu,
)
from electra_pipeline.on_ray import gauges
from electra_pipeline.on_ray.connection import Connection, first_line
from electra_pipeline.on_ray.logs import caught, log_again
from electra_pipeline.on_ray.placement import (
    Node,
    cpus_per_worker,
    fitting,
    gpus_per_worker,
    leg_share,
    total,
)
from electra_pipeline.progress import Progress, Update, deliver
from electra_pipeline.storage import Folder

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Value = TypeVar("Value")

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # how long one call into Ray waits
FIT_END_SECONDS = 5.0  # how long a training that was shut down may take to end; it takes 0.5
RECORDS = "worker_log_records"  # attribute of an error that a task raised
MAILBOX_UPDATES = 256  # more than a driver that polls twice a second can be behind


class _Mailbox:
    """An actor between the training workers, who never wait, and the driver, who looks in."""

    def __init__(self) -> None:
        self.updates: deque[Update | logging.LogRecord] = deque(maxlen=MAILBOX_UPDATES)

    def put(self, update: Update | logging.LogRecord) -> None:
        self.updates.append(update)

    def take(self) -> list[Update | logging.LogRecord]:
        taken = list(self.updates)
        self.updates.clear()
        return taken


@dataclass(frozen=True)
class _Post:
    """A `Progress` that any process of the cluster can call."""

    mailbox: Any

    def __call__(self, update: Update) -> None:
        self.mailbox.put.remote(update)


@dataclass(frozen=True)
class RayWorker:
    """A Ray Train worker as the training loop sees it."""

    rank: int
    world_size: int
    num_threads: int
    mailbox: Any

    @property
    def device(self) -> "torch.device":
        import ray.train.torch

        device: torch.device = ray.train.torch.get_device()
        return device

    def report(self, update: Update) -> None:
        self.mailbox.put.remote(update)


@dataclass(frozen=True)
class RayExecutor:
    """Runs work on the Ray that this process is connected to; made by `cluster`."""

    address: str
    """Where that Ray is, for messages."""
    connection: Connection = field(compare=False, repr=False)
    max_retries: int = 2
    """How often an item is started again whose worker process died."""

    def check_open(self) -> None:
        """Raise RuntimeError once Ray was shut down: so work that needs no Ray ends as well."""
        with self.connection:
            pass

    def nodes(self) -> list[Node]:
        import ray

        with self.connection:
            alive = [node for node in ray.nodes() if node["Alive"]]
        return [
            Node(
                int(node["Resources"].get("CPU", 0)),
                node["Resources"].get("GPU", 0.0),
                int(node["Resources"].get("memory", 0)),
                node.get("Labels", {}).get("ray.io/accelerator-type"),
            )
            for node in alive
        ]

    def leg_share(self, scale: Scale, memory_bytes: int) -> Share:
        """See `placement.leg_share`: its formula."""
        return leg_share(self.nodes(), scale.cpus_per_leg, scale.gpus_per_leg, memory_bytes)

    def training_share(self, scale: Scale) -> Share:
        """As many CPUs as each worker can have, and one GPU where there are any."""
        nodes = self.nodes()
        return Share(cpus_per_worker(nodes, scale.workers), gpus_per_worker(nodes))

    def slots(self, share: Share) -> int:
        """How many items with that share fit on the nodes, by CPUs, GPUs and memory."""
        return fitting(self.nodes(), share.num_cpus, share.num_gpus, share.memory_bytes)

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
        self._check_fits(Share(scale.cpus_per_leg, scale.gpus_per_leg or 0.0))

    def map(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        *,
        share: Callable[[Item], Share] = one_cpu,
        after: Mapping[int, int] = NOTHING,
    ) -> Iterator[Outcome[Value]]:
        """Apply `function` to each item in a Ray task; see `execution.Executor.map`.

        An outcome's error is the exception that `function` raised, or a RuntimeError where the
        worker process died each time. Closing the iterator cancels what is still running.
        """
        return self._map(function, items, share, after, lambda: None)

    def _map(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        share: Callable[[Item], Share],
        after: Mapping[int, int],
        while_waiting: Callable[[], None],
    ) -> Iterator[Outcome[Value]]:
        import ray

        shares = [share(item) for item in items]
        at_once = [self._check_fits(each) for each in dict.fromkeys(shares)]
        # One round waits while one runs: no worker idles, and few arguments are held at once.
        limit = 2 * max(at_once, default=0)
        apply = ray.remote(_apply)
        waiting = Waiting(len(items), after)
        running: dict[Any, int] = {}
        with self.connection:
            shared = ray.put(function)
        try:
            while waiting or running:
                with self.connection:
                    while len(running) < limit and (index := waiting.take()) is not None:
                        task = apply.options(
                            num_cpus=shares[index].num_cpus,
                            num_gpus=shares[index].num_gpus,
                            memory=shares[index].memory_bytes or None,
                            max_retries=self.max_retries,
                        )
                        running[task.remote(shared, items[index])] = index
                    ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                    outcomes = [self._outcome(running.pop(each), each) for each in ready]
                while_waiting()
                for outcome in outcomes:
                    yield from waiting.finish(outcome)
        finally:
            with suppress(RuntimeError), self.connection:
                for reference in running:
                    ray.cancel(reference, force=True)

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        """Run `function(item, worker)` for each item in a Ray task; see `Executor.train_each`.

        A task has one GPU where there are any, and the most CPUs with which as many tasks run at
        the same time as there is room for.
        """
        import ray

        nodes = self.nodes()
        num_gpus = gpus_per_worker(nodes)
        at_once = max(1, min(len(items), fitting(nodes, 1, num_gpus)))
        num_cpus = max(1, cpus_per_worker(nodes, at_once))
        with self.connection:
            mailbox = ray.remote(_Mailbox).options(num_cpus=0).remote()
        worker = LocalWorker(_Post(mailbox), num_cpus)

        def run_one(item: Item) -> Value:
            try:
                return function(item, worker)
            finally:
                ray.get(mailbox.__ray_ready__.remote())  # as in `_fit`: its updates have arrived

        yield from self._map(
            run_one,
            items,
            lambda _: Share(num_cpus, num_gpus),
            NOTHING,
            lambda: self._deliver(mailbox, progress),
        )

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        """Run `function(worker)` on `scale.workers` Ray Train workers; see `execution.Executor`.

        `progress` is called in the thread that calls this. When a worker process dies, all of them
        are started again, up to `scale.retries` times; `function` itself finds where it was.

        Raises the exception of `function`, or RuntimeError if workers keep dying.
        """
        from ray.train import WorkerGroupError

        self.check_workers(scale)
        for attempt in range(scale.retries + 1):
            try:
                return self._fit(function, scale.workers, progress)
            except WorkerGroupError as error:
                # Ray's own FailureConfig would also start again what fails the same way each time.
                own = _own_error(error.worker_failures.values())
                if own is not None:
                    raise own from error
                reason = first_line(next(iter(error.worker_failures.values()), error))
                if attempt == scale.retries:
                    raise RuntimeError(
                        f"a training worker died {attempt + 1} times, last with: {reason}; "
                        "started again, the run goes on from its last checkpoint; if memory ran "
                        "out, lower scale.micro_batch_sequences"
                    ) from error
                logger.warning("a training worker died (%s); starting all of them again", reason)
        return None

    def _fit(self, function: TrainFunction, workers: int, progress: Progress) -> None:
        import ray
        from ray.exceptions import RayError
        from ray.train import RunConfig, ScalingConfig, WorkerGroupError
        from ray.train.torch import TorchTrainer

        nodes = self.nodes()
        num_cpus, num_gpus = cpus_per_worker(nodes, workers), gpus_per_worker(nodes)
        with self.connection:
            mailbox = ray.remote(_Mailbox).options(num_cpus=0).remote()

        def train_one() -> None:
            context = ray.train.get_context()
            rank = context.get_world_rank()
            # What all of them say, rank 0 says for all.
            level = logging.INFO if rank == 0 else logging.WARNING
            try:
                with caught(mailbox.put.remote, level):
                    function(RayWorker(rank, context.get_world_size(), num_cpus, mailbox))
            finally:
                # The calls of one worker run in order: after this one, its updates have arrived.
                ray.get(mailbox.__ray_ready__.remote())

        # Ray keeps its controller's state in `scratch` and nothing else: checkpoints lie in the
        # artifact, where any later cluster finds them. The controller runs on the driver's node, so
        # no other node needs to see this folder.
        with tempfile.TemporaryDirectory(
            prefix="ray-train-", ignore_cleanup_errors=True
        ) as scratch:
            trainer = TorchTrainer(
                train_one,
                scaling_config=ScalingConfig(
                    num_workers=workers,
                    use_gpu=num_gpus > 0,
                    resources_per_worker={"CPU": num_cpus, "GPU": num_gpus},
                ),
                run_config=RunConfig(name="train", storage_path=scratch),
            )
            fitted = _started(trainer.fit)
            try:
                while not wait([fitted], POLL_SECONDS).done:
                    self._deliver(mailbox, progress)
            except BaseException:
                self.connection.close()  # nothing else ends `fit`
                wait([fitted], FIT_END_SECONDS)
                raise
            try:
                fitted.result()
            except WorkerGroupError:
                self._deliver(mailbox, progress)  # what led to it
                raise
            except RayError:
                with self.connection:  # where this run was interrupted, that is what to say
                    raise
            self._deliver(mailbox, progress)

    def _deliver(self, mailbox: Any, progress: Progress) -> None:
        import ray

        with self.connection:
            updates = ray.get(mailbox.take.remote())
            if counted := [each for each in updates if isinstance(each, Update)]:
                gauges.show(counted[-1])
        for update in updates:
            if isinstance(update, logging.LogRecord):
                log_again(update)
            else:
                deliver(update, progress)

    def check_workers(self, scale: Scale) -> None:
        """Raise ValueError if `scale.workers` training workers can never run at the same time."""
        nodes = self.nodes()
        if cpus_per_worker(nodes, scale.workers) == 0:
            num_gpus = gpus_per_worker(nodes)
            raise ValueError(
                f"scale.workers is {scale.workers}, each takes one "
                f"{'GPU' if num_gpus else 'CPU'}, and Ray ({self.address}) has {total(nodes)}; "
                f"set scale.workers to at most {fitting(nodes, 1, num_gpus)}"
            )

    def _check_fits(self, share: Share) -> int:
        """How many with that share fit at once; raises ValueError if not even one does."""
        nodes = self.nodes()
        at_once = fitting(nodes, share.num_cpus, share.num_gpus, share.memory_bytes)
        if at_once == 0:
            raise ValueError(
                f"a task asks for {share.num_cpus} CPUs and {share.num_gpus:g} GPUs on one node, "
                f"and Ray ({self.address}) has {total(nodes)}; "
                "lower scale.cpus_per_leg or scale.gpus_per_leg"
            )
        return at_once

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
            return Outcome(index, error=RuntimeError(message))


def _started(function: Callable[[], Value]) -> "Future[Value]":
    """`function` in a thread that nothing waits for, not even the end of the process.

    `ray.get` now and then never returns from a Ray that was shut down meanwhile.
    """
    future: Future[Value] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="ray-train").start()
    return future


def _apply(function: Callable[[Item], Value], item: Item) -> tuple[Value, list[logging.LogRecord]]:
    """The value, and what was logged on the way; an error carries that along."""
    records: list[logging.LogRecord] = []
    try:
        with caught(records.append):
            return function(item), records
    except Exception as error:
        setattr(error, RECORDS, records)
        raise


def _own_error(failures: Iterable[Exception]) -> Exception | None:
    """What the training function itself raised; None where workers died or lost each other.

    A worker that loses its peer sees a RuntimeError of torch.distributed, which therefore counts as
    a lost worker.
    """
    for failure in failures:
        from_ray = type(failure).__module__.partition(".")[0] == "ray"
        if not from_ray and not isinstance(failure, RuntimeError):
            return failure
    return None
