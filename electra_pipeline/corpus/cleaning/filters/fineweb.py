"""The filter `fineweb`: FineWeb's rules on lines (Penedo et al. 2024, arXiv:2406.17557, 3.6)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from electra_pipeline.corpus.cleaning.filters.filter import Filter, Rejection, above, below
from electra_pipeline.corpus.cleaning.filters.language_thresholds import (
    LanguageThresholds,
    find_thresholds,
)
from electra_pipeline.corpus.cleaning.filters.repetition import repeated_parts
from electra_pipeline.corpus.cleaning.filters.text_view import TextView
from electra_pipeline.text.sentences import ends_sentence

# fineweb-2's pipeline for languages other than English: 0.1, and no rule on short lines.
REPEATED_CHARACTERS_OF_OTHERS = 0.1


class FineWeb(Filter):
    """Drop documents whose lines are those of a list or a menu rather than of running text.

    Differs from datatrove: a line is stripped before its end is checked, and there are fewer words
    per line end, as words keep their punctuation.
    """

    type: Literal["fineweb"] = "fineweb"
    min_ended_lines: float = Field(default=0.12, ge=0.0, le=1.0)
    """Least fraction of lines that end in sentence-final punctuation."""
    short_line: int = Field(default=30, ge=0)
    """Greatest number of characters of a short line."""
    max_short_lines: float = Field(default=0.67, ge=0.0, le=1.0)
    """Greatest fraction of short lines."""
    max_repeated_characters: float = Field(default=0.01, ge=0.0, le=1.0)
    """Greatest fraction of characters in lines that occurred before."""
    max_newlines: float = Field(default=0.3, ge=0.0)
    """Greatest number of line ends per word."""
    per_language: bool = True
    """For languages other than English, use each language's own thresholds for ended lines and
    newlines, allow a tenth to be repeated and ignore short lines (fineweb-2); without an entry,
    ignore ended lines too. False: use the values here for all."""

    def check(self, view: TextView, language: str | None) -> Iterator[Rejection | None]:
        """Yield a rejection, or None, for each rule."""
        lines = view.lines
        limits = LanguageThresholds(
            min_ended_lines=self.min_ended_lines, max_newlines=self.max_newlines
        )
        max_short, max_repeated = self.max_short_lines, self.max_repeated_characters
        if self.per_language and language != "en":
            limits = find_thresholds(language, limits._replace(min_ended_lines=0.0))
            max_short, max_repeated = 1.0, REPEATED_CHARACTERS_OF_OTHERS
        ended = sum(map(ends_sentence, lines)) / len(lines)
        yield below("unended_lines", ended, limits.min_ended_lines)
        short = sum(len(line) <= self.short_line for line in lines) / len(lines)
        yield above("short_lines", short, max_short)
        repeated = repeated_parts(lines)[1] / sum(map(len, lines))
        yield above("repeated_lines", repeated, max_repeated)
        yield above("newlines", view.text.count("\n") / view.num_words, limits.max_newlines)
