"""The metrics again, as functions of how often each example counts: what resampling needs.

`measure` takes rows as `TaskKind.show` gives them. With every weight 1 a measure is the metric of
`metrics.py`; with the weights of a resample it is that metric of the resampled examples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from seqeval.metrics.sequence_labeling import get_entities

from electra_pipeline.tasks.kinds.chunks import conll_tag
from electra_pipeline.tasks.kinds.metrics import (
    answer_character_f1,
    answer_exact,
    answer_f1,
    answer_korquad_f1,
    best_accepted,
)

Array = NDArray[np.float64]
Row = Mapping[str, Any]

_OF_ANSWERS: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": answer_exact,
    "f1": answer_f1,
    "character_f1": answer_character_f1,
    "korquad_f1": answer_korquad_f1,
}


@dataclass(frozen=True)
class Measure:
    """A metric of weighted examples."""

    facts: Array
    """(examples, k): all that the metric asks of each example."""
    value: Callable[[Array, Array], Array]
    """From facts (cells, k) and weights (resamples, cells) to (resamples,) values."""

    def __call__(self, weights: Array) -> Array:
        return self.value(self.facts, weights)


def measure(kind: str, metric: str, rows: Sequence[Row]) -> Measure | None:
    """The measure of a kind's metric over labelled rows; None for a metric without one."""
    expected = [row["expected"] for row in rows]
    predicted = [row["prediction"] for row in rows]
    match kind, metric:
        case "tagging", "accuracy":
            counts = [
                (sum(a == b for a, b in zip(given, guess, strict=True)), len(given))
                for given, guess in zip(expected, predicted, strict=True)
            ]
            return Measure(_array(counts), _ratio)
        case "tagging", "f1" | "precision" | "recall":
            return Measure(_chunks(expected, predicted), _OF_CHUNKS[metric])
        case "question-answering", "exact_match" | "f1" | "character_f1" | "korquad_f1":
            score = _OF_ANSWERS[metric]
            scores = [
                best_accepted(score, given, guess)
                for given, guess in zip(expected, predicted, strict=True)
            ]
            return Measure(_array([(score, 1.0) for score in scores]), _ratio)
        case "question-answering", "best_exact_match" | "best_f1" | "best_character_f1":
            return _best(_OF_ANSWERS[metric.removeprefix("best_")], rows)
        case "regression", "pearson":
            return Measure(_array(list(zip(expected, predicted, strict=True))), _pearson)
        case "regression", "spearman":
            return Measure(_array(list(zip(expected, predicted, strict=True))), _spearman)
        case "classification", "f1":
            _, positive = rows[0]["detail"]["probabilities"]  # both classes, in their order
            found = [
                (given == guess == positive, given == positive, guess == positive)
                for given, guess in zip(expected, predicted, strict=True)
            ]
            return Measure(_array(found), _f1)
        case "classification", "macro_f1" | "matthews":
            codes = {label: code for code, label in enumerate(sorted({*expected, *predicted}))}
            pairs = [
                (codes[given], codes[guess])
                for given, guess in zip(expected, predicted, strict=True)
            ]
            return Measure(_array(pairs), _macro_f1 if metric == "macro_f1" else _matthews)
        case _, "accuracy":
            right = [(a == b, 1) for a, b in zip(expected, predicted, strict=True)]
            return Measure(_array(right), _ratio)
    return None


def _array(values: Sequence[Sequence[Any]]) -> Array:
    return np.array(values, dtype=np.float64).reshape(len(values), -1)


