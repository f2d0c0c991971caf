"""What was said against what was expected: classes with each other, and trust with success."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.results.statistics.predictions_by_seed import Predictions

MAX_CLASSES = 20  # of a confusion matrix; rarer ones are counted together
NUM_BINS = 10  # of a calibration; Guo et al. 2017 (arXiv:1706.04599) take 15 for 10,000 examples
OTHERS = "(others)"


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for which, (expected, said), summed over the seeds."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Counts over the sum of their row; 0 in rows that are empty."""
        totals = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        shares: NDArray[np.float64] = self.counts / totals
        return shares


@dataclass(frozen=True)
class Calibration:
    """How often answers of a like probability were right, in bins of equal width that are used."""

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3)."""
        gaps = np.abs(np.array(self.confidence) - np.array(self.accuracy))
        return float(np.average(gaps, weights=self.counts))


def confuse(predictions: Predictions) -> Confusion | None:
    """Classes, or the tags of words, against each other; None for other kinds of tasks."""
    if predictions.type not in ("classification", "tagging"):
        return None
    pairs: Counter[tuple[str, str]] = Counter()
    for said in predictions.said:
        for expected, answer in zip(predictions.expected, said, strict=True):
            if predictions.type == "tagging":
                pairs.update(zip(expected, answer, strict=True))
            else:
                pairs[str(expected), str(answer)] += 1
    sizes: Counter[str] = Counter()
    for (expected, answer), count in pairs.items():
        sizes[expected] += count
        sizes[answer] += count
    if len(sizes) <= MAX_CLASSES:
        named = predictions.labels or tuple(sorted(sizes))
        labels = (*(x for x in named if x in sizes), *sorted(set(sizes) - set(named)))
    else:
        labels = (*(label for label, _ in sizes.most_common(MAX_CLASSES - 1)), OTHERS)
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (expected, answer), count in pairs.items():
        counts[place.get(expected, len(labels) - 1), place.get(answer, len(labels) - 1)] += count
    return Confusion(labels, counts)


def calibrate(predictions: Predictions) -> Calibration | None:
    """Probability of the class that was said against how often it was right, over all seeds."""
    sure, right = [], []
    for seed, details in enumerate(predictions.details):
        for index, detail in enumerate(details):
            given = probabilities(detail).get(str(predictions.said[seed][index]))
            if given is not None:
                sure.append(given)
                right.append(predictions.scores[seed, index] == 1)
    if not sure:
        return None
    bins = np.minimum((np.array(sure) * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    used = np.flatnonzero(counts)
    confidence, accuracy = (
        np.bincount(bins, weights=values, minlength=NUM_BINS)[used] / counts[used]
        for values in (sure, right)
    )
    return Calibration(
        tuple(confidence.tolist()), tuple(accuracy.tolist()), tuple(counts[used].tolist())
    )


def probabilities(detail: Any) -> Mapping[str, float]:
    """The probability of each class, where the detail of a prediction has them."""
    found = detail.get("probabilities") if isinstance(detail, Mapping) else None
    return found if isinstance(found, Mapping) else {}
