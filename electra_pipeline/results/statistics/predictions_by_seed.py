"""Predictions of all seeds of a task, aligned by example."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from electra_pipeline.results.predictions import FILE
from electra_pipeline.storage.artifact import Artifact


@dataclass(frozen=True)
class Predictions:
    """The predictions of every seed for the labelled examples of one split, in their order."""

    task: str
    type: str
    split: str
    labels: tuple[str, ...] | None
    """The classes in the task's order, if the task lists them."""
    seeds: tuple[int, ...]
    ids: list[str]
    inputs: Sequence[str]
    expected: list[Any]
    predicted: list[list[Any]]
    """Predictions by seed."""
    details: list[list[Any]]
    """Probabilities, margins and so on of each prediction, by seed; None if there are none."""
    scores: NDArray[np.float64]
    """(seeds, examples), higher is better."""

    @property
    def num_examples(self) -> int:
        return len(self.ids)


def read(trials: Iterable[Artifact]) -> Iterator[Predictions]:
    """Yield the predictions of each task and labelled split; trials without any are skipped.

    Trials of a task are aligned if they were scored on the same data. Raises ValueError if their
    examples differ nevertheless.
    """
    for group in grouped(trials):
        yield from side_by_side(group)


def grouped(trials: Iterable[Artifact]) -> list[list[Artifact]]:
    """Group the trials that have predictions by task and data, each group in order of seeds."""
    groups: dict[tuple[str, ...], list[Artifact]] = {}
    for trial in trials:
        if FILE in trial.file_names():
            splits = sorted(trial.counters["examples"])
            data = (f"{split} {trial.inputs.get(split)}" for split in splits)
            groups.setdefault((str(trial.config["task"]), *data), []).append(trial)
    return [
        sorted(group, key=lambda trial: int(trial.config["seed"]))
        for _, group in sorted(groups.items())
    ]


def side_by_side(trials: Sequence[Artifact]) -> Iterator[Predictions]:
    """Yield the predictions of one group by labelled split. Raises ValueError as `read` does."""
    tables = [pq.read_table(trial.local_file(FILE)) for trial in trials]
    first = trials[0].config
    for split in dict.fromkeys(tables[0]["split"].to_pylist()):
        of_split = [_labelled(table, split) for table in tables]
        if not of_split[0].num_rows:
            continue
        ids = of_split[0]["id"].to_pylist()
        for trial, table in zip(trials, of_split, strict=True):
            if table["id"].to_pylist() != ids:
                raise ValueError(
                    f"{trial.folder}/{FILE}: other examples of {split} than "
                    f"{trials[0].folder}/{FILE} has, from the same data; "
                    "remove the older of the two and fine-tune again"
                )
        yield Predictions(
            task=str(first["task"]),
            type=str(first["type"]),
            split=split,
            labels=tuple(first["labels"]) if first.get("labels") else None,
            seeds=tuple(int(trial.config["seed"]) for trial in trials),
            ids=ids,
            inputs=of_split[0]["input"].to_pylist(),
            expected=_values(of_split[0], "expected"),
            predicted=[_values(table, "prediction") for table in of_split],
            details=[_values(table, "detail") for table in of_split],
            scores=np.array([table["score"].to_numpy() for table in of_split], dtype=np.float64),
        )


def _labelled(table: pa.Table, split: str) -> pa.Table:
    """Return the rows of a split that have a label, hence a score."""
    is_wanted = pc.and_(pc.equal(table["split"], split), pc.is_valid(table["score"]))
    return table.filter(pc.and_(is_wanted, pc.is_valid(table["expected"])))


def _values(table: pa.Table, column: str) -> list[Any]:
    return [None if text is None else orjson.loads(text) for text in table[column].to_pylist()]
