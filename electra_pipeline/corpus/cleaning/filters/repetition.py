"""Measure how much of a text is repeated: lines, paragraphs and sequences of words.

A sequence of n words can occur twice only if its first n - 1 words do. The search for longer
sequences is therefore limited to the positions of shorter ones, and ends early in ordinary prose.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from electra_pipeline.corpus.cleaning.filters.text_view import TextView

if TYPE_CHECKING:  # a configuration has filters, but no documents
    import numpy as np
    from numpy.typing import NDArray

    from electra_pipeline.corpus.word_hashes import Hashes

    Positions = NDArray[np.intp]


class Repeats(NamedTuple):
    """All occurrences of the sequences of `n` words that occur more than once."""

    n: int
    positions: "Positions"
    """(occurrences,) ascending: index of the sequence's first word."""
    hashes: "Hashes"
    """(occurrences,) hash of the sequence, as by `hash_ngrams`."""
    lengths: "NDArray[np.int64]"
    """(occurrences,) characters in its words."""


def find_repeats(view: TextView, shortest: int, longest: int) -> Iterator[Repeats]:
    """Yield the repeats of `shortest` to `longest` words, in this order.

    Stops at the first length without a repeat, as no longer sequence can occur twice.
    """
    import numpy as np

    from electra_pipeline.corpus.word_hashes import MULTIPLIER, hash_ngrams

    ngrams = hash_ngrams(view.hashes, shortest)
    positions = np.arange(len(ngrams))
    for n in range(shortest, longest + 1):
        repeated = _repeated_positions(ngrams)
        if not len(repeated):
            return
        positions, ngrams = positions[repeated], ngrams[repeated]
        yield Repeats(n, positions, ngrams, view.ends[positions + n] - view.ends[positions])
        is_followed = positions[1:] == positions[:-1] + 1
        positions, ngrams = positions[:-1][is_followed], ngrams[:-1][is_followed]
        # hash_ngrams's polynomial, one word longer.
        ngrams = ngrams * MULTIPLIER + view.hashes[positions + n]


def _repeated_positions(hashes: "Hashes") -> "Positions":
    import numpy as np

    order = hashes.argsort()
    ranked = hashes[order]
    equals_next = ranked[1:] == ranked[:-1]
    is_repeated = np.zeros(len(hashes), np.bool_)
    is_repeated[1:] = equals_next
    is_repeated[:-1] |= equals_next
    positions = order[is_repeated]
    positions.sort()
    return positions


def most_frequent(found: Repeats) -> tuple[int, int]:
    """Return the count of the most frequent sequence and the characters in its words.

    The first of equally frequent sequences is taken, as in datatrove.
    """
    ngrams = found.hashes.tolist()
    [(ngram, count)] = Counter(ngrams).most_common(1)
    return count, int(found.lengths[ngrams.index(ngram)])


def repeated_characters(found: Repeats) -> int:
    """Count the characters in the words of sequences that occurred before, each only once.

    Read from the left, a sequence that occurred before counts and is skipped whole, as in
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
    """Return how many of `parts` occurred before, and the characters in them."""
    distinct = set(parts)
    if len(distinct) == len(parts):
        return 0, 0
    return len(parts) - len(distinct), sum(map(len, parts)) - sum(map(len, distinct))
