"""The filters `gopher_quality` and `gopher_repetition`: the rules of Gopher.

Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1.
"""

import math
import re
from collections.abc import Iterator
from itertools import filterfalse
from typing import Literal

from pydantic import Field

from electra_pipeline.corpus.cleaning.filters.filter import Filter, Rejection, above, below
from electra_pipeline.corpus.cleaning.filters.language_thresholds import (
    LanguageThresholds,
    find_thresholds,
)
from electra_pipeline.corpus.cleaning.filters.repetition import (
    find_repeats,
    most_frequent,
    repeated_characters,
    repeated_parts,
)
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

LETTER = re.compile(r"[^\W\d_]")
LETTER_OR_DIGIT = re.compile(r"[^\W_]")
BULLETS = ("•", "-")
ELLIPSES = ("...", "…")
SHORTEST_TOP = 2
MAX_TOP_NGRAMS = (0.20, 0.18, 0.16)
SHORTEST_DUPLICATE = 5
MAX_DUPLICATE_NGRAMS = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)


class GopherQuality(Filter):
    """Keep prose: usual number and length of words, letters, few symbols, stop words.

    Differs from datatrove where words do (see `text_view.py`): more documents reach the least
    fraction of words with a letter. Blank lines do not count.
    """

    type: Literal["gopher_quality"] = "gopher_quality"
    min_words: int = Field(default=50, ge=0)
    """Least number of words with a letter or a digit."""
    max_words: int | None = Field(default=100_000, ge=1)
    """Greatest number of these words; null for any number."""
    min_mean_word_length: float = Field(default=3.0, ge=0.0)
    """Least mean length, in characters, of words with a letter or a digit."""
    max_mean_word_length: float = Field(default=10.0, ge=0.0)
    """Greatest mean length."""
    max_symbols: float = Field(default=0.1, ge=0.0)
    """Greatest number of hash signs per word, and of ellipses per word."""
    max_bullet_lines: float = Field(default=0.9, ge=0.0, le=1.0)
    """Greatest fraction of lines that begin with a bullet."""
    max_ellipsis_lines: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest fraction of lines that end in an ellipsis."""
    min_alphabetic_words: float = Field(default=0.8, ge=0.0, le=1.0)
    """Least fraction of words with a letter."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Stop words, in lower case."""
    min_stop_words: int = Field(default=2, ge=0)
    """How many distinct stop words must occur."""
    per_language: bool = True
    """For languages other than English, use each language's own thresholds for word lengths,
    letters and stop words (fineweb-2); without an entry, ignore lengths and stop words. False: use
    the values here for all."""

    def _thresholds(self, language: str | None) -> LanguageThresholds:
        if self.per_language and language != "en":
            return find_thresholds(language, LanguageThresholds(None, self.min_alphabetic_words))
        lengths = self.min_mean_word_length, self.max_mean_word_length
        return LanguageThresholds(lengths, self.min_alphabetic_words, self.stop_words)

    def check(self, view: TextView, language: str | None) -> Iterator[Rejection | None]:
        """Yield a rejection, or None, for each rule."""
        limits = self._thresholds(language)
        words = view.words
        # Most words are letters alone or begin with one, and these checks are fast.
        others = [word for word in filterfalse(str.isalpha, words) if not word[0].isalpha()]
        letterless = [word for word in others if not LETTER.search(word)]
        symbols = [word for word in letterless if not LETTER_OR_DIGIT.search(word)]
        num_words = (len(words) - len(symbols)) / view.words_per_word
        yield below("few_words", num_words, self.min_words, "g")
        max_words = math.inf if self.max_words is None else self.max_words
        yield above("many_words", num_words, max_words, "g")
        if limits.mean_word_length and view.has_spaces and num_words:
            characters = int(view.ends[-1]) - view.num_optional_marks - sum(map(len, symbols))
            mean = characters / num_words
            least, most = limits.mean_word_length
            yield below("short_words", mean, least, ".2f")
            yield above("long_words", mean, most, ".2f")
        hashes = view.text.count("#") / view.num_words
        yield above("hash_signs", hashes, self.max_symbols)
        ellipses = sum(map(view.text.count, ELLIPSES)) / view.num_words
        yield above("ellipses", ellipses, self.max_symbols)
        bullets = sum(line.startswith(BULLETS) for line in view.lines) / len(view.lines)
        yield above("bullet_lines", bullets, self.max_bullet_lines)
        ends = sum(line.endswith(ELLIPSES) for line in view.lines) / len(view.lines)
        yield above("ellipsis_lines", ends, self.max_ellipsis_lines)
        alphabetic = 1 - len(letterless) / len(words)
        yield below("few_letters", alphabetic, limits.min_alphabetic_words)
        if limits.stop_words:
            among = view.text if limits.mean_word_length is None else view.bare_words
            num_stop_words = sum(word in among for word in limits.stop_words)
            yield below("few_stop_words", num_stop_words, self.min_stop_words, "d")


