"""One document as the rules see it: each view of its text is computed once, when asked for first.

Words are those of `text.words`: what stands between white space, punctuation included. Published
thresholds were mostly tuned on words that a tokenizer split from their punctuation (datatrove:
spaCy for English). So our words are fewer and about 0.2 characters longer, and nearly all of them
hold a letter: a rule on such numbers differs from datatrove's near its threshold.
"""

import re
from collections.abc import Mapping, Set
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.corpus.dedup.hashing import Hashes, hash_ngrams, hash_vocabulary
from electra_pipeline.text.characters import OPTIONAL_MARKS, WORD_ENDS
from electra_pipeline.text.words import CHARACTERS_PER_WORD, has_spaced_words, split_words

OPTIONAL_MARK = re.compile(f"[{OPTIONAL_MARKS}]")
PARAGRAPH_END = re.compile(r"\n\s*\n")


class Judgement(NamedTuple):
    """Why a document is dropped: a stable code, and what the rule measured."""

    reason: str
    value: str


class Prose:
    """Views of one document; the text must not be blank."""

    def __init__(self, text: str, url: str | None = None) -> None:
        self.text = text
        self.url = url
        self._ngrams: dict[int, Hashes] = {}

    @cached_property
    def words(self) -> list[str]:
        """The words in order; in scripts without spaces, the characters."""
        return split_words(self.text)

    @cached_property
    def vocabulary(self) -> Mapping[str, int]:
        """Each different word with its hash."""
        return hash_vocabulary(self.words)

    @cached_property
    def num_optional_marks(self) -> int:
        """How many `OPTIONAL_MARKS` the text has; a list of usual words has none."""
        return 0 if self.text.isascii() else len(OPTIONAL_MARK.findall(self.text))

    @cached_property
    def bare_words(self) -> Set[str]:
        """Each different word as a list of usual words has it: without marks such as these."""
        if self.text.isascii():
            return self.vocabulary.keys()
        return {OPTIONAL_MARK.sub("", word).rstrip(WORD_ENDS) for word in self.vocabulary}

    @cached_property
    def hashes(self) -> Hashes:
        """(len(words),) uint64: `hash_words` of the words."""
        num_words = len(self.words)
        return np.fromiter(map(self.vocabulary.__getitem__, self.words), np.uint64, num_words)

    def ngrams(self, n: int) -> Hashes:
        """(max(0, len(words) - n + 1),) uint64: a hash of each `n` consecutive words."""
        if n not in self._ngrams:
            self._ngrams[n] = hash_ngrams(self.hashes, n)
        return self._ngrams[n]

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(len(words) + 1,) int64: characters of all words before each one, and of all."""
        ends = np.zeros(len(self.words) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, self.words), np.int64, len(self.words)), out=ends[1:])
        return ends

    @cached_property
    def has_spaces(self) -> bool:
        """Whether the text, taken as a whole, is in a script that parts words by spaces."""
        return has_spaced_words(self.text, self.words)

    @cached_property
    def words_per_word(self) -> int:
        """How many of our words make about one: 1, or 2 where characters stand for words.

        Thresholds that count words are meant in real ones; this turns them into ours.
        """
        return 1 if self.has_spaces else CHARACTERS_PER_WORD

    @cached_property
    def num_words(self) -> float:
        """The number of real words: a guess where characters stand for words."""
        return len(self.words) / self.words_per_word

    @cached_property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        """What stands between blank lines, stripped."""
        return [part for part in map(str.strip, PARAGRAPH_END.split(self.text)) if part]
