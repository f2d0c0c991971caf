"""Word sequences of many texts at once, as hashes, without regard to case and punctuation.

What two texts share is told by these: near-duplicates (`minhash.py`) and evaluation examples in a
corpus (`decontamination.py`). The words are those of `text.words.split_words`; here numpy finds
them in arrays of characters, several times as fast as Python goes through lists of words.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.corpus.word_hashes import MULTIPLIER, Hashes, hash_ngrams
from electra_pipeline.text.characters import (
    OPTIONAL_MARKS,
    UNSPACED,
    UNSPACED_MARKS,
    WORD_ENDS,
    ZERO_WIDTH_SPACE,
)
from electra_pipeline.text.words import FOLLOWERS

# What a character is to the words around it, as bits.
SPACE, IGNORED, WHOLE_WORD, ON_WORD, FOLLOWER, WORD_END = 1, 2, 4, 8, 16, 32
# Code points above hold no space, punctuation or word of one character; 0x110000 is Unicode's end.
LAST_PLANE, NUM_CODE_POINTS = 0x40000, 0x110000
# So many characters at a time that the arrays stay in a core's cache: 64 KB become 0.5 MB.
BLOCK_CHARACTERS = 1 << 16


class Rows(NamedTuple):
    """Hashes of several texts, one after the other."""

    hashes: Hashes
    """(total,) in the order of the texts and of their words."""
    ends: NDArray[np.int64]
    """(texts,) one past each text's last hash."""


def plain_words(texts: Sequence[str]) -> Rows:
    """A hash of each word, lower-cased and without punctuation; words of nothing else are left out.

    Copies of a text differ in quotes, dashes and commas: FineWeb and GPT-3 compare without, too;
    and in marks that may be left out (`OPTIONAL_MARKS`). Other vowel signs and marks stay, as some
    scripts write words by them.
    """
    hashes = [np.empty(0, np.uint64)]
    num_words = np.zeros(len(texts), np.int64)
    for owners, parts in _blocks(texts):
        found, lengths = _hash_block(parts)
        hashes.append(found)
        np.add.at(num_words, owners, lengths)
    return Rows(np.concatenate(hashes), np.cumsum(num_words))


def ngrams(words: Rows, n: int) -> Rows:
    """One hash for each `n` consecutive words of a text; none for a text with fewer words."""
    rolled = hash_ngrams(words.hashes, n)
    is_inside = np.ones(len(rolled), dtype=bool)
    for offset in range(1, n):  # what begins here ends in the next text
        first = words.ends - offset
        is_inside[first[(first >= 0) & (first < len(rolled))]] = False
    num_words = np.diff(words.ends, prepend=0)
    return Rows(rolled[is_inside], np.cumsum(np.maximum(num_words - n + 1, 0)))


def _blocks(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Lower-cased parts of texts, and which text each is of, in order, a block at a time."""
    owners: list[int] = []
    parts: list[str] = []
    num_characters = 0
    for owner, text in enumerate(texts):
        for part in _cut(text.lower()):
            if parts and num_characters + len(part) > BLOCK_CHARACTERS:
                yield owners, parts
                owners, parts, num_characters = [], [], 0
            owners.append(owner)
            parts.append(part)
            num_characters += len(part)
    if parts:
        yield owners, parts


def _cut(text: str) -> Iterator[str]:
    """`text` in parts of at most a block, cut between words where there is a space or line end."""
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        limit = start + BLOCK_CHARACTERS
        space = max(text.rfind(" ", start + 1, limit), text.rfind("\n", start + 1, limit))
        end = space if space > 0 else limit
        yield text[start:end]
        start = end
    yield text[start:]


def _hash_block(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hashes of all words, and how many each text has."""
    encoded = "".join(f"{text}\n" for text in texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(encoded, np.uint32)
    kinds = _kinds_of_characters().take(codes)
    starts = np.flatnonzero(_begins_word(kinds))
    # Without spaces and punctuation, so that neither counts; a word ends where the next begins.
    is_kept = (kinds & (SPACE | IGNORED)) == 0
    kept = codes[is_kept]
    num_kept = np.cumsum(is_kept, dtype=np.int64)
    bounds = np.append(num_kept[starts] - is_kept[starts], len(kept))
    is_word = bounds[1:] > bounds[:-1]
    text_ends = np.cumsum([len(text) + 1 for text in texts])
    num_words = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_word)])
    lengths = np.diff(num_words[np.searchsorted(starts, text_ends)], prepend=0)
    return _hash_spans(kept, bounds[:-1][is_word], bounds[1:][is_word]), lengths


def _begins_word(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the words of `text.words.WORD` begin."""
    is_whole = (kinds & WHOLE_WORD) != 0
    is_on_word = (kinds & ON_WORD) != 0
    is_follower = (kinds & FOLLOWER) != 0
    if is_follower.any():  # they are of the kind of what they follow
        followed = np.maximum.accumulate(np.where(is_follower, 0, np.arange(len(kinds))))
        is_on_word |= is_follower & is_whole[followed]
        is_whole |= is_on_word
    is_part = ~is_whole & ((kinds & SPACE) == 0)
    is_end = (kinds & WORD_END) != 0
    begins: NDArray[np.bool_] = is_whole | is_part
    begins[1:] &= ~(is_part[1:] & is_part[:-1]) | (is_end[:-1] & ~is_end[1:])
    begins[1:] &= ~(is_on_word[1:] & is_whole[:-1])
    return begins


def _hash_spans(
    codes: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Hashes:
    """A hash of each span of characters: a polynomial modulo 2^64, its bits mixed.

    A polynomial's value over any span is a difference of two prefixes, times an inverse power.
    """
    powers = _powers(int(MULTIPLIER), len(codes) + 1)
    prefix = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[:-1], out=prefix[1:])
    hashes = prefix[ends]
    hashes -= prefix[starts]
    hashes *= _powers(pow(int(MULTIPLIER), -1, 1 << 64), len(codes) + 1)[starts]
    return _mix(hashes)


def _powers(base: int, number: int) -> Hashes:
    powers = np.full(number, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _mix(hashes: Hashes) -> Hashes:
    """The finalizer of MurmurHash3 (Appleby): each bit depends on all bits."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(multiplier)
    hashes ^= hashes >> np.uint64(33)
    return hashes


@functools.cache
def _kinds_of_characters() -> NDArray[np.uint8]:
    """(NUM_CODE_POINTS,) the bits of each character; made in 0.1 s, once in a process."""
    kinds = np.zeros(NUM_CODE_POINTS, np.uint8)
    for code in range(LAST_PLANE):
        character = chr(code)
        if character.isspace():
            kinds[code] = SPACE
        elif unicodedata.category(character)[0] in "PS":  # punctuation and symbols
            kinds[code] = IGNORED
    for characters, kind in (
        (ZERO_WIDTH_SPACE, SPACE),
        (UNSPACED, WHOLE_WORD),
        (UNSPACED_MARKS, ON_WORD),
        (FOLLOWERS, FOLLOWER),
        (WORD_ENDS, WORD_END),
        (OPTIONAL_MARKS, IGNORED),
    ):
        for span in re.findall("(?s).-.|.", characters):
            kinds[ord(span[0]) : ord(span[-1]) + 1] |= kind
    kinds[kinds & SPACE != 0] = SPACE
    kinds.setflags(write=False)
    return kinds
