"""What a word is, once for all rules and numbers.

A word is what stands between white space, with its punctuation. Zero-width spaces and the marks of
scripts that write them between words or syllables (Tibetan, Ethiopic) end a word, too. Scripts
without spaces have none to stand between: there, each character is a word, with what stands on it.
"""

import re
from collections.abc import Sequence

from electra_pipeline.text.characters import (
    JOINERS,
    UNSPACED,
    UNSPACED_MARKS,
    VARIATION_SELECTORS,
    WORD_ENDS,
    ZERO_WIDTH_SPACE,
)

# A Chinese word has 1.5 to 1.7 characters, a Japanese one about 2 (a Thai one 3 or more).
CHARACTERS_PER_WORD = 2
FOLLOWERS = JOINERS + VARIATION_SELECTORS  # part of the character before them, in any script
SPACES = rf"\s{ZERO_WIDTH_SPACE}"
HAS_OTHER_WORDS = re.compile(f"[{UNSPACED}{WORD_ENDS}{ZERO_WIDTH_SPACE}]")
WORD = re.compile(
    f"[{UNSPACED}][{UNSPACED_MARKS}{FOLLOWERS}]*"
    f"|[^{SPACES}{UNSPACED}{WORD_ENDS}]+[{WORD_ENDS}]*|[{WORD_ENDS}]+"
)


def split_words(text: str) -> list[str]:
    """The words of `text` in order."""
    if not text.isascii() and HAS_OTHER_WORDS.search(text):
        return WORD.findall(text)
    return text.split()


def has_spaced_words(text: str, words: Sequence[str] | None = None) -> bool:
    """Whether `text`, taken as a whole, is in a script that parts words by spaces.

    `words` are those of `split_words`, where they are known already.
    """
    if text.isascii() or not HAS_OTHER_WORDS.search(text):
        return True
    num_words = len(split_words(text) if words is None else words)
    return num_words <= CHARACTERS_PER_WORD * len(text.split())


def count_characters(text: str) -> int:
    """Number of characters that are neither white space nor zero-width spaces."""
    return sum(map(len, text.split())) - text.count(ZERO_WIDTH_SPACE)
