"""The metrics of each kind of task, each defined once, for any weights of the examples.

A metric computes some values for each example, and the score from these values and weights. The
score that is reported has weight 1 for every example; in the score of a bootstrap resample an
example weighs as often as it was drawn. All scores lie between -1 and 1. Where a published script
divides by zero (F1 without a positive, a correlation with a constant) the score is 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.tasks.kinds.answer_texts import (
    answer_character_f1,
    answer_exact,
    answer_f1,
    answer_korquad_f1,
    best_accepted,
)
from electra_pipeline.tasks.kinds.chunks import chunks

Array = NDArray[np.float64]
Row = Mapping[str, Any]
"""What `TaskKind.row` returns for an example: expected value, prediction and details."""


@dataclass(frozen=True)
class Metric:
    """A metric: the values that it needs of each example, and the score from them."""

    values: Callable[[Sequence[Row]], Sequence[Sequence[Any]]]
    """From rows (examples) to numbers (examples, k)."""
    score: Callable[[Array, Array], Array]
    """From values (cells, k) and weights (resamples, cells) to scores (resamples,)."""


@dataclass(frozen=True)
class Statistic:
    """A metric of given examples, as a function of their weights."""

    values: Array
    """(cells, k); a cell is an example, or several that have the same values."""
    score: Callable[[Array, Array], Array]

    def __call__(self, weights: Array) -> Array:
        """Return the scores (resamples,) for weights (resamples, cells)."""
        return self.score(self.values, weights)

    def observed(self) -> float:
        """Return the score of the examples as they are: each has weight 1."""
        return float(self(np.ones((1, len(self.values))))[0])


def statistic(kind: str, metric: str, rows: Sequence[Row]) -> Statistic:
    """Return a kind's metric of labelled rows. Raise KeyError if the kind has no such metric."""
    found = METRICS[kind][metric]
    values = np.array(found.values(rows), dtype=np.float64).reshape(len(rows), -1)
    return Statistic(values, found.score)


# --- values of each example -----------------------------------------------------------------------


def _pairs(rows: Sequence[Row]) -> list[tuple[Any, Any]]:
    """Return expected and predicted value."""
    return [(row["expected"], row["prediction"]) for row in rows]


def _is_right(rows: Sequence[Row]) -> list[tuple[bool, int]]:
    return [(expected == predicted, 1) for expected, predicted in _pairs(rows)]


