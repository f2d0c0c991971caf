"""Predictions of all seeds of a task, aligned by example."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.results.predictions import FILE, is_labelled, read
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
    """Yield the predictions of one group by labelled split, in the order of the examples.

    Raises ValueError if the trials' examples differ although they were scored on the same data.
    """
    by_trial = [read(trial, is_labelled) for trial in trials]
    first = trials[0].config
    for split, examples in by_trial[0].items():
        rows_by_seed = [rows.get(split, []) for rows in by_trial]
        ids = [row["id"] for row in examples]
        for trial, rows in zip(trials, rows_by_seed, strict=True):
            if [row["id"] for row in rows] != ids:
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
            inputs=[row["input"] for row in examples],
            expected=[row["expected"] for row in examples],
            predicted=[[row["prediction"] for row in rows] for rows in rows_by_seed],
            details=[[row["detail"] for row in rows] for rows in rows_by_seed],
            scores=np.array([[row["score"] for row in rows] for rows in rows_by_seed]),
        )
