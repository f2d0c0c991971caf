"""Messages from workers to the driver: progress updates and log records."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import QueueHandler
from types import SimpleNamespace
from typing import Any, TypeVar

from electra_pipeline.core.progress import Progress, Update, deliver
from electra_pipeline.on_ray import prometheus
from electra_pipeline.on_ray.connection import Connection

Item = TypeVar("Item")
Value = TypeVar("Value")
Message = Update | logging.LogRecord

PACKAGE = "electra_pipeline"
RECORDS = "worker_log_records"  # attribute of an error that a task raised
MAX_MESSAGES = 256  # of a channel; more than arrive between two polls of a driver


class MessageQueue:
    """Ray actor that buffers messages: workers never wait for the driver, which polls.

    Each training or fan-out has a channel of its own.
    """

    def __init__(self) -> None:
        self.channels: dict[str, deque[Message]] = {}
        self.num_started = 0

    def worker_started(self) -> None:
        self.num_started += 1

    def put(self, message: Message, channel: str = "") -> None:
        self.channels.setdefault(channel, deque(maxlen=MAX_MESSAGES)).append(message)

    def take(self, channel: str = "") -> tuple[int, list[Message]]:
        """Return the number of started workers, and the messages since the last call."""
        return self.num_started, list(self.channels.pop(channel, ()))


@dataclass(frozen=True)
class RemoteProgress:
    """A `Progress` that any process of the cluster can call."""

    queue: Any
    channel: str = ""

    def __call__(self, update: Update) -> None:
        self.queue.put.remote(update, self.channel)


def start_message_queue() -> Any:
    """Start a `MessageQueue` on the driver's node, so that it outlives all other nodes.

    If its process dies it is restarted; only the messages that it held are lost.
    """
    import ray

    # as Ray Train places its controller (data_parallel_trainer.py)
    on_drivers_node = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    return (
        ray.remote(MessageQueue)
        .options(num_cpus=0, max_restarts=-1, max_task_retries=-1, label_selector=on_drivers_node)
        .remote()
    )


def flush(queue: Any) -> None:
    """Wait until the messages of this worker have arrived; calls of a worker run in order."""
    import ray

    ray.get(queue.__ray_ready__.remote())


@contextmanager
def connected_worker(queue: Any, level: int = logging.INFO) -> Iterator[None]:
    """In a training worker: send its start and its log records, and wait until all have arrived."""
    queue.worker_started.remote()
    try:
        with captured_logs(queue.put.remote, level):
            yield
    finally:
        flush(queue)


def deliver_messages(
    connection: Connection, queue: Any, progress: Progress, channel: str = ""
) -> int:
    """Log the records of a channel, call `progress` with its updates; return the started workers.

    Runs in the driver.
    """
    import ray

    with connection:
        num_started, messages = ray.get(queue.take.remote(channel))
        if counted := [each for each in messages if isinstance(each, Update) and not each.item]:
            prometheus.set_gauges(counted[-1])
    for message in messages:
        if isinstance(message, logging.LogRecord):
            log_in_driver(message)
        else:
            deliver(message, progress)
    return int(num_started)


@contextmanager
def captured_logs(
    put: Callable[[logging.LogRecord], None], level: int = logging.INFO
) -> Iterator[None]:
    """In a worker: call `put` with this package's records within the block, from `level` on."""
    package = logging.getLogger(PACKAGE)
    # It makes the records picklable.
    handler = QueueHandler(SimpleNamespace(put_nowait=put))
    handler.setLevel(level)
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


def log_in_driver(record: logging.LogRecord) -> None:
    """In the driver: log a worker's record as if it had been made here."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def with_log_records(
    function: Callable[[Item], Value], item: Item
) -> tuple[Value, list[logging.LogRecord]]:
    """Return the value and the log records of a call; an error has them as an attribute."""
    records: list[logging.LogRecord] = []
    try:
        with captured_logs(records.append):
            return function(item), records
    except Exception as error:
        setattr(error, RECORDS, records)
        raise
