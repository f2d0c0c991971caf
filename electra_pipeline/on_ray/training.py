"""One attempt at a training on Ray Train workers."""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.execution import Resources, TrainFunction, Worker
from electra_pipeline.core.progress import Progress
from electra_pipeline.on_ray.capacity import PLACEMENT_SECONDS, ClusterCapacity
from electra_pipeline.on_ray.messages import (
    RemoteProgress,
    connected_worker,
    deliver_messages,
    start_message_queue,
)
from electra_pipeline.on_ray.tasks import WorkerDiedError

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

POLL_SECONDS = 0.5  # between two polls of the driver
END_SECONDS = 5.0  # how long a training that was shut down may take to end; it takes 0.5


class RayWorker(Worker):
    """A Ray Train worker, for the training loop: Ray assigns its device."""

    @property
    def device(self) -> "torch.device":
        import ray.train.torch

        device: torch.device = ray.train.torch.get_device()
        return device


def fit(
    capacity: ClusterCapacity,
    function: TrainFunction,
    workers: int,
    resources: Resources,
    progress: Progress,
) -> None:
    """Run `function(worker)` once on Ray Train workers, and wait for its end.

    Raises the exception of `function`, or WorkerDiedError.
    """
    from ray.exceptions import RayError
    from ray.train import ControllerError, WorkerGroupError

    connection = capacity.connection
    with connection:
        queue = start_message_queue()
        others = placement_groups()
    warn_at = time.monotonic() + PLACEMENT_SECONDS
    with tempfile.TemporaryDirectory(prefix="ray-train-", ignore_cleanup_errors=True) as scratch:
        ended = start_fit(function, workers, resources, queue, scratch)
        try:
            while not wait([ended], POLL_SECONDS).done:
                num_started = deliver_messages(connection, queue, progress)
                if time.monotonic() > warn_at and num_started == 0:
                    capacity.warn_of_waiting(f"{workers} training workers", resources)
                    warn_at = float("inf")
        except BaseException:
            connection.close()  # nothing else ends the training
            wait([ended], END_SECONDS)
            raise
        try:
            ended.result()
        except WorkerGroupError as error:
            deliver_messages(connection, queue, progress)  # those before the error
            # Ray's FailureConfig would also retry errors that are the same each time.
            own = application_error(error.worker_failures.values())
            if own is not None:
                raise own from error
            reason = next(iter(error.worker_failures.values()), error)
            raise WorkerDiedError(first_line(reason)) from error
        except (ControllerError, RayError) as error:
            with connection:  # raises if this run was interrupted, which is then the reason
                remove_placement_groups(placement_groups() - others)
            failure = process_failure(error)
            if failure is None:
                raise
            raise WorkerDiedError(first_line(failure)) from error
        deliver_messages(connection, queue, progress)


def start_fit(
    function: TrainFunction, workers: int, resources: Resources, queue: Any, scratch: str
) -> "Future[Any]":
    """Start `function(worker)` on the workers; the future gets the exception that ends it.

    Ray stores only its controller's state in the folder `scratch`: checkpoints are in the artifact,
    where any later cluster finds them. The controller runs on the driver's node, so no other node
    needs access to that folder.
    """
    import ray.train
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from electra_pipeline.on_ray import collectives

    num_threads = resources.num_cpus

    def train_one() -> None:
        context = ray.train.get_context()
        rank = context.get_world_rank()
        # Rank 0 logs for all workers.
        with connected_worker(queue, logging.INFO if rank == 0 else logging.WARNING):
            function(RayWorker(RemoteProgress(queue), num_threads, rank, context.get_world_size()))

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
            # Ray Train's second attempt waits forever for the resources that its first one holds.
            failure_config=FailureConfig(controller_failure_limit=0),
        ),
    )
    return run_in_daemon_thread(trainer.fit)


def run_in_daemon_thread(function: Callable[[], Value]) -> "Future[Value]":
    """Run `function` in a thread that does not keep the process alive.

    `ray.get` sometimes never returns after Ray was shut down.
    """
    future: Future[Value] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="ray-train").start()
    return future


def application_error(failures: Iterable[Exception]) -> Exception | None:
    """Return the exception of the training function; None if workers died.

    torch.distributed raises a RuntimeError in the other workers when one dies, so a RuntimeError is
    treated as the death of a worker.
    """
    for failure in failures:
        from_ray = type(failure).__module__.partition(".")[0] == "ray"
        if not from_ray and not isinstance(failure, RuntimeError):
            return failure
    return None


def process_failure(error: Exception) -> Exception | None:
    """Return the cause of `error` if Ray Train's controller died or a worker could not start.

    If a worker or a node fails while the workers connect to each other, Ray Train reports a failure
    of the controller, whatever the other workers raise.
    """
    from ray.exceptions import RayActorError
    from ray.train import ControllerError

    if isinstance(error, ControllerError):
        failure = error.controller_failure
        cause = getattr(failure, "cause", None)  # of a Ray task
        return cause if isinstance(cause, Exception) else failure
    return error if isinstance(error, RayActorError) else None


def placement_groups() -> set[str]:
    """Return the ids of this driver's placement groups that hold resources; they end with its id.

    Ray Train's controller removes its own groups, but not if a worker died before it started. If
    the controller was killed, its workers end with it, but their resources stay reserved until the
    driver ends (GCS waits for both owners of a group).
    """
    import ray

    job = ray.get_runtime_context().get_job_id()
    table = ray.util.placement_group_table()
    return {
        group_id
        for group_id, group in table.items()
        if group_id.endswith(job) and group["state"] != "REMOVED"
    }


def remove_placement_groups(group_ids: Iterable[str]) -> None:
    import ray
    from ray.util.placement_group import PlacementGroup

    for group_id in group_ids:
        group = PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
        ray.util.remove_placement_group(group)
