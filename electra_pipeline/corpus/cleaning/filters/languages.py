"""What is usual in a language: the table in languages.yaml, looked up by code."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from electra_pipeline.corpus.cleaning.filters.prose import Prose

MIN_SCORE = 0.5  # CCNet's (Wenzek et al. 2019, section 3.3), with the same model


class WordRules(NamedTuple):
    """What the words of a language are like."""

    mean_word_length: tuple[float, float] | None
    """Least and greatest mean, in characters; None where the source's words are not ours."""
    min_alphabetic_words: float
    """Least share of words that have a letter."""
    stop_words: tuple[str, ...]
    """The most common words, or bound parts of words where `mean_word_length` is None."""

    def count_stop_words(self, prose: Prose) -> int:
        """How many different stop words occur in `prose`."""
        if self.mean_word_length is None:
            return sum(word in prose.text for word in self.stop_words)
        return sum(word in prose.bare_words for word in self.stop_words)


class LineRules(NamedTuple):
    """What the lines of a language are like."""

    min_ended_lines: float
    """Least share of lines that end a sentence."""
    max_newlines: float
    """Most line ends a word."""


class LanguageRules(NamedTuple):
    """A row of the table."""

    words: WordRules
    lines: LineRules
    min_score: float
    """Least probability with which a document must be told to be in the language."""


@cache
def _table() -> Mapping[str, LanguageRules]:
    text = (files(__package__) / "languages.yaml").read_text(encoding="utf-8")
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
    """Codes of the languages in the table (ISO 639-1 where there is one)."""
    return tuple(sorted(_table()))


def word_rules(language: str | None, otherwise: WordRules) -> WordRules:
    """Those of a language, or `otherwise` if the table has none."""
    row = _table().get(language or "")
    return row.words if row else otherwise


def line_rules(language: str | None, otherwise: LineRules) -> LineRules:
    """Those of a language, or `otherwise` if the table has none."""
    row = _table().get(language or "")
    return row.lines if row else otherwise


def min_language_score(language: str | None) -> float:
    """The least probability of a language that its documents must reach; 0.5 if it has no row."""
    row = _table().get(language or "")
    return row.min_score if row else MIN_SCORE
