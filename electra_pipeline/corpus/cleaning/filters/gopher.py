"""The rules of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1)."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.languages import WordRules, word_rules
from electra_pipeline.corpus.cleaning.filters.prose import Judgement, Prose
from electra_pipeline.corpus.cleaning.filters.repeats import (
    most_frequent,
    repeated_characters,
    repeated_parts,
    repeats,
)

LETTER = re.compile(r"[^\W\d_]")
DIGIT = re.compile(r"[^\W_]")
BULLETS = ("•", "-")
ELLIPSES = ("...", "…")
SHORTEST_TOP = 2
MAX_TOP_NGRAMS = (0.20, 0.18, 0.16)
SHORTEST_DUPLICATE = 5
MAX_DUPLICATE_NGRAMS = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)


class GopherQuality(Config):
    """Is it prose: words of usual number and length, letters, few symbols, common words?

    Differs from datatrove where words do (see `quality.prose`): more documents pass the least share
    of words with a letter. Blank lines are no lines.
    """

    type: Literal["gopher_quality"] = "gopher_quality"
    min_words: int = Field(default=50, ge=0)
    """Least number of words that have a letter or a digit."""
    max_words: int | None = Field(default=100_000, ge=1)
    """Most of them; null for any number."""
    min_mean_word_length: float = Field(default=3.0, ge=0.0)
    """Least mean length, in characters, of the words that have a letter or a digit."""
    max_mean_word_length: float = Field(default=10.0, ge=0.0)
    """Greatest mean length."""
    max_symbols: float = Field(default=0.1, ge=0.0)
    """Most hash signs a word, and most ellipses a word."""
    max_bullet_lines: float = Field(default=0.9, ge=0.0, le=1.0)
    """Greatest share of lines that begin with a bullet."""
    max_ellipsis_lines: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest share of lines that end in an ellipsis."""
    min_alphabetic_words: float = Field(default=0.8, ge=0.0, le=1.0)
    """Least share of words that have a letter."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Common words, in lower case."""
    min_stop_words: int = Field(default=2, ge=0)
    """How many different ones of them must occur."""
    per_language: bool = True
    """Judge other languages than English by their own word lengths, letters and stop words
    (fineweb-2); one without an entry by neither lengths nor stop words. False: judge all by the
    values here."""

    def judge(self, prose: Prose, language: str | None) -> Judgement | None:
        """The first rule that `prose`, in `language` (ISO 639-1), breaks."""
        return next(self._violations(prose, self._word_rules(language)), None)

    def _word_rules(self, language: str | None) -> WordRules:
        if self.per_language and language != "en":
            return word_rules(language, WordRules(None, self.min_alphabetic_words, ()))
        lengths = self.min_mean_word_length, self.max_mean_word_length
        return WordRules(lengths, self.min_alphabetic_words, self.stop_words)

    def _violations(self, prose: Prose, rules: WordRules) -> Iterator[Judgement]:
        words = prose.words
        # Most words begin with a letter: this is asked quickly.
        others = [word for word in words if not word[0].isalpha()]
        letterless = [word for word in others if not LETTER.search(word)]
        symbols = [word for word in letterless if not DIGIT.search(word)]
        num_words = (len(words) - len(symbols)) / prose.words_per_word
        if num_words < self.min_words:
            yield Judgement("few_words", f"{num_words:g}")
        if self.max_words is not None and num_words > self.max_words:
            yield Judgement("many_words", f"{num_words:g}")
        if rules.mean_word_length and prose.has_spaces and num_words:
            characters = int(prose.ends[-1]) - prose.num_optional_marks - sum(map(len, symbols))
            mean = characters / num_words
            least, most = rules.mean_word_length
            if mean < least:
                yield Judgement("short_words", f"{mean:.2f}")
            if mean > most:
                yield Judgement("long_words", f"{mean:.2f}")
        hashes = prose.text.count("#") / prose.num_words
        if hashes > self.max_symbols:
            yield Judgement("hash_signs", f"{hashes:.3f}")
        ellipses = sum(map(prose.text.count, ELLIPSES)) / prose.num_words
        if ellipses > self.max_symbols:
            yield Judgement("ellipses", f"{ellipses:.3f}")
        bullets = sum(line.startswith(BULLETS) for line in prose.lines) / len(prose.lines)
        if bullets > self.max_bullet_lines:
            yield Judgement("bullet_lines", f"{bullets:.3f}")
        ends = sum(line.endswith(ELLIPSES) for line in prose.lines) / len(prose.lines)
        if ends > self.max_ellipsis_lines:
            yield Judgement("ellipsis_lines", f"{ends:.3f}")
        alphabetic = 1 - len(letterless) / len(words)
        if alphabetic < rules.min_alphabetic_words:
            yield Judgement("few_letters", f"{alphabetic:.3f}")
        num_stop_words = rules.count_stop_words(prose)
        if rules.stop_words and num_stop_words < self.min_stop_words:
            yield Judgement("few_stop_words", str(num_stop_words))


