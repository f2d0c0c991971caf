"""The rules of FineWeb on lines (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.languages import LineRules, line_rules
from electra_pipeline.corpus.cleaning.filters.prose import Judgement, Prose
from electra_pipeline.corpus.cleaning.filters.repeats import repeated_parts
from electra_pipeline.text.sentences import ends_sentence

# fineweb-2's pipeline for every language but English: 0.1, and short lines are no fault.
REPEATED_CHARACTERS_OF_OTHERS = 0.1


class FineWeb(Config):
    """Are its lines those of running text, not of a list or a menu?

    Differs from datatrove: a line is stripped before its end is looked at, and, as words keep their
    punctuation, there are fewer for each line end.
    """

    type: Literal["fineweb"] = "fineweb"
    min_ended_lines: float = Field(default=0.12, ge=0.0, le=1.0)
    """Least share of lines that end in the mark of a sentence's end."""
    short_line: int = Field(default=30, ge=0)
    """Most characters of a short line."""
    max_short_lines: float = Field(default=0.67, ge=0.0, le=1.0)
    """Greatest share of short lines."""
    max_repeated_characters: float = Field(default=0.01, ge=0.0, le=1.0)
    """Greatest share of characters in lines that occurred before."""
    max_newlines: float = Field(default=0.3, ge=0.0)
    """Most line ends a word."""
    per_language: bool = True
    """Judge other languages than English by their own ended lines and newlines, let a tenth be
    repeated, and do not judge short lines (fineweb-2); without an entry, ended lines neither.
    False: judge all by the values here."""

    def judge(self, prose: Prose, language: str | None) -> Judgement | None:
        """The first rule that `prose`, in `language` (ISO 639-1), breaks."""
        return next(self._violations(prose, language), None)

    def _violations(self, prose: Prose, language: str | None) -> Iterator[Judgement]:
        lines = prose.lines
        is_other = self.per_language and language != "en"
        rules = LineRules(self.min_ended_lines, self.max_newlines)
        max_repeated = self.max_repeated_characters
        if is_other:
            rules = line_rules(language, LineRules(0.0, self.max_newlines))
            max_repeated = REPEATED_CHARACTERS_OF_OTHERS
        ended = sum(map(ends_sentence, lines)) / len(lines)
        if ended < rules.min_ended_lines:
            yield Judgement("unended_lines", f"{ended:.3f}")
        short = sum(len(line) <= self.short_line for line in lines) / len(lines)
        if short > self.max_short_lines and not is_other:
            yield Judgement("short_lines", f"{short:.3f}")
        repeated = repeated_parts(lines)[1] / sum(map(len, lines))
        if repeated > max_repeated:
            yield Judgement("repeated_lines", f"{repeated:.3f}")
        newlines = prose.text.count("\n") / prose.num_words
        if newlines > rules.max_newlines:
            yield Judgement("newlines", f"{newlines:.3f}")
