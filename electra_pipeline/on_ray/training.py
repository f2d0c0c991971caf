"""One training on Ray Train's workers, from its start to the end of one attempt."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from electra_pipeline.core.execution import Resources, TrainFunction
from electra_pipeline.core.progress import Update
from electra_pipeline.on_ray.logs import caught

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

MAILBOX_UPDATES = 256  # more than a driver that polls twice a second can be behind


class Mailbox:
    """An actor between the workers, who never wait, and the driver, who looks in.

    What one training or fan-out tells lies in a box of its own.
    """

    def __init__(self) -> None:
        self.boxes: dict[str, deque[Update | logging.LogRecord]] = {}
        self.num_arrived = 0

    def arrive(self) -> None:
        self.num_arrived += 1

    def put(self, update: Update | logging.LogRecord, box: str = "") -> None:
        self.boxes.setdefault(box, deque(maxlen=MAILBOX_UPDATES)).append(update)

    def take(self, box: str = "") -> tuple[int, list[Update | logging.LogRecord]]:
        """How many workers have started, and what was put in since the last call."""
        return self.num_arrived, list(self.boxes.pop(box, ()))


def open_mailbox() -> Any:
    """A `Mailbox` on the driver's node, so that no other node's end ends the training.

    Where its process dies, it is started again; the updates that lay in it are lost, no more.
    """
    import ray

    return (
        ray.remote(Mailbox)
        .options(num_cpus=0, max_restarts=-1, max_task_retries=-1, label_selector=_drivers_node())
        .remote()
    )


def _drivers_node() -> dict[str, str]:
    import ray

    # as Ray Train places its controller (data_parallel_trainer.py)
    return {"ray.io/node-id": ray.get_runtime_context().get_node_id()}


@dataclass(frozen=True)
class Post:
    """A `Progress` that any process of the cluster can call."""

    mailbox: Any
    box: str = ""

    def __call__(self, update: Update) -> None:
        self.mailbox.put.remote(update, self.box)


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


def start_fit(
    function: TrainFunction, workers: int, resources: Resources, mailbox: Any, scratch: str
) -> "Future[Any]":
    """Begin `function(worker)` on the workers; the future has the exception that ended it.

    Ray keeps its controller's state in the folder `scratch` and nothing else: checkpoints lie in
    the artifact, where any later cluster finds them. The controller runs on the driver's node, so
    no other node needs to see that folder.
    """
    import ray.train
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from electra_pipeline.on_ray import collectives

    num_threads = resources.num_cpus

    def train_one() -> None:
        context = ray.train.get_context()
        rank = context.get_world_rank()
        mailbox.arrive.remote()
        # What all of them say, rank 0 says for all.
        level = logging.INFO if rank == 0 else logging.WARNING
        try:
            with caught(mailbox.put.remote, level):
                function(RayWorker(rank, context.get_world_size(), num_threads, mailbox))
        finally:
            # The calls of one worker run in order: after this one, its updates have arrived.
            ray.get(mailbox.__ray_ready__.remote())

    trainer = TorchTrainer(
        train_one,
        torch_config=collectives.NodesNetworkConfig(),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=resources.num_gpus > 0,
            resources_per_worker={"CPU": resources.num_cpus, "GPU": resources.num_gpus},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=scratch,
            # Ray Train's own second attempt waits for ever for the places that its first one keeps.
            failure_config=FailureConfig(controller_failure_limit=0),
        ),
    )
    return started(trainer.fit)


def started(function: Callable[[], Value]) -> "Future[Value]":
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


def own_error(failures: Iterable[Exception]) -> Exception | None:
    """What the training function itself raised; None where workers died or lost each other.

    A worker that loses its peer sees a RuntimeError of torch.distributed, which therefore counts as
    a lost worker.
    """
    for failure in failures:
        from_ray = type(failure).__module__.partition(".")[0] == "ray"
        if not from_ray and not isinstance(failure, RuntimeError):
            return failure
    return None


def end_of_process(error: Exception) -> Exception | None:
    """The end of Ray Train's controller, or what kept a worker from beginning, if `error` is that.

    A worker or a node that is lost while the workers find each other is a failure of the controller
    to Ray Train, whatever the other workers then say.
    """
    from ray.exceptions import RayActorError
    from ray.train import ControllerError

    if isinstance(error, ControllerError):
        failure = error.controller_failure
        cause = getattr(failure, "cause", None)  # of a task of Ray's
        return cause if isinstance(cause, Exception) else failure
    return error if isinstance(error, RayActorError) else None


def placement_groups() -> set[str]:
    """The placement groups of this driver, whose number ends each of theirs, that hold resources.

    Ray Train's controller removes its own, but not where a worker died before it began. Where the
    controller was killed, its workers end with it, but what was set aside for them stays so until
    the driver ends (GCS waits for both of a group's owners).
    """
    import ray

    job = ray.get_runtime_context().get_job_id()
    table = ray.util.placement_group_table()
    return {
        number
        for number, group in table.items()
        if number.endswith(job) and group["state"] != "REMOVED"
    }


def remove_placement_groups(numbers: Iterable[str]) -> None:
    import ray
    from ray.util.placement_group import PlacementGroup

    for number in numbers:
        group = PlacementGroup(ray.PlacementGroupID(bytes.fromhex(number)))
        ray.util.remove_placement_group(group)