class GopherRepetition(Config):
    """Does it say the same again and again: lines, paragraphs, sequences of words?

    Shares are of all characters of the text. Differs from datatrove in this: a sequence of words
    must occur more than once to count (there, the most frequent one of seven different words is any
    pair, and a short text is dropped); blank lines are no lines. Where characters stand for words,
    a sequence of n words is one of 2n characters.
    """

    type: Literal["gopher_repetition"] = "gopher_repetition"
    max_duplicate_paragraphs: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest share of paragraphs that occurred before."""
    max_duplicate_paragraph_characters: float = Field(default=0.2, ge=0.0, le=1.0)
    """Greatest share of characters in them."""
    max_duplicate_lines: float = Field(default=0.3, ge=0.0, le=1.0)
    """Greatest share of lines that occurred before."""
    max_duplicate_line_characters: float = Field(default=0.2, ge=0.0, le=1.0)
    """Greatest share of characters in them."""
    max_top_ngrams: tuple[float, float, float] = MAX_TOP_NGRAMS
    """Greatest share of characters in the most frequent sequence of 2, of 3, of 4 words."""
    max_duplicate_ngrams: tuple[float, float, float, float, float, float] = MAX_DUPLICATE_NGRAMS
    """Greatest share of characters in sequences of 5, 6, ... 10 words that occurred before."""

    def judge(self, prose: Prose, language: str | None) -> Judgement | None:
        """The first rule that `prose` breaks, in any language."""
        return next(self._violations(prose), None)

    def _violations(self, prose: Prose) -> Iterator[Judgement]:
        limits = self.max_duplicate_paragraphs, self.max_duplicate_paragraph_characters
        yield from _repeated_parts("paragraph", prose.paragraphs, *limits, len(prose.text))
        limits = self.max_duplicate_lines, self.max_duplicate_line_characters
        yield from _repeated_parts("line", prose.lines, *limits, len(prose.text))
        yield from self._repeated_ngrams(prose)

    def _repeated_ngrams(self, prose: Prose) -> Iterator[Judgement]:
        limits = (*self.max_top_ngrams, *self.max_duplicate_ngrams)
        longest = SHORTEST_TOP + len(limits) - 1
        unit = prose.words_per_word
        longest_top = (SHORTEST_DUPLICATE - 1) * unit
        for found in repeats(prose, SHORTEST_TOP * unit, longest * unit):
            n, is_between = divmod(found.n, unit)
            space = n - 1 if prose.has_spaces else 0
            # No share from here on is greater than that of all places together, times the number
            # of them that a longest top sequence spans: in most texts this ends the search soon.
            at_most = int(found.lengths.sum()) + space * len(found.lengths)
            at_most *= max(1, longest_top - found.n + 1)
            if at_most <= min(limits[n - SHORTEST_TOP :]) * len(prose.text):
                return
            if is_between:
                continue
            if n < SHORTEST_DUPLICATE:
                count, length = most_frequent(found)
                characters, reason = count * (length + space), f"top_{n}_gram"
            else:
                characters, reason = repeated_characters(found), f"duplicate_{n}_grams"
            if (share := characters / len(prose.text)) > limits[n - SHORTEST_TOP]:
                yield Judgement(reason, f"{share:.3f}")


def _repeated_parts(
    kind: str, parts: Sequence[str], most: float, most_characters: float, num_characters: int
) -> Iterator[Judgement]:
    count, characters = repeated_parts(parts)
    if (share := count / len(parts)) > most:
        yield Judgement(f"duplicate_{kind}s", f"{share:.3f}")
    if (share := characters / num_characters) > most_characters:
        yield Judgement(f"duplicate_{kind}_characters", f"{share:.3f}")
