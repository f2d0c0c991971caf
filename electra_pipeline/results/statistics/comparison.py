"""Paired comparison of two models: difference, confidence interval and significance by task.

A difference of scores varies with the fine-tuning seeds and with the examples that were scored
(Bouthillier et al. 2021, arXiv:2103.03098). The variance of the mean difference is the variance of
the seeds' differences divided by their number plus, where predictions exist, the bootstrap variance
over the examples. Interval and p value are those of Student's t with Satterthwaite's (1946) degrees
of freedom; without predictions this is the paired t test. Bootstrap percentiles over a few seeds
would be far too narrow (Colas et al. 2018, arXiv:1806.08295, advise against them below 20 seeds).
Holm's method (1979) corrects the p values of all lines together.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from electra_pipeline.results import predictions, pretraining
from electra_pipeline.results.aggregation import joined_notes
from electra_pipeline.results.statistics.significance import holm, sign_flip, student
from electra_pipeline.results.store import Row
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.bootstrap import LEVEL, groups, resampled
from electra_pipeline.tasks.kinds.metrics import METRICS, statistic

# Its rows refer to the trial of another model and have no predictions of their own.
MAJORITY = "majority"

Score = tuple[str, str, str]
"""Task, split and metric."""
Read = Callable[[str], Mapping[str, Sequence[Row]]]


@dataclass(frozen=True, order=True)
class Side:
    """One side of a comparison: a model of a run."""

    run: str
    model: str
    fingerprint: str

    @property
    def name(self) -> str:
        return f"{self.run}:{self.model}"

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint})"


@dataclass(frozen=True)
class Line:
    """A compared with B by one metric; differences are A minus B."""

    task: str
    split: str
    metric: str
    seeds: tuple[int, ...]
    """The seeds that both sides have."""
    median_a: float
    median_b: float
    difference: float
    """Mean over the seeds."""
    lower: float | None
    upper: float | None
    """95 % confidence interval of the difference; None if its variance is unknown."""
    over_examples: bool
    """Whether interval and p value include the variance over examples, not only over seeds."""
    p: float | None
    p_holm: float | None
    """Corrected for all lines of the comparison."""
    p_sign_flip: float
    """P value of the exact sign-flip test over the seeds' differences."""
    p_sign_flip_smallest: float
    """The smallest p value that this test can give with so few seeds."""
    wins: int
    ties: int
    losses: int

    @property
    def verdict(self) -> str:
        if self.wins + self.losses == 0 and self.difference == 0:
            return "alike"
        if len(self.seeds) == 1:
            return "not shown with 1 seed"
        if self.p_holm is None or self.p_holm > 1 - LEVEL:
            return f"not shown with {len(self.seeds)} seeds"
        return f"{'A' if self.difference > 0 else 'B'} is ahead"


@dataclass(frozen=True)
class Comparison:
    a: Side
    b: Side
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]
    """Scores that could not be compared, with the reason."""
    notes: tuple[str, ...]
    """The notes of the compared rows."""


def sides(rows: Iterable[Row]) -> list[Side]:
    """Return all models in the rows of tasks."""
    of_tasks, _ = pretraining.split(rows)
    return sorted({Side(row["run"], row["model"], row["fingerprint"]) for row in of_tasks})


