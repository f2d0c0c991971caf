"""The words, lines, paragraphs and n-grams of a document, each computed on first use.

Words are those of `text.words`: separated by white space, with their punctuation. Published
thresholds were mostly tuned on words that a tokenizer split from their punctuation (datatrove:
spaCy for English). The words here are therefore fewer and about 0.2 characters longer, and nearly
all of them contain a letter: rules on such numbers differ from datatrove's near their thresholds.
"""

import re
from collections.abc import Mapping, Set
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from electra_pipeline.text.characters import OPTIONAL_MARKS, WORD_ENDS
from electra_pipeline.text.words import CHARACTERS_PER_WORD, has_spaced_words, split_words

if TYPE_CHECKING:  # a configuration has filters, but no documents
    import numpy as np
    from numpy.typing import NDArray

    from electra_pipeline.corpus.word_hashes import Hashes

OPTIONAL_MARK = re.compile(f"[{OPTIONAL_MARKS}]")
PARAGRAPH_END = re.compile(r"\n\s*\n")


class TextView:
    """Views of one document's text, which must not be blank."""

    def __init__(self, text: str, url: str | None = None) -> None:
        self.text = text
        self.url = url

    @cached_property
    def words(self) -> list[str]:
        """Return the words in order; in scripts without spaces, the characters."""
        return split_words(self.text)

    @cached_property
    def vocabulary(self) -> Mapping[str, int]:
        """Return each distinct word with its number, from 0, in the order of first occurrences."""
        return dict(zip(dict.fromkeys(self.words), count()))

    @cached_property
    def numbers(self) -> "NDArray[np.int64]":
        """Return (len(words),) int64: the number of each word in the vocabulary."""
        import numpy as np

        numbers = map(self.vocabulary.__getitem__, self.words)
        return np.fromiter(numbers, np.int64, len(self.words))

    @cached_property
    def num_optional_marks(self) -> int:
        """Count the `OPTIONAL_MARKS` of the text; stop words are listed without them."""
        return 0 if self.text.isascii() else len(OPTIONAL_MARK.findall(self.text))

    @cached_property
    def bare_words(self) -> Set[str]:
        """Return each distinct word as stop words are spelled: without optional marks."""
        has_other_ends = not self.text.isascii() and any(end in self.text for end in WORD_ENDS)
        if not self.num_optional_marks and not has_other_ends:
            return self.vocabulary.keys()
        return {OPTIONAL_MARK.sub("", word).rstrip(WORD_ENDS) for word in self.vocabulary}

    @cached_property
    def hashes(self) -> "Hashes":
        """Return (len(words),) uint64: a hash of each word, equal for equal words of this text."""
        import numpy as np

        from electra_pipeline.corpus.word_hashes import hash_numbers

        return hash_numbers(np.arange(len(self.vocabulary)))[self.numbers]

    @cached_property
    def lengths(self) -> "NDArray[np.int64]":
        """Return (len(words),) int64: the characters in each word."""
        import numpy as np

        return np.fromiter(map(len, self.vocabulary), np.int64)[self.numbers]

    @cached_property
    def ends(self) -> "NDArray[np.int64]":
        """Return (len(words) + 1,) int64: the characters in the words before each, and in all."""
        import numpy as np

        ends = np.zeros(len(self.words) + 1, np.int64)
        np.cumsum(self.lengths, out=ends[1:])
        return ends

    @cached_property
    def has_spaces(self) -> bool:
        """Return whether most of the text is in a script with spaces between words."""
        return has_spaced_words(self.text, self.words)

    @cached_property
    def words_per_word(self) -> int:
        """Return how many of `words` make about one real word: 2 where they are characters, else 1.

        Thresholds count real words; multiply by this to compare them with `words`.
        """
        return 1 if self.has_spaces else CHARACTERS_PER_WORD

    @cached_property
    def num_words(self) -> float:
        """Return the number of real words: an estimate where `words` are characters."""
        return len(self.words) / self.words_per_word

    @cached_property
    def lower(self) -> str:
        """Return the text in lower case."""
        return self.text.lower()

    @cached_property
    def lines(self) -> list[str]:
        """Return the lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        """Return the blocks between blank lines, stripped."""
        return [part for part in map(str.strip, PARAGRAPH_END.split(self.text)) if part]