def _class_codes(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return expected and predicted class, as numbers from 0 in the order of the names."""
    pairs = _pairs(rows)
    codes = {label: code for code, label in enumerate(sorted({each for p in pairs for each in p}))}
    return [(codes[expected], codes[predicted]) for expected, predicted in pairs]


def _positives(rows: Sequence[Row]) -> list[tuple[bool, bool, bool]]:
    """Return whether the second of two classes is right, is expected, is predicted.

    This is the F1 of GLUE's MRPC and QQP.
    """
    _, positive = rows[0]["detail"]["probabilities"]  # both classes, in their order
    return [
        (expected == predicted == positive, expected == positive, predicted == positive)
        for expected, predicted in _pairs(rows)
    ]


def _right_words(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return the numbers of words with the right tag, as the file has it, and of all words."""
    return [
        (sum(a == b for a, b in zip(expected, predicted, strict=True)), len(expected))
        for expected, predicted in _pairs(rows)
    ]


def _chunk_counts(rows: Sequence[Row]) -> list[tuple[int, int, int]]:
    """Return the numbers of right, expected and predicted chunks.

    A chunk is right if its type and both ends are (Tjong Kim Sang and Buchholz 2000, section 4).
    """
    counts = []
    for tags, guesses in _pairs(rows):
        expected, predicted = set(chunks(tags)), set(chunks(guesses))
        counts.append((len(expected & predicted), len(expected), len(predicted)))
    return counts


def _answers(compare: Callable[[str, str], float]) -> Callable[[Sequence[Row]], Any]:
    """Return a function: the best comparison of the predicted answer with any accepted one."""
    return lambda rows: [
        (best_accepted(compare, accepted, answer), 1) for accepted, answer in _pairs(rows)
    ]


def _withdrawable(compare: Callable[[str, str], float]) -> Callable[[Sequence[Row]], Any]:
    """Return a function: the comparison of the answer, of the empty answer, and the null margin."""

    def values(rows: Sequence[Row]) -> list[tuple[float, float, float]]:
        found = []
        for row in rows:
            margin = row["detail"]["null_margin"]
            kept = best_accepted(compare, row["expected"], row["detail"]["answer"])
            withdrawn = best_accepted(compare, row["expected"], "")
            found.append((kept, withdrawn, -np.inf if margin is None else margin))
        return found

    return values


# --- scores from values and weights ---------------------------------------------------------------


def _divide(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, 0 where the denominator is."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), 0.0)


def _sums(values: Array, weights: Array) -> Array:
    """Return the weighted sums (resamples, k) of values (cells, k)."""
    if len(weights) == 1:  # a reported score: exact, whatever the order in which a BLAS adds
        return np.array([[math.fsum(column) for column in (values * weights.T).T]])
    return weights @ values


def _ratio(values: Array, weights: Array) -> Array:
    """Return the sum of the first value over the sum of the second."""
    sums = _sums(values, weights)
    return _divide(sums[:, 0], sums[:, 1])


def _f1(values: Array, weights: Array) -> Array:
    """Return the F1 of counts: right, expected, predicted."""
    sums = _sums(values, weights)
    return _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _recall(values: Array, weights: Array) -> Array:
    return _ratio(values[:, [0, 1]], weights)


def _precision(values: Array, weights: Array) -> Array:
    return _ratio(values[:, [0, 2]], weights)


def _class_counts(codes: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return right, expected and predicted examples by class, (resamples, classes) each."""
    classes = np.arange(int(codes.max()) + 1)
    expected, predicted = codes[:, :1] == classes, codes[:, 1:] == classes
    right = expected & predicted
    return (
        weights @ right.astype(np.float64),
        weights @ expected.astype(np.float64),
        weights @ predicted.astype(np.float64),
    )


def _macro_f1(codes: Array, weights: Array) -> Array:
    """Return the mean F1 of the classes that are expected or predicted, as scikit-learn does."""
    right, expected, predicted = _class_counts(codes, weights)
    present = (expected + predicted > 0).sum(axis=1)
    return np.asarray(_divide(2 * right, expected + predicted).sum(axis=1) / present)


def _matthews(codes: Array, weights: Array) -> Array:
    """Return the correlation of any number of classes (Gorodkin 2004, equation 8)."""
    right, expected, predicted = _class_counts(codes, weights)
    total = weights.sum(axis=1)
    covariance = right.sum(axis=1) * total - (expected * predicted).sum(axis=1)
    variances = (total**2 - (expected**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return _divide(covariance, np.sqrt(variances))


def _pearson(values: Array, weights: Array) -> Array:
    # A constant side is exactly 0, so that its variance is.
    centred = np.where(np.ptp(values, axis=0) > 0, values - values.mean(axis=0), 0.0)
    return _correlation(centred[:, 0], centred[:, 1], weights)


def _spearman(values: Array, weights: Array) -> Array:
    return _correlation(_ranks(values[:, 0], weights), _ranks(values[:, 1], weights), weights)


def _correlation(x: Array, y: Array, weights: Array) -> Array:
    """Return the weighted correlation (resamples,) of x and y: (cells,), or (resamples, cells).

    It is 0 where a side is constant; scipy, and so GLUE's own script, has nan there.
    """
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    covariance = (weights * x * y).sum(axis=1)
    variances = (weights * x**2).sum(axis=1), (weights * y**2).sum(axis=1)
    # The variance of a constant side is not 0, but a rounding error.
    floors = [1e-12 * weights.sum(axis=1) * np.max(side**2, initial=0.0) for side in (x, y)]
    varied = (variances[0] > floors[0]) & (variances[1] > floors[1])
    quotient = _divide(covariance, np.where(varied, np.sqrt(variances[0] * variances[1]), 0.0))
    return np.clip(quotient, -1.0, 1.0)  # rounding may exceed 1


def _ranks(values: Array, weights: Array) -> Array:
    """Return the mean rank (resamples, cells) of each cell's examples among the resampled ones."""
    distinct, where = np.unique(values, return_inverse=True)
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Array = np.cumsum(counts, axis=1) - (counts - 1) / 2
    return ranks[:, where]


def _best_ratio(values: Array, weights: Array) -> Array:
    """Return the mean score at the threshold that is best for these examples.

    SQuAD 2.0's official script does this for its leaderboard. It is optimistic, because the
    threshold is chosen on the scored labels.
    """
    gains, _ = _gains(values, weights)
    sums = _sums(values[:, 1:2], weights)[:, 0]
    return _divide(sums + np.maximum(gains.max(axis=1), 0.0), weights.sum(axis=1))


def best_threshold(values: Sequence[tuple[float, float, float]]) -> float:
    """Return the threshold on the null margin with the highest mean score.

    values: of each question the score of its answer, the score of none, and its null margin. A
    question scores the second where its margin is above the threshold, else the first
    (`find_best_thresh` of evaluate-v2.0.py). Raise ValueError if there is no question.
    """
    if not values:
        raise ValueError("no questions to choose a threshold on")
    array = np.array(values, dtype=np.float64)
    gains, margins = _gains(array, np.ones((1, len(array))))
    totals = math.fsum(array[:, 1]) + np.concatenate([[0.0], gains[0]])
    best = int(np.argmax(totals))
    return float(margins[best - 1] if best > 0 else margins[0] - 1.0)


def _gains(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return the gain in score (resamples, margins) of answering up to each margin; the margins."""
    order = np.argsort(values[:, 2], kind="stable")
    kept, withdrawn, margins = values[order].T
    gains = np.cumsum(weights[:, order] * (kept - withdrawn), axis=1)
    is_last = np.append(margins[1:] > margins[:-1], True)  # equal margins are decided together
    return gains[:, is_last], margins[is_last]


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "classification": {
        "accuracy": Metric(_is_right, _ratio),
        "f1": Metric(_positives, _f1),
        "macro_f1": Metric(_class_codes, _macro_f1),
        "matthews": Metric(_class_codes, _matthews),
    },
    "regression": {"pearson": Metric(_pairs, _pearson), "spearman": Metric(_pairs, _spearman)},
    "tagging": {
        "f1": Metric(_chunk_counts, _f1),
        "precision": Metric(_chunk_counts, _precision),
        "recall": Metric(_chunk_counts, _recall),
        "accuracy": Metric(_right_words, _ratio),
    },
    "question-answering": {
        "exact_match": Metric(_answers(answer_exact), _ratio),
        "f1": Metric(_answers(answer_f1), _ratio),
        "best_exact_match": Metric(_withdrawable(answer_exact), _best_ratio),
        "best_f1": Metric(_withdrawable(answer_f1), _best_ratio),
        "character_f1": Metric(_answers(answer_character_f1), _ratio),
        "best_character_f1": Metric(_withdrawable(answer_character_f1), _best_ratio),
        "korquad_f1": Metric(_answers(answer_korquad_f1), _ratio),
    },
    "multiple-choice": {"accuracy": Metric(_is_right, _ratio)},
}
"""By kind of task: the metrics, in the order in which they are reported."""
