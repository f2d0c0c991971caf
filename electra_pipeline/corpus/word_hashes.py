"""Hash words and sequences of words."""

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Odd, and near 2^64 divided by the golden ratio: consecutive powers spread over all 64 bits.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def hash_vocabulary(words: Sequence[str]) -> dict[str, int]:
    """Return each distinct word with its hash: xxh3 of its UTF-8, equal on every machine."""
    return {word: xxhash.xxh3_64_intdigest(word.encode()) for word in set(words)}


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
