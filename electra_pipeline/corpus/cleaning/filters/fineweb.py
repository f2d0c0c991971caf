"""The filter `fineweb`: FineWeb's rules on lines (Penedo et al. 2024, arXiv:2406.17557, 3.6)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from electra_pipeline.corpus.cleaning.filters.filter import Filter, Rejection
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

    def reject(self, view: TextView, language: str | None) -> Rejection | None:
        """Reject a document by the first of the rules that it breaks."""
        return next(self._violations(view, language), None)

    def _violations(self, view: TextView, language: str | None) -> Iterator[Rejection]:
        lines = view.lines
        is_other = self.per_language and language != "en"
        limits = LanguageThresholds(
            min_ended_lines=self.min_ended_lines, max_newlines=self.max_newlines
        )
        max_repeated = self.max_repeated_characters
        if is_other:
            limits = find_thresholds(language, limits._replace(min_ended_lines=0.0))
            max_repeated = REPEATED_CHARACTERS_OF_OTHERS
        ended = sum(map(ends_sentence, lines)) / len(lines)
        if ended < limits.min_ended_lines:
            yield Rejection("unended_lines", f"{ended:.3f}")
        short = sum(len(line) <= self.short_line for line in lines) / len(lines)
        if short > self.max_short_lines and not is_other:
            yield Rejection("short_lines", f"{short:.3f}")
        repeated = repeated_parts(lines)[1] / sum(map(len, lines))
        if repeated > max_repeated:
            yield Rejection("repeated_lines", f"{repeated:.3f}")
        newlines = view.text.count("\n") / view.num_words
        if newlines > limits.max_newlines:
            yield Rejection("newlines", f"{newlines:.3f}")
