"""How far a metric may be off because these examples were drawn and not others.

The bootstrap (Efron and Tibshirani 1993, chapters 6 and 13): examples are drawn with replacement,
as many as there are, again and again; the spread of the metric over the draws is its spread over
test sets. What is drawn is an example: a text, a pair, a sentence with all its words. Questions
are drawn a context at a time, with all that are asked of it, for they are not independent.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.tasks.kinds.measures import Array, Measure, Row, measure

NUM_RESAMPLES = 1000  # Efron and Tibshirani 1993, section 13.3, for percentile intervals
LEVEL = 0.95
SEED = 0  # of the draws: the same predictions have the same interval
BLOCK_CELLS = 4_000_000  # weights held at a time: 32 MB


def intervals(kind: str, metrics: Sequence[str], rows: Sequence[Row]) -> dict[str, list[float]]:
    """The 95 % percentile interval [lower, upper] of each metric that has a measure."""
    found = {}
    for metric in metrics:
        taken = measure(kind, metric, rows)
        if taken is not None:
            (values,) = resampled([taken], groups(kind, rows))
            found[metric] = percentile_interval(values)
    return found


def percentile_interval(values: Array) -> list[float]:
    """Lower and upper bound that leave out equally many draws on both sides."""
    outside = (1 - LEVEL) / 2
    return [float(bound) for bound in np.quantile(values, [outside, 1 - outside])]


def groups(kind: str, rows: Sequence[Row]) -> Sequence[str] | None:
    """What is drawn together: the questions of one context. None: each example by itself."""
    if kind != "question-answering":
        return None
    return [row["input"].partition("\t")[2] for row in rows]


def resampled(
    measures: Sequence[Measure],
    groups: Sequence[Any] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> Array:
    """(measures, resamples): the values of measures over the same examples, drawn alike for all."""
    where: NDArray[np.intp] | None = None
    counts: NDArray[Any]
    taken: Sequence[Measure]
    if groups is not None:
        _, where = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
        counts = np.ones(int(where.max()) + 1, dtype=np.int64)
        taken = measures
    else:
        # Examples that are alike in all that is asked of them are drawn as one cell: a table of
        # classes has a handful, however many examples it counts.
        facts = np.concatenate([each.facts for each in measures], axis=1)
        cells, counts = np.unique(facts, axis=0, return_counts=True)
        ends = np.cumsum([each.facts.shape[1] for each in measures])[:-1]
        taken = [
            Measure(part, each.value)
            for part, each in zip(np.split(cells, ends, axis=1), measures, strict=True)
        ]
    blocks = []
    for drawn in _draws(counts, num_resamples, len(where) if where is not None else len(counts)):
        weights = drawn if where is None else drawn[:, where]
        blocks.append(np.stack([each(weights) for each in taken]))
    return np.concatenate(blocks, axis=1)


def _draws(counts: NDArray[Any], num_resamples: int, width: int) -> Iterator[Array]:
    """Blocks of (draws, cells) weights: how often each cell is drawn, `counts.sum()` in all."""
    generator = np.random.default_rng(SEED)
    total = int(counts.sum())
    size = max(1, BLOCK_CELLS // width)
    for start in range(0, num_resamples, size):
        number = min(size, num_resamples - start)
        yield generator.multinomial(total, counts / total, size=number).astype(np.float64)
