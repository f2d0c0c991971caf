"""The rules of C4 (Raffel et al. 2020, arXiv:1910.10683, section 2.2), and those that its code has
besides (c4_utils.py in TensorFlow Datasets: policy lines, words of 1,000 characters).
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.prose import Judgement, Prose
from electra_pipeline.corpus.cleaning.filters.sentences import count_sentences
from electra_pipeline.text.sentences import ends_sentence
from electra_pipeline.text.words import split_words

# C4 has the straight quotes; the others are how good typography writes them.
CLOSING_QUOTES = ('"', "'", "”", "’", "»", "」", "』")  # noqa: RUF001 - quotes
ELLIPSIS = "..."
JAVASCRIPT = ("javascript",)
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
LOREM_IPSUM = "lorem ipsum"
PARAGRAPH_END = re.compile(r"\n{3,}")


class C4Lines(Config):
    """Remove lines that are not sentences, menus and notices for instance.

    Differs from datatrove: a sentence may end in the marks of any script, blank lines between
    paragraphs stay, and references such as [12] stay.
    """

    type: Literal["c4_lines"] = "c4_lines"
    end_of_sentence: bool = True
    """Remove lines that do not end in the mark of a sentence's end or a closing quote; an ellipsis
    is none. FineWeb leaves this out: it removes most of a page (Penedo et al. 2024, section 3.5)"""
    min_words: int = Field(default=3, ge=0)
    """Remove lines of fewer words."""
    max_word_characters: int = Field(default=1000, ge=1)
    """Remove lines with a longer word: it is none."""
    javascript: bool = True
    """Remove lines with the word Javascript: they say that it is off."""
    policies: bool = True
    """Remove lines about cookies, terms of use and privacy (English)."""

    def edit(self, prose: Prose) -> tuple[str, Mapping[str, int]]:
        """What is left of the text, and the number of lines removed for each reason."""
        # What no line can have is asked of the whole text: that is quick, and most have it not.
        phrases = {
            reason: among
            for reason, among in self._phrases().items()
            if any(phrase in prose.lower for phrase in among)
        }
        has_long_word = np.diff(prose.ends).max() > self.max_word_characters
        removed: Counter[str] = Counter()
        kept = []
        for line in map(str.strip, prose.text.split("\n")):
            reason = self._fault(line, has_long_word, phrases) if line else None
            if reason is None:
                kept.append(line)
            else:
                removed[reason] += 1
        if not removed:
            return prose.text, {}
        return PARAGRAPH_END.sub("\n\n", "\n".join(kept)).strip(), removed

    def _phrases(self) -> dict[str, tuple[str, ...]]:
        about: dict[str, tuple[str, ...]] = {"javascript": JAVASCRIPT if self.javascript else ()}
        about |= {"policies": POLICIES if self.policies else ()}
        return {f"lines_about_{what}": phrases for what, phrases in about.items()}

    def _fault(
        self, line: str, has_long_word: bool, phrases: Mapping[str, tuple[str, ...]]
    ) -> str | None:
        if has_long_word and max(map(len, split_words(line))) > self.max_word_characters:
            return "lines_with_long_word"
        if self.end_of_sentence and not _is_ended(line):
            return "lines_without_end"
        if len(line.split(None, self.min_words)) < self.min_words > len(split_words(line)):
            return "lines_of_few_words"
        if phrases:
            lower = line.lower()
            for reason, among in phrases.items():
                if any(phrase in lower for phrase in among):
                    return reason
        return None


def _is_ended(line: str) -> bool:
    is_ended = ends_sentence(line) or line.endswith(CLOSING_QUOTES)
    return is_ended and not line.endswith(ELLIPSIS)


class C4Page(Config):
    """Drop pages that are code, filler text or too few sentences; after `c4_lines`, as in C4.

    Differs from datatrove: a curly bracket counts in any line that `c4_lines` left, also in those
    after which datatrove has already decided.
    """

    type: Literal["c4_page"] = "c4_page"
    lorem_ipsum: bool = True
    """Drop pages with this phrase."""
    curly_bracket: bool = True
    """Drop pages with a `{`: programs."""
    min_sentences: int = Field(default=5, ge=0)
    """Least number of sentences."""

    def judge(self, prose: Prose, language: str | None) -> Judgement | None:
        """The first rule that `prose`, in `language` (ISO 639-1), breaks."""
        if self.lorem_ipsum and LOREM_IPSUM in prose.lower:
            return Judgement("lorem_ipsum", str(prose.lower.count(LOREM_IPSUM)))
        if self.curly_bracket and "{" in prose.text:
            return Judgement("curly_bracket", str(prose.text.count("{")))
        num_sentences = count_sentences(prose, language, self.min_sentences)
        if num_sentences < self.min_sentences:
            return Judgement("few_sentences", str(num_sentences))
        return None
