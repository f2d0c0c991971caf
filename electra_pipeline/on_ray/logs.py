"""Log records of workers, forwarded to the driver's log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

PACKAGE = "electra_pipeline"
RECORDS = "worker_log_records"  # attribute of an error that a task raised


class _Handler(QueueHandler):
    """Calls `put` with each record, which QueueHandler makes picklable."""

    def __init__(self, put: Callable[[logging.LogRecord], None], level: int) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.setLevel(level)
        self._put = put

    def enqueue(self, record: logging.LogRecord) -> None:
        self._put(record)


@contextmanager
def captured_logs(
    put: Callable[[logging.LogRecord], None], level: int = logging.INFO
) -> Iterator[None]:
    """In a worker: call `put` with this package's records within the block, from `level` on."""
    package, handler = logging.getLogger(PACKAGE), _Handler(put, level)
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
