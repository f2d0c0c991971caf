"""Aggregate results over seeds, and group them into one line a score."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from electra_pipeline.results.store import KEY, Row

MODELS = ("pretrained", "random", "majority")  # named baselines come after the first


def aggregate(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return median, minimum, maximum and standard deviation over seeds, and their number.

    `lower` and `upper` are the confidence interval over the examples of the median seed (of an even
    number of seeds, the lower middle one); `note` joins the rows' notes with their seeds. One row
    for each (run, model, fingerprint, task, metric, split), in order of appearance.
    """
    names = [name for name in KEY if name != "seed"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    found = []
    for key, members in groups.items():
        values = [float(row["value"]) for row in members]
        middle = sorted(members, key=lambda row: float(row["value"]))[(len(members) - 1) // 2]
        found.append(
            {
                **dict(zip(names, key, strict=True)),
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                "num_seeds": len(values),
                "lower": middle.get("lower"),
                "upper": middle.get("upper"),
                "examples": max(int(row["examples"]) for row in members),
                "note": joined_notes(members),
            }
        )
    return found


def joined_notes(rows: Iterable[Row]) -> str | None:
    """Return each note of the rows with the seeds that have it; None without notes."""
    seeds: dict[str, list[int]] = {}
    for row in rows:
        if row.get("note"):
            seeds.setdefault(row["note"], []).append(int(row["seed"]))
    return (
        "; ".join(
            f"{note} ({'seed' if len(of) == 1 else 'seeds'} {', '.join(map(str, sorted(of)))})"
            for note, of in seeds.items()
        )
        or None
    )


def model_order(names: Iterable[str]) -> list[str]:
    """Return models in the order of their columns: pretrained, named ones, random, majority."""
    found = set(names)
    first, *baselines = MODELS
    named = sorted(found - set(MODELS))
    return [name for name in (first, *named, *baselines) if name in found]


@dataclass(frozen=True)
class ScoreLine:
    """One score of a task: the pre-trained model and the baselines."""

    run: str
    fingerprint: str
    task: str
    metric: str
    split: str
    examples: int
    scores: Mapping[str, Row]
    """The aggregated row of each model."""

    @property
    def num_seeds(self) -> int:
        """Return the number of seeds of the pre-trained model, else of the first baseline."""
        first = model_order(self.scores)[0]
        return int(self.scores[first]["num_seeds"])

    @property
    def difference(self) -> float | None:
        """Return the median of the pre-trained model minus that of random weights."""
        if "pretrained" not in self.scores or "random" not in self.scores:
            return None
        return float(self.scores["pretrained"]["median"] - self.scores["random"]["median"])

    @property
    def standing(self) -> Literal["ahead", "behind"] | None:
        """Return whether every seed of the pre-trained model is above, or below, all of random."""
        if self.difference is None:
            return None
        pretrained, random = self.scores["pretrained"], self.scores["random"]
        if pretrained["min"] > random["max"]:
            return "ahead"
        return "behind" if pretrained["max"] < random["min"] else None


def score_lines(summaries: Iterable[Row]) -> list[ScoreLine]:
    """Return one line for each (run, fingerprint, task, metric, split) with all its models."""
    names = ("run", "fingerprint", "task", "metric", "split")
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in summaries:
        groups.setdefault(tuple(row[name] for name in names), {})[row["model"]] = row
    return [
        ScoreLine(
            **dict(zip(names, key, strict=True)),
            examples=max(int(score["examples"]) for score in scores.values()),
            scores=scores,
        )
        for key, scores in sorted(groups.items(), key=lambda item: item[0])
    ]
