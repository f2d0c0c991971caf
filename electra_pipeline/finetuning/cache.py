"""A task's examples and model inputs, kept from one trial to the next of the same process.

Trials that differ in seed or starting weights alone train on the same inputs. A worker process of a
fan-out runs many of them in a row, so that each task is read and tokenized once a worker: a file
would save the other workers' share too, and cost a format for every kind of task.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from electra_pipeline.core.identity import canonical_json
from electra_pipeline.tasks.data.load import TaskData, load
from electra_pipeline.tasks.kinds.kind import Encoded
from electra_pipeline.tasks.task import Task


@dataclass(frozen=True)
class _Request:
    """What decides a task's examples and inputs, as `key`; with equal keys they are equal."""

    key: bytes
    task: Task = field(compare=False)
    place: str | None = field(compare=False)
    digests: Mapping[str, str] = field(compare=False)
    tokenizer: Any = field(compare=False)
    max_length: int = field(compare=False)


def prepare(
    task: Task, place: str | None, digests: Mapping[str, str], tokenizer: Any, max_length: int
) -> tuple[TaskData, Encoded]:
    """The task's checked examples, and those to train on as inputs of at most `max_length` tokens.

    `place` is where published tasks lie, and `digests` what the examples had when the trial was
    planned. Raises ValueError if they have others now.
    """
    content = tokenizer.backend_tokenizer.to_str()
    told = tokenizer.model_input_names  # whether inputs have segments
    key = [task.model_dump(mode="json"), place, digests, max_length, told, content]
    return _prepare(_Request(canonical_json(key), task, place, digests, tokenizer, max_length))


@lru_cache(maxsize=1)
def _prepare(wanted: _Request) -> tuple[TaskData, Encoded]:
    with _quiet():
        data = load(wanted.task, wanted.place)
    if data.digests != wanted.digests:
        raise ValueError("the task's files changed since it was planned; run it again")
    return data, data.kind.encode(wanted.tokenizer, data.train, wanted.max_length, training=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of reading: planning has logged the same of the same examples."""
    logger = logging.getLogger("electra_pipeline.tasks")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
