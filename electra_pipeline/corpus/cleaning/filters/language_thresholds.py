"""Filter thresholds per language, from language_thresholds.yaml."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from electra_pipeline.corpus.cleaning.filters.text_view import TextView

MIN_SCORE = 0.5  # CCNet's (Wenzek et al. 2019, section 3.3), with the same model


class WordRules(NamedTuple):
    """Thresholds for the words of a language."""

    mean_word_length: tuple[float, float] | None
    """Least and greatest mean, in characters; None where the source splits words differently."""
    min_alphabetic_words: float
    """Least fraction of words that have a letter."""
    stop_words: tuple[str, ...]
    """The most common words, or bound parts of words where `mean_word_length` is None."""

    def count_stop_words(self, view: TextView) -> int:
        """Count the distinct stop words that occur in a text."""
        if self.mean_word_length is None:
            return sum(word in view.text for word in self.stop_words)
        return sum(word in view.bare_words for word in self.stop_words)


class LineRules(NamedTuple):
    """Thresholds for the lines of a language."""

    min_ended_lines: float
    """Least fraction of lines that end a sentence."""
    max_newlines: float
    """Greatest number of line ends per word."""


class LanguageRules(NamedTuple):
    """All thresholds of a language."""

    words: WordRules
    lines: LineRules
    min_score: float
    """Least probability of the language at which a document is taken to be in it."""


@cache
def _table() -> Mapping[str, LanguageRules]:
    text = (files(__package__) / "language_thresholds.yaml").read_text(encoding="utf-8")
    return {
        code: LanguageRules(
            WordRules(
                tuple(row["mean_word_length"]) if row["mean_word_length"] else None,
                row["min_alphabetic_words"],
                tuple(row["stop_words"].split()),
            ),
            LineRules(row["min_ended_lines"], row["max_newlines"]),
            row.get("min_language_score", MIN_SCORE),
        )
        for code, row in yaml.safe_load(text).items()
    }


def languages_with_rules() -> tuple[str, ...]:
    """Return the codes of the languages in the table (ISO 639-1 if it has one, else 639-3)."""
    return tuple(sorted(_table()))


def word_rules(language: str | None, otherwise: WordRules) -> WordRules:
    """Return the word thresholds of a language, or `otherwise` if the table has none."""
    row = _table().get(language or "")
    return row.words if row else otherwise


def line_rules(language: str | None, otherwise: LineRules) -> LineRules:
    """Return the line thresholds of a language, or `otherwise` if the table has none."""
    row = _table().get(language or "")
    return row.lines if row else otherwise


def min_language_score(language: str | None) -> float:
    """Return the least probability of a language for its documents; 0.5 if it has no row."""
    row = _table().get(language or "")
    return row.min_score if row else MIN_SCORE
