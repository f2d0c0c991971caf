"""A task's examples and encoded inputs, cached between the trials of one process.

Trials that differ in seed or init alone train on the same inputs. Each worker process of a fan-out
runs many of them in a row, so it reads and tokenizes each task once. A cache file would spare the
other workers this too, but needs a format for every kind of task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from electra_pipeline.core.identity import canonical_json
from electra_pipeline.tasks.data.load import TaskData, load
from electra_pipeline.tasks.kinds.kind import Encoded
from electra_pipeline.tasks.task import Task


@dataclass(frozen=True)
class _Request:
    """Arguments of `load_encoded`; `key` alone determines the result and is compared."""

    key: bytes
    task: Task = field(compare=False)
    data: str | None = field(compare=False)
    digests: Mapping[str, str] = field(compare=False)
    tokenizer: Any = field(compare=False)
    max_length: int = field(compare=False)


def load_encoded(
    task: Task, data: str | None, digests: Mapping[str, str], tokenizer: Any, max_length: int
) -> tuple[TaskData, Encoded]:
    """Return the task's examples, and those of train as inputs of at most `max_length` tokens.

    `data` is the directory of the published tasks' files, and `digests` the sha256 of each split's
    examples when the trial was planned. Raises ValueError if they differ now.
    """
    content = tokenizer.backend_tokenizer.to_str()
    input_names = tokenizer.model_input_names  # whether inputs have segments
    key = [task.model_dump(mode="json"), data, digests, max_length, input_names, content]
    return _load(_Request(canonical_json(key), task, data, digests, tokenizer, max_length))


@lru_cache(maxsize=1)
def _load(wanted: _Request) -> tuple[TaskData, Encoded]:
    data = load(wanted.task, wanted.data, quiet=True)  # planning logged the same warnings
    if data.digests != wanted.digests:
        raise ValueError("the task's files changed since it was planned; run it again")
    return data, data.problem.encode(wanted.tokenizer, data.train, wanted.max_length, training=True)
