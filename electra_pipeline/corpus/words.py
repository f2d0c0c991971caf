"""What a word is, once for all rules, and hashes of words and word sequences.

A word is what stands between white space, with its punctuation. Scripts that are written without
spaces have none to stand between: there, each character is a word.
"""

import re
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Thai, Lao, Burmese, Khmer, kana, Han. Tibetan has a mark between syllables, Korean has spaces.
WITHOUT_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
HAS_NO_SPACES = re.compile(f"[{WITHOUT_SPACES}]")
# A character of these scripts keeps the vowel signs and tone marks that stand on it.
PART = re.compile(
    f"[{WITHOUT_SPACES}][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    f"\u102b-\u103e\u17b4-\u17d3\u3099\u309a]*|[^\\s{WITHOUT_SPACES}]+"
)
# Odd, and near 2^64 divided by the golden ratio: consecutive powers spread over all 64 bits.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def split_words(text: str) -> list[str]:
    """The words of `text` in order."""
    if not text.isascii() and HAS_NO_SPACES.search(text):
        return PART.findall(text)
    return text.split()


def hash_vocabulary(words: Sequence[str]) -> dict[str, int]:
    """Each different word with its hash: xxh3 of its UTF-8, equal on every machine."""
    return {word: xxhash.xxh3_64_intdigest(word.encode()) for word in set(words)}


def hash_words(words: Sequence[str]) -> Hashes:
    """(len(words),) uint64: the hash of each word."""
    return np.fromiter(map(hash_vocabulary(words).__getitem__, words), np.uint64, len(words))


def hash_ngrams(hashes: Hashes, n: int) -> Hashes:
    """(max(0, len(hashes) - n + 1),) uint64: one hash for each `n` consecutive words.

    A polynomial of the words' hashes modulo 2^64, so that order counts.
    """
    count = len(hashes) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    rolled = hashes[:count].copy()
    for offset in range(1, n):
        rolled *= MULTIPLIER
        rolled += hashes[offset : offset + count]
    return rolled
