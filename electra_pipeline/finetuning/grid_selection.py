"""Select the grid point to report of each model and task, by its validation scores."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from electra_pipeline.finetuning.config import SelectBy
from electra_pipeline.finetuning.hyperparameters import Hyperparameters
from electra_pipeline.results.validation import validation_score
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.task import VALIDATION


def select_trials(trials: Sequence[Artifact], by: SelectBy) -> list[tuple[Artifact, str | None]]:
    """Return the trials to report, each with a note on the selection; None without a grid.

    Trials of one model and task that differ in hyperparameters alone are points of a grid, each
    with its seeds. The selected point has the highest median, or best, over its seeds of the task's
    first metric on the validation split; the first of equals. Points with fewer finished seeds than
    others are left out.
    """
    groups: dict[tuple[str, ...], dict[tuple[Any, ...], list[Artifact]]] = {}
    for trial in trials:
        config = trial.config
        # "start" is the on-disk name of a trial's init
        key = (trial.counters["run"], trial.inputs["model"], config["task"], config["start"])
        point = tuple(_hyperparameters(trial).values())
        groups.setdefault(key, {}).setdefault(point, []).append(trial)
    selected: list[tuple[Artifact, str | None]] = []
    for points in groups.values():
        num_seeds = max(map(len, points.values()))
        complete = [members for members in points.values() if len(members) == num_seeds]
        summary = statistics.median if by == "median" else max
        best = max(
            complete, key=lambda members: summary([validation_score(trial)[1] for trial in members])
        )
        note = _note(best[0], list(points.values()), by) if len(points) > 1 else None
        selected += [(trial, note) for trial in best]
    return selected


def _hyperparameters(trial: Artifact) -> Mapping[str, Any]:
    return {name: trial.config[name] for name in Hyperparameters.model_fields}


def _note(selected: Artifact, points: Sequence[Sequence[Artifact]], by: SelectBy) -> str:
    """Return e.g. `best of 4 by median accuracy on validation: learning_rate=0.0001, epochs=10`."""
    values = [_hyperparameters(members[0]) for members in points]
    varied = ", ".join(
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
        for name, value in _hyperparameters(selected).items()
        if any(other[name] != value for other in values)
    )
    metric, _ = validation_score(selected)
    return f"best of {len(points)} by {by} {metric} on {VALIDATION}: {varied}"
