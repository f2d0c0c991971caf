"""Significance tests: Student's t, Fisher's sign-flip test, Holm's correction."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from electra_pipeline.tasks.bootstrap import LEVEL

MOST_SIGN_FLIPS = 2**16  # all are tried up to 16 seeds; beyond, this many random ones
SEED = 0  # of the random sign flips


def student(
    differences: NDArray[np.float64], variance: float = 0.0
) -> tuple[tuple[float | None, float | None], float | None]:
    """Return the confidence interval and p value of the mean of `differences`, (seeds,) float64.

    `variance` is a further variance of the mean, such as that over examples. Both are None if the
    total variance is 0: one seed and no further variance, or equal differences for all seeds.
    """
    number = len(differences)
    mean = float(differences.mean())
    of_seeds = float(differences.var(ddof=1)) / number if number > 1 else 0.0
    total = of_seeds + variance
    if total <= (1e-12 * mean) ** 2:  # equal differences up to rounding
        return (None, None), None
    freedom = total**2 / (of_seeds**2 / (number - 1)) if of_seeds > 0 else math.inf
    error = math.sqrt(total)
    margin = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return (mean - margin, mean + margin), float(2 * stats.t.sf(abs(mean) / error, freedom))


def sign_flip(differences: NDArray[np.float64]) -> float:
    """Return the p value of the mean difference under random signs (Fisher 1935, chapter 3)."""
    if len(differences) < 2:
        return 1.0
    return float(
        stats.permutation_test(
            (differences, np.zeros_like(differences)),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=MOST_SIGN_FLIPS,
            rng=SEED,
        ).pvalue
    )


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected by Holm's method (1979); None stays None."""
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[i] = largest
    return corrected
