"""Hash the word sequences of many texts at once, ignoring case and punctuation.

They are compared to find near-duplicates (`minhash.py`) and evaluation examples in a corpus
(`decontamination.py`). The words are those of `text.words.split_words`; here numpy finds them in
arrays of characters, several times as fast as a loop over lists of words.
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

# The role of a character in words, as bits.
SPACE, IGNORED, WHOLE_WORD, ON_WORD, FOLLOWER, WORD_END = 1, 2, 4, 8, 16, 32
# Code points above contain no space, punctuation or word of one character; 0x110000 is Unicode's
# end.
LAST_PLANE, NUM_CODE_POINTS = 0x40000, 0x110000
# Characters processed at a time, so that the arrays fit into a core's cache: 64 KB become 0.5 MB.
BLOCK_CHARACTERS = 1 << 16


class Rows(NamedTuple):
    """Concatenated hashes of several texts."""

    hashes: Hashes
    """(total,) in the order of the texts and of their words."""
    ends: NDArray[np.int64]
    """(texts,) one past each text's last hash."""


def plain_words(texts: Sequence[str]) -> Rows:
    """Return a hash of each word, lower-cased and without punctuation; pure punctuation has none.

    Copies of a text differ in quotes, dashes and commas, which FineWeb and GPT-3 ignore, too, and
    in marks that may be omitted (`OPTIONAL_MARKS`). Other vowel signs and marks are kept, as words
    of some scripts consist of them.
    """
    hashes = [np.empty(0, np.uint64)]
    num_words = np.zeros(len(texts), np.int64)
    for owners, parts in _blocks(texts):
        found, lengths = _hash_block(parts)
        hashes.append(found)
        np.add.at(num_words, owners, lengths)
    return Rows(np.concatenate(hashes), np.cumsum(num_words))


def ngrams(words: Rows, n: int) -> Rows:
    """Return a hash for each `n` consecutive words of a text; none for a text with fewer words."""
    rolled = hash_ngrams(words.hashes, n)
    is_inside = np.ones(len(rolled), dtype=bool)
    for offset in range(1, n):  # sequences from here on end in the next text
        first = words.ends - offset
        is_inside[first[(first >= 0) & (first < len(rolled))]] = False
    num_words = np.diff(words.ends, prepend=0)
    return Rows(rolled[is_inside], np.cumsum(np.maximum(num_words - n + 1, 0)))


def _blocks(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield blocks of lower-cased parts of texts, with the number of each one's text, in order."""
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
    """Yield `text` in parts of at most a block, cut at a space or line end if there is one."""
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        limit = start + BLOCK_CHARACTERS
        space = max(text.rfind(" ", start + 1, limit), text.rfind("\n", start + 1, limit))
        end = space if space > 0 else limit
        yield text[start:end]
        start = end
    yield text[start:]


def _hash_block(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hashes of all words, and the number of words of each text."""
    encoded = "".join(f"{text}\n" for text in texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(encoded, np.uint32)
    kinds = _kinds_of_characters().take(codes)
    starts = np.flatnonzero(_begins_word(kinds))
    # Spaces and punctuation are removed, so that they do not count; a word ends where the next
    # begins.
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
    """Return True where a word of `text.words.WORD` begins."""
    is_whole = (kinds & WHOLE_WORD) != 0
    is_on_word = (kinds & ON_WORD) != 0
    is_follower = (kinds & FOLLOWER) != 0
    if is_follower.any():  # they take the kind of the character before
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
    """Return a hash of each span of characters: a polynomial modulo 2^64, its bits mixed.

    The value over a span is the difference of two prefixes, times an inverse power.
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
    """Apply the finalizer of MurmurHash3 (Appleby), by which each bit depends on all bits."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes ^= hashes >> np.uint64(33)
        hashes *= np.uint64(multiplier)
    hashes ^= hashes >> np.uint64(33)
    return hashes


@functools.cache
def _kinds_of_characters() -> NDArray[np.uint8]:
    """Return (NUM_CODE_POINTS,) the bits of each character; takes 0.1 s, once per process."""
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