class GopherRepetition(Filter):
    """Drop documents that repeat lines, paragraphs or sequences of words.

    Fractions are of all characters of the text. Differs from datatrove: a sequence of words must
    occur more than once to count (in datatrove, any pair of seven distinct words is the most
    frequent one, so that short texts are dropped), and blank lines do not count. In scripts without
    spaces, a sequence of n words is one of 2n characters.
    """

    type: Literal["gopher_repetition"] = "gopher_repetition"
    max_duplicate_paragraphs: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest fraction of paragraphs that occurred before."""
    max_duplicate_paragraph_characters: float = Field(default=0.2, ge=0.0, le=1.0)
    """Greatest fraction of characters in such parts."""
    max_duplicate_lines: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest fraction of lines that occurred before."""
    max_duplicate_line_characters: float = Field(default=0.2, ge=0.0, le=1.0)
    """Greatest fraction of characters in such parts."""
    max_top_ngrams: tuple[float, float, float] = MAX_TOP_NGRAMS
    """Greatest fraction of characters in the most frequent sequence of 2, of 3, of 4 words."""
    max_duplicate_ngrams: tuple[float, float, float, float, float, float] = MAX_DUPLICATE_NGRAMS
    """Greatest fraction of characters in sequences of 5, 6, ... 10 words that occurred before."""

    def check(self, view: TextView, language: str | None) -> Iterator[Rejection | None]:
        """Yield a rejection, or None, for each rule; they are equal in all languages."""
        for kind, parts in (("paragraph", view.paragraphs), ("line", view.lines)):
            count, characters = repeated_parts(parts)
            fractions = {
                f"duplicate_{kind}s": count / len(parts),
                f"duplicate_{kind}_characters": characters / len(view.text),
            }
            for reason, fraction in fractions.items():  # limits are the fields max_REASON
                yield above(reason, fraction, getattr(self, f"max_{reason}"))
        yield from self._repeated_ngrams(view)

    def _repeated_ngrams(self, view: TextView) -> Iterator[Rejection | None]:
        limits = (*self.max_top_ngrams, *self.max_duplicate_ngrams)
        longest = SHORTEST_TOP + len(limits) - 1
        unit = view.words_per_word
        longest_top = (SHORTEST_DUPLICATE - 1) * unit
        for found in find_repeats(view, SHORTEST_TOP * unit, longest * unit):
            n, is_between = divmod(found.n, unit)
            space = n - 1 if view.has_spaces else 0
            # No fraction from here on exceeds that of all positions together, times the number of
            # positions in a longest top sequence. This ends the search early in most texts.
            at_most = int(found.lengths.sum()) + space * len(found.lengths)
            at_most *= max(1, longest_top - found.n + 1)
            if at_most <= min(limits[n - SHORTEST_TOP :]) * len(view.text):
                return
            if is_between:
                continue
            if n < SHORTEST_DUPLICATE:
                count, length = most_frequent(found)
                characters, reason = count * (length + space), f"top_{n}_gram"
            else:
                characters, reason = repeated_characters(found), f"duplicate_{n}_grams"
            yield above(reason, characters / len(view.text), limits[n - SHORTEST_TOP])
