"""A task's examples and encoded inputs, cached between the trials of one process.

Trials that differ in seed or init alone train on the same inputs. Each worker process of a fan-out
runs many of them in a row, so it reads and tokenizes each task once. A cache file would spare the
other workers this too, but needs a format for every kind of task.
"""

from collections.abc import Mapping
from typing import Any

from electra_pipeline.core.identity import canonical_json
from electra_pipeline.tasks.data.load import TaskData, load
from electra_pipeline.tasks.kinds.kind import Encoded
from electra_pipeline.tasks.task import Task

_cached: dict[bytes, tuple[TaskData, Encoded]] = {}  # one entry, by the arguments that made it


def load_encoded(
    task: Task, data: str | None, digests: Mapping[str, str], tokenizer: Any, max_length: int
) -> tuple[TaskData, Encoded]:
    """Return the task's examples, and those of train as inputs of at most `max_length` tokens.

    `data` is the directory of the published tasks' files, and `digests` the sha256 of each split's
    examples when the trial was planned. Raises ValueError if they differ now.
    """
    content = tokenizer.backend_tokenizer.to_str()
    input_names = tokenizer.model_input_names  # whether inputs have segments
    key = canonical_json(
        [task.model_dump(mode="json"), data, digests, max_length, input_names, content]
    )
    if key not in _cached:
        _cached.clear()
        loaded = load(task, data, quiet=True)  # planning logged the same warnings
        if loaded.digests != digests:
            raise ValueError("the task's files changed since it was planned; run it again")
        encoded = loaded.kind.encode(tokenizer, loaded.train, max_length, training=True)
        _cached[key] = loaded, encoded
    return _cached[key]
