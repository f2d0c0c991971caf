"""Learning curves: the scores of a model's checkpoints over the pre-training steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from electra_pipeline.results.aggregation import aggregate
from electra_pipeline.results.pretraining import split
from electra_pipeline.results.store import Row


@dataclass(frozen=True)
class Point:
    """A score at one step: median, minimum and maximum over seeds."""

    step: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """One metric of a task over the steps, in ascending order, and the baselines' medians."""

    task: str
    metric: str
    split: str
    points: tuple[Point, ...]
    baselines: Mapping[str, float]

    @property
    def title(self) -> str:
        return f"{self.task} {self.metric}, {self.split}"


def learning_curves(rows: Iterable[Row], steps: Mapping[str, int]) -> list[LearningCurve]:
    """Return one curve for each (task, metric, split) of the checkpoints in `steps`.

    `steps` maps the fingerprint of a published checkpoint to its step. Baselines do not depend on
    the step: their median at the last step is taken.
    """
    of_tasks, _ = split(row for row in rows if row["fingerprint"] in steps)
    summaries = sorted(aggregate(of_tasks), key=lambda row: steps[row["fingerprint"]])
    points: dict[tuple[str, str, str], dict[int, Point]] = {}
    baselines: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in summaries:
        key = (row["task"], row["metric"], row["split"])
        if row["model"] == "pretrained":
            step = steps[row["fingerprint"]]
            point = Point(step, row["median"], row["min"], row["max"])
            points.setdefault(key, {})[step] = point
        else:
            baselines.setdefault(key, {})[row["model"]] = row["median"]
    return [
        LearningCurve(*key, tuple(of_key.values()), baselines.get(key, {}))
        for key, of_key in sorted(points.items())
    ]


def table(curves: Sequence[LearningCurve]) -> tuple[list[str], list[list[str]]]:
    """Return column names and a row for each curve: medians in percent, one column a step."""
    steps = sorted({point.step for curve in curves for point in curve.points})
    lines = []
    for curve in curves:
        medians = {point.step: f"{100 * point.median:.1f}" for point in curve.points}
        cells = [medians.get(step, "-") for step in steps]
        lines.append([curve.task, curve.metric, curve.split, *cells])
    return ["task", "metric", "split", *(f"step {step:,}" for step in steps)], lines
