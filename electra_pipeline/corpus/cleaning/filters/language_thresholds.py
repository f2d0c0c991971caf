"""Filter thresholds per language, from language_thresholds.yaml."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml


class LanguageThresholds(NamedTuple):
    """The thresholds of a language; the defaults reject nothing."""

    mean_word_length: Sequence[float] | None = None
    """Least and greatest mean, in characters; None if the source splits words differently."""
    min_alphabetic_words: float = 0.0
    """Least fraction of words that have a letter."""
    stop_words: tuple[str, ...] = ()
    """The most common words, or bound parts of words if `mean_word_length` is None."""
    min_ended_lines: float = 0.0
    """Least fraction of lines that end a sentence."""
    max_newlines: float = math.inf
    """Greatest number of line ends per word."""
    min_score: float = 0.5
    """Least probability of the language at which a document is taken to be in it. The default is
    CCNet's (Wenzek et al. 2019, section 3.3), with the same model."""


DEFAULTS = LanguageThresholds()


@cache
def thresholds_by_language() -> Mapping[str, LanguageThresholds]:
    """Return the table by the codes of its languages (ISO 639-1 if it has one, else 639-3)."""
    text = (files(__package__) / "language_thresholds.yaml").read_text(encoding="utf-8")
    return {
        code: LanguageThresholds(**row | {"stop_words": tuple(row["stop_words"].split())})
        for code, row in yaml.safe_load(text).items()
    }


def find_thresholds(
    language: str | None, otherwise: LanguageThresholds = DEFAULTS
) -> LanguageThresholds:
    """Return the thresholds of a language, or `otherwise` if the table has none."""
    return thresholds_by_language().get(language or "", otherwise)
