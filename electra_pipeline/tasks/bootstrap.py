"""Confidence intervals of metrics over the examples, by the bootstrap.

The examples are drawn with replacement, as many as there are, again and again; the spread of the
metric over the draws is its spread over test sets (Efron and Tibshirani 1993, chapters 6 and 13).
An example is a text, a pair, or a sentence with all its words. All questions on a context are drawn
together, because they are not independent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.tasks.kinds.metrics import Array, Row, Statistic

NUM_RESAMPLES = 1000  # Efron and Tibshirani 1993, section 13.3, for percentile intervals
LEVEL = 0.95
SEED = 0  # of the draws: the same predictions have the same interval
BLOCK_CELLS = 4_000_000  # weights held at a time: 32 MB


def intervals(
    statistics: Mapping[str, Statistic], groups: Sequence[Any] | None = None
) -> dict[str, list[float]]:
    """Return the 95 % percentile interval [lower, upper] of each metric."""
    found = {}
    for metric, statistic in statistics.items():
        (values,) = resampled([statistic], groups)
        found[metric] = percentile_interval(values)
    return found


def percentile_interval(values: Array) -> list[float]:
    """Return the bounds that leave out equally many values on both sides."""
    outside = (1 - LEVEL) / 2
    return [float(bound) for bound in np.quantile(values, [outside, 1 - outside])]


def groups(kind: str, rows: Sequence[Row]) -> Sequence[str] | None:
    """Return what each example is drawn together with: its context; None for single examples."""
    if kind != "question-answering":
        return None
    return [row["input"].partition("\t")[2] for row in rows]


def resampled(
    statistics: Sequence[Statistic],
    groups: Sequence[Any] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Array:
    """Return the values (statistics, resamples) of statistics of the same examples and draws."""
    where: Any = slice(None)
    taken = statistics
    if groups is not None:
        _, where = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
        counts = np.ones(int(where.max()) + 1, dtype=np.int64)
    else:
        # Examples with equal values are drawn as one cell: a table of classes has a handful of
        # cells for any number of examples.
        values = np.concatenate([each.values for each in statistics], axis=1)
        cells, counts = np.unique(values, axis=0, return_counts=True)
        ends = np.cumsum([each.values.shape[1] for each in statistics])[:-1]
        taken = [
            Statistic(part, each.score)
            for part, each in zip(np.split(cells, ends, axis=1), statistics, strict=True)
        ]
    blocks = []
    for drawn in _draws(counts, num_resamples, len(taken[0].values)):
        weights = drawn[:, where]
        blocks.append(np.stack([each(weights) for each in taken]))
    return np.concatenate(blocks, axis=1)


def _draws(counts: NDArray[Any], num_resamples: int, width: int) -> Iterator[Array]:
    """Yield weights (draws, cells): how often each cell is drawn, `counts.sum()` times in all."""
    generator = np.random.default_rng(SEED)
    total = int(counts.sum())
    size = max(1, BLOCK_CELLS // width)
    for start in range(0, num_resamples, size):
        number = min(size, num_resamples - start)
        yield generator.multinomial(total, counts / total, size=number).astype(np.float64)