def _divide(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where there is nothing to divide by, as the scorers have it."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), 0.0)


def _ratio(facts: Array, weights: Array) -> Array:
    """Sum of the first fact over sum of the second."""
    sums = weights @ facts
    return _divide(sums[:, 0], sums[:, 1])


def _f1(facts: Array, weights: Array) -> Array:
    """Facts are counts: right, expected, predicted."""
    sums = weights @ facts
    return _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


_OF_CHUNKS: Mapping[str, Callable[[Array, Array], Array]] = {
    "f1": _f1,
    "recall": lambda facts, weights: _ratio(facts[:, [0, 1]], weights),
    "precision": lambda facts, weights: _ratio(facts[:, [0, 2]], weights),
}


def _chunks(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Array:
    """Right, expected and predicted chunks of each sentence."""
    counts = []
    for given, guess in zip(expected, predicted, strict=True):
        wanted, found = (set(get_entities(list(map(conll_tag, tags)))) for tags in (given, guess))
        counts.append((len(wanted & found), len(wanted), len(found)))
    return _array(counts)


def _class_counts(facts: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Right, expected and predicted examples of each class, (resamples, classes) each."""
    classes = np.arange(int(facts.max()) + 1)
    expected, predicted = facts[:, :1] == classes, facts[:, 1:] == classes
    right = expected & predicted
    return (
        weights @ right.astype(np.float64),
        weights @ expected.astype(np.float64),
        weights @ predicted.astype(np.float64),
    )


def _macro_f1(facts: Array, weights: Array) -> Array:
    """Mean of the F1 of the classes that are expected or predicted, as scikit-learn has it."""
    right, expected, predicted = _class_counts(facts, weights)
    present = (expected + predicted > 0).sum(axis=1)
    return np.asarray(_divide(2 * right, expected + predicted).sum(axis=1) / present)


def _matthews(facts: Array, weights: Array) -> Array:
    """Correlation of classes, for any number of them (Gorodkin 2004, equation 8)."""
    right, expected, predicted = _class_counts(facts, weights)
    total = weights.sum(axis=1)
    covariance = right.sum(axis=1) * total - (expected * predicted).sum(axis=1)
    variances = (total**2 - (expected**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return _divide(covariance, np.sqrt(variances))


def _pearson(facts: Array, weights: Array) -> Array:
    return _correlation(facts[:, 0] - facts[:, 0].mean(), facts[:, 1] - facts[:, 1].mean(), weights)


def _spearman(facts: Array, weights: Array) -> Array:
    return _correlation(_ranks(facts[:, 0], weights), _ranks(facts[:, 1], weights), weights)


def _correlation(x: Array, y: Array, weights: Array) -> Array:
    """Weighted correlation; 0 where a side is constant, for a constant orders nothing."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    covariance = (weights * x * y).sum(axis=1)
    variances = (weights * x**2).sum(axis=1), (weights * y**2).sum(axis=1)
    # A constant side leaves only what rounding left of it.
    floors = [1e-12 * weights.sum(axis=1) * np.max(side**2, initial=0.0) for side in (x, y)]
    varied = (variances[0] > floors[0]) & (variances[1] > floors[1])
    return _divide(covariance, np.where(varied, np.sqrt(variances[0] * variances[1]), 0.0))


def _ranks(values: Array, weights: Array) -> Array:
    """(resamples, examples): the mean rank of each example among the resampled ones."""
    distinct, where = np.unique(values, return_inverse=True)
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(distinct)))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Array = np.cumsum(counts, axis=1) - (counts - 1) / 2
    return ranks[:, where]


def _best(score: Callable[[str, str], float], rows: Sequence[Row]) -> Measure:
    """The mean score at the threshold on the null margin that suits the resample best."""
    facts = []
    for row in rows:
        margin = row["detail"]["null_margin"]
        kept = best_accepted(score, row["expected"], row["detail"]["answer"])
        withdrawn = best_accepted(score, row["expected"], "")
        facts.append((kept, withdrawn, -np.inf if margin is None else margin))
    return Measure(_array(facts), _best_threshold)


def _best_threshold(facts: Array, weights: Array) -> Array:
    """See `metrics.best_threshold`: here the margins are sorted once for all resamples."""
    order = np.argsort(facts[:, 2], kind="stable")
    weights = weights[:, order]
    kept, withdrawn, margins = facts[order].T
    gains = np.cumsum(weights * (kept - withdrawn), axis=1)
    last_of_margin = np.append(margins[1:] > margins[:-1], True)
    most = np.maximum(gains[:, last_of_margin].max(axis=1), 0.0)
    return _divide(weights @ withdrawn + most, weights.sum(axis=1))
