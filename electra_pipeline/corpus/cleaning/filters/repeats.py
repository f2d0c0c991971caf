"""How much of a text is said again: parts (lines, paragraphs) and sequences of words.

A sequence of n words can only occur twice if its first n - 1 words do. So the search for longer
ones goes on among the places of the shorter ones, and ends early in ordinary prose.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.corpus.cleaning.filters.prose import Prose
from electra_pipeline.corpus.dedup.hashing import MULTIPLIER, Hashes

Positions = NDArray[np.intp]


class Repeats(NamedTuple):
    """The sequences of `n` words that occur more than once, at every place where they occur."""

    n: int
    positions: Positions
    """(places,) ascending: index of the sequence's first word."""
    hashes: Hashes
    """(places,): hash of the sequence, as by `hash_ngrams`."""
    lengths: NDArray[np.int64]
    """(places,): characters in its words."""


def repeats(prose: Prose, shortest: int, longest: int) -> Iterator[Repeats]:
    """Repeats of `shortest` to `longest` words.

    Ends before the first length of which no sequence occurs twice: no longer one does.
    """
    ngrams = prose.ngrams(shortest)
    positions = np.arange(len(ngrams))
    for n in range(shortest, longest + 1):
        places = _places_of_repeats(ngrams)
        if not len(places):
            return
        positions, ngrams = positions[places], ngrams[places]
        yield Repeats(n, positions, ngrams, prose.ends[positions + n] - prose.ends[positions])
        is_followed = positions[1:] == positions[:-1] + 1
        positions, ngrams = positions[:-1][is_followed], ngrams[:-1][is_followed]
        # hash_ngrams's polynomial, one word longer.
        ngrams = ngrams * MULTIPLIER + prose.hashes[positions + n]


def _places_of_repeats(hashes: Hashes) -> Positions:
    order = hashes.argsort()
    ranked = hashes[order]
    equals_next = ranked[1:] == ranked[:-1]
    is_repeated = np.zeros(len(hashes), np.bool_)
    is_repeated[1:] = equals_next
    is_repeated[:-1] |= equals_next
    places = order[is_repeated]
    places.sort()
    return places


def most_frequent(found: Repeats) -> tuple[int, int]:
    """How often the most frequent sequence occurs, and the characters in its words, once.

    Of equally frequent ones it is the first, as in datatrove.
    """
    ngrams = found.hashes.tolist()
    [(ngram, count)] = Counter(ngrams).most_common(1)
    return count, int(found.lengths[ngrams.index(ngram)])


def repeated_characters(found: Repeats) -> int:
    """Characters in the words of sequences that occurred before; none counts twice.

    Read from the left, a sequence that was seen before counts and is stepped over as a whole, as in
    datatrove.
    """
    seen: set[int] = set()
    total = end = 0
    for position, ngram, length in zip(
        found.positions.tolist(), found.hashes.tolist(), found.lengths.tolist(), strict=True
    ):
        if position < end:
            continue
        if ngram in seen:
            total += length
            end = position + found.n
        else:
            seen.add(ngram)
    return total


def repeated_parts(parts: Sequence[str]) -> tuple[int, int]:
    """How many of `parts` occurred before, and the characters in them."""
    distinct = set(parts)
    if len(distinct) == len(parts):
        return 0, 0
    return len(parts) - len(distinct), sum(map(len, parts)) - sum(map(len, distinct))
