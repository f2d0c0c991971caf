"""Which point of a grid is reported, chosen openly by the validation split."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from electra_pipeline.finetuning.loop import Hyperparameters
from electra_pipeline.results.validation import validation_score
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.task import VALIDATION

Choice = Literal["median", "best"]


def choose(trials: Sequence[Artifact], by: Choice) -> list[tuple[Artifact, str | None]]:
    """The trials to report, each with what must be said of the choice; None where there was none.

    Trials that differ in their hyperparameters alone are points of a grid, seed by seed. Of each
    model and task the point is chosen whose seeds have the highest median, or the highest best,
    of the task's first metric on the validation split; at equal scores the first. Points that lost
    seeds give way to those that did not.
    """
    groups: dict[tuple[str, ...], dict[tuple[Any, ...], list[Artifact]]] = {}
    for trial in trials:
        config = trial.config
        key = (trial.counters["run"], trial.inputs["model"], config["task"], config["start"])
        groups.setdefault(key, {}).setdefault(tuple(_point(trial).values()), []).append(trial)
    found: list[tuple[Artifact, str | None]] = []
    for points in groups.values():
        most = max(map(len, points.values()))
        whole = [members for members in points.values() if len(members) == most]
        chosen = max(whole, key=lambda members: _score(members, by))
        note = _note(chosen[0], list(points.values()), by) if len(points) > 1 else None
        found += [(trial, note) for trial in chosen]
    return found


def _point(trial: Artifact) -> Mapping[str, Any]:
    return {name: trial.config[name] for name in Hyperparameters.model_fields}


def _score(members: Sequence[Artifact], by: Choice) -> float:
    scores = [validation_score(trial)[1] for trial in members]
    return statistics.median(scores) if by == "median" else max(scores)


def _note(chosen: Artifact, points: Sequence[Sequence[Artifact]], by: Choice) -> str:
    """`best of 4 by median accuracy on validation: learning_rate=0.0001, epochs=10`."""
    values = [_point(members[0]) for members in points]
    varied = ", ".join(
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
        for name, value in _point(chosen).items()
        if any(other[name] != value for other in values)
    )
    metric, _ = validation_score(chosen)
    return f"best of {len(points)} by {by} {metric} on {VALIDATION}: {varied}"
