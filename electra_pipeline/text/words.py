"""Split text into words; all filters and counters use this definition.

A word is a run of characters between white space, with its punctuation. Zero-width spaces and the
marks that some scripts write between words or syllables (Tibetan, Ethiopic) end a word, too. In
scripts without spaces each character is a word, with the marks on it.
"""

import re
from collections.abc import Sequence

from electra_pipeline.text.characters import (
    JOINERS,
    UNSPACED,
    UNSPACED_MARKS,
    VARIATION_SELECTORS,
    WORD_ENDS,
    WORDSPACE,
    ZERO_WIDTH_SPACE,
)
from electra_pipeline.text.spaces import one_line

# A Chinese word has 1.5 to 1.7 characters, a Japanese one about 2 (a Thai one 3 or more).
CHARACTERS_PER_WORD = 2
FOLLOWERS = JOINERS + VARIATION_SELECTORS  # part of the character before them, in any script
SPACES = rf"\s{ZERO_WIDTH_SPACE}"
HAS_OTHER_WORDS = re.compile(f"[{UNSPACED}{WORD_ENDS}{ZERO_WIDTH_SPACE}]")
# `re` compares each character with all ranges beyond the basic plane, one by one. This pre-check
# takes a tenth of the time: whether there is one of the basic plane, or any character beyond it.
_BASIC = re.sub("[\U00010000-\U0010ffff](-.)?", "", UNSPACED)
MAY_HAVE_OTHER_WORDS = re.compile(f"[{_BASIC}{WORD_ENDS}{ZERO_WIDTH_SPACE}\U00010000-\U0010ffff]")
WORD = re.compile(
    f"[{UNSPACED}][{UNSPACED_MARKS}{FOLLOWERS}]*"
    f"|[^{SPACES}{UNSPACED}{WORD_ENDS}]+[{WORD_ENDS}]*|[{WORD_ENDS}]+"
)


def split_words(text: str) -> list[str]:
    """Return the words of `text` in order."""
    if _has_other_words(text):
        return WORD.findall(text)
    return text.split()


def count_words(text: str) -> int:
    """Return `len(split_words(text))`, in less time."""
    if _has_other_words(text):
        return len(WORD.findall(text))
    line = one_line(text)
    return line.count(" ") + 1 if line else 0


def has_spaced_words(text: str, words: Sequence[str] | None = None) -> bool:
    """Return whether `text`, as a whole, is in a script that separates words by (word)spaces.

    `words` are those of `split_words`, if they were computed before.
    """
    if not _has_other_words(text):
        return True
    num_words = len(split_words(text) if words is None else words)
    return num_words <= CHARACTERS_PER_WORD * len(text.replace(WORDSPACE, " ").split())


def count_characters(text: str) -> int:
    """Return the number of characters except white space and zero-width spaces."""
    return sum(map(len, text.split())) - text.count(ZERO_WIDTH_SPACE)


def _has_other_words(text: str) -> bool:
    may = None if text.isascii() else MAY_HAVE_OTHER_WORDS.search(text)
    return may is not None and HAS_OTHER_WORDS.search(text, may.start()) is not None
