"""Hash words and sequences of words."""

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Odd, and near 2^64 divided by the golden ratio: consecutive powers spread over all 64 bits.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def hash_numbers(numbers: NDArray[np.integer]) -> Hashes:
    """Return a hash of each number: the finalizer of SplitMix64 (Steele et al. 2014, figure 16).

    It is a bijection: different numbers have different hashes.
    """
    hashes = numbers.astype(np.uint64) * MULTIPLIER
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def hash_ngrams(hashes: Hashes, n: int) -> Hashes:
    """Return (max(0, len(hashes) - n + 1),) uint64: one hash for each `n` consecutive words.

    It is a polynomial of the words' hashes modulo 2^64, so that order counts.
    """
    count = len(hashes) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    rolled = hashes[:count].copy()
    for offset in range(1, n):
        rolled *= MULTIPLIER
        rolled += hashes[offset : offset + count]
    return rolled
