"""Confusion matrices and calibration curves of a task's predictions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.results.statistics.predictions_by_seed import Predictions

MAX_CLASSES = 20  # of a confusion matrix; rarer classes are merged
# of a calibration curve; Guo et al. 2017 (arXiv:1706.04599) take 15 for 10,000 examples
NUM_BINS = 10
OTHERS = "(others)"


@dataclass(frozen=True)
class Confusion:
    """Counts of (expected, predicted) classes, summed over the seeds."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Return counts divided by the sum of their row; 0 in empty rows."""
        totals = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        fractions: NDArray[np.float64] = self.counts / totals
        return fractions


@dataclass(frozen=True)
class Calibration:
    """Accuracy of predictions by their probability, in those bins of equal width that have any."""

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def error(self) -> float:
        """Return the expected calibration error (Guo et al. 2017, arXiv:1706.04599, equation 3)."""
        gaps = np.abs(np.array(self.confidence) - np.array(self.accuracy))
        return float(np.average(gaps, weights=self.counts))


def confuse(predictions: Predictions) -> Confusion | None:
    """Return the confusion matrix of classes or tags; None for other kinds of task."""
    if predictions.type not in ("classification", "tagging"):
        return None
    pairs: Counter[tuple[str, str]] = Counter()
    for predicted in predictions.predicted:
        for expected, answer in zip(predictions.expected, predicted, strict=True):
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
    position = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (expected, answer), count in pairs.items():
        row, column = (position.get(label, len(labels) - 1) for label in (expected, answer))
        counts[row, column] += count
    return Confusion(labels, counts)


def calibrate(predictions: Predictions) -> Calibration | None:
    """Return accuracy against the probability of the predicted class, over all seeds."""
    sure, right = [], []
    for seed, details in enumerate(predictions.details):
        for index, detail in enumerate(details):
            given = probabilities(detail).get(str(predictions.predicted[seed][index]))
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
    """Return the probability of each class, empty if the prediction has none."""
    found = detail.get("probabilities") if isinstance(detail, Mapping) else None
    return found if isinstance(found, Mapping) else {}