def find_side(rows: Sequence[Row], name: str) -> Side:
    """Return the model called `name`: a run, a model, or RUN:MODEL.

    A run alone, or the fingerprint of a published model instead of its name, means the pre-trained
    model. Raises ValueError with the candidates if no model or several models match.
    """
    known = sides(rows)
    found = [
        side
        for side in known
        if name == side.model
        or name in (side.name, f"{side.fingerprint}:{side.model}")
        or (name in (side.run, side.fingerprint) and side.model == "pretrained")
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        shown = ", ".join(sorted({side.name for side in known})) or "none"
        raise ValueError(f"--compare {name}: no such run or model; there are {shown}")
    choices = [side.name for side in found]
    if len(set(choices)) < len(choices):  # a run that was trained again
        choices = [f"{side.fingerprint}:{side.model}" for side in found]
    raise ValueError(f"--compare {name}: could be {' or '.join(choices)}; name one of them")


def compare(
    rows: Sequence[Row], a: Side, b: Side, trials: Mapping[str, Artifact] | None = None
) -> Comparison:
    """Compare all scores that both sides have, over the seeds that both have.

    `trials` maps fingerprints to the artifacts that hold the predictions; scores without them are
    compared over seeds alone. Raises ValueError if both sides are the same or share no score.
    """
    if a == b:
        raise ValueError(f"--compare: both are {a}; name two models")
    scores_a, scores_b = _scores(rows, a), _scores(rows, b)
    lines, left_out, notes = [], [], []
    trials = trials or {}
    # Cached: the metrics of a task read the same trials one after the other.
    read = lru_cache(maxsize=64)(lambda name: predictions.read(trials[name]))
    for score in sorted({*scores_a, *scores_b}):
        rows_a, rows_b = scores_a.get(score, {}), scores_b.get(score, {})
        seeds = tuple(sorted(rows_a.keys() & rows_b.keys()))
        pairs = [(rows_a[seed], rows_b[seed]) for seed in seeds]
        label = " ".join(score)
        reason = _obstacle(a, b, rows_a, rows_b) or _other_examples(score, pairs, trials)
        if reason:
            left_out.append(f"{label}: {reason}")
            continue
        if unpaired := sorted(rows_a.keys() ^ rows_b.keys()):
            which = ", ".join(map(str, unpaired))
            left_out.append(f"{label}: seeds {which} are only on one side")
        variance = None
        if MAJORITY not in (a.model, b.model):
            names = [row["trial"] for pair in pairs for row in pair]
            variance = _variance_over_examples(score, names, trials, read)
        lines.append(_line(score, seeds, pairs, variance))
        for letter, compared in zip("AB", zip(*pairs, strict=True), strict=True):
            if note := joined_notes(compared):
                notes.append(f"{score[0]}, {letter}: {note}")
    if not lines:
        reasons = "; ".join(left_out[:3]) or "neither has a score of a task"
        raise ValueError(f"--compare: {a} and {b} have no score in common ({reasons})")
    corrected = holm([line.p for line in lines])
    lines = [replace(line, p_holm=p) for line, p in zip(lines, corrected, strict=True)]
    return Comparison(a, b, tuple(lines), tuple(left_out), tuple(dict.fromkeys(notes)))


def _scores(rows: Iterable[Row], side: Side) -> dict[Score, dict[int, Row]]:
    """Return the side's rows by score and seed."""
    found: dict[Score, dict[int, Row]] = {}
    of_tasks, _ = pretraining.split(rows)
    for row in of_tasks:
        if Side(row["run"], row["model"], row["fingerprint"]) == side:
            score = (row["task"], row["split"], row["metric"])
            found.setdefault(score, {})[int(row["seed"])] = row
    return found


def _obstacle(a: Side, b: Side, rows_a: Mapping[int, Row], rows_b: Mapping[int, Row]) -> str | None:
    for side, rows in ((a, rows_a), (b, rows_b)):
        if not rows:
            return f"{side} has no such score"
    if not rows_a.keys() & rows_b.keys():
        return "no seed in common"
    counts = sorted({int(row["examples"]) for row in (*rows_a.values(), *rows_b.values())})
    if len(counts) > 1:
        return f"scored on different examples ({' and '.join(map(str, counts))})"
    return None


def _other_examples(
    score: Score, pairs: Sequence[tuple[Row, Row]], trials: Mapping[str, Artifact]
) -> str | None:
    """Return a reason if the trials' digests of the scored examples differ."""
    found = [trials[row["trial"]] for pair in pairs for row in pair if row["trial"] in trials]
    digests = {artifact.inputs.get(score[1]) for artifact in found}
    if len(digests) > 1:
        return "scored on different examples (equal in number, another digest)"
    return None


def _variance_over_examples(
    score: Score, fingerprints: Sequence[str], trials: Mapping[str, Artifact], read: Read
) -> float | None:
    """Return the bootstrap variance of the mean difference over the examples; None if unknown.

    All trials are resampled with the same draws. `fingerprints` alternate between trials of A and
    of B.
    """
    _, split, metric = score
    compared = []
    rows: Sequence[Row] = []
    kind = ""
    for name in fingerprints:
        trial = trials.get(name)
        if trial is None or predictions.FILE not in trial.file_names():
            return None
        kind, rows = trial.config["type"], read(name)[split]
        if metric not in METRICS[kind]:
            return None
        compared.append(statistic(kind, metric, rows))
    values = resampled(compared, groups(kind, rows))
    differences = (values[0::2] - values[1::2]).mean(axis=0)
    return float(differences.var(ddof=1))


def _line(
    score: Score,
    seeds: tuple[int, ...],
    pairs: Sequence[tuple[Row, Row]],
    variance: float | None,
) -> Line:
    task, split, metric = score
    values = np.array([[row["value"] for row in pair] for pair in pairs], dtype=np.float64)
    differences = values[:, 0] - values[:, 1]
    (lower, upper), p = student(differences, variance or 0.0)
    return Line(
        task=task,
        split=split,
        metric=metric,
        seeds=seeds,
        median_a=statistics.median(values[:, 0].tolist()),
        median_b=statistics.median(values[:, 1].tolist()),
        difference=float(differences.mean()),
        lower=lower,
        upper=upper,
        over_examples=variance is not None,
        p=p,
        p_holm=None,
        p_sign_flip=sign_flip(differences),
        p_sign_flip_smallest=2.0 ** (1 - len(seeds)),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
    )
