"""The filters `c4_lines` and `c4_page`: the rules of C4 (Raffel et al. 2020, arXiv:1910.10683).

They are those of section 2.2 and of its code (c4_utils.py in TensorFlow Datasets: policy lines,
words of 1,000 characters).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Literal

from pydantic import Field

from electra_pipeline.corpus.cleaning.filters.filter import Filter, Rejection, above, below
from electra_pipeline.corpus.cleaning.filters.text_view import TextView
from electra_pipeline.corpus.cleaning.text import PARAGRAPH_END
from electra_pipeline.text.sentences import ends_sentence, split_sentences
from electra_pipeline.text.words import split_words

# C4 has the straight quotes; the others are their typographic forms.
CLOSING_QUOTES = ('"', "'", "”", "’", "»", "」", "』")  # noqa: RUF001 - quotes
ELLIPSIS = "..."
# By the switch that turns the rule on.
PHRASES = {
    "javascript": ("javascript",),
    "policies": (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    ),
}
LOREM_IPSUM = "lorem ipsum"


class C4Lines(Filter):
    """Remove lines that are not sentences, for instance menus and notices.

    Differs from datatrove: a sentence may end in the punctuation of any script; blank lines between
    paragraphs and references such as [12] are kept.
    """

    type: Literal["c4_lines"] = "c4_lines"
    end_of_sentence: bool = True
    """Remove lines that do not end in sentence-final punctuation or a closing quote; an ellipsis
    does not count. FineWeb omits this, as it removes most of a page (Penedo et al. 2024, 3.5)."""
    min_words: int = Field(default=3, ge=0)
    """Remove lines with fewer words."""
    max_word_characters: int = Field(default=1000, ge=1)
    """Remove lines with a longer word, which is not a real word."""
    javascript: bool = True
    """Remove lines with the word Javascript, which ask to switch it on."""
    policies: bool = True
    """Remove lines about cookies, terms of use and privacy (English)."""

    def edit(self, view: TextView) -> tuple[str, Mapping[str, int]]:
        """Return the remaining text and the number of lines removed for each reason."""
        # Most texts contain none of these: checking the whole text first saves time.
        phrases = {
            f"lines_about_{topic}": phrases
            for topic, phrases in PHRASES.items()
            if getattr(self, topic) and any(phrase in view.lower for phrase in phrases)
        }
        has_long_word = (view.ends[1:] - view.ends[:-1]).max() > self.max_word_characters
        removed: Counter[str] = Counter()
        kept = []
        for line in map(str.strip, view.text.split("\n")):
            reason = self._reason(line, has_long_word, phrases) if line else None
            if reason is None:
                kept.append(line)
            else:
                removed[reason] += 1
        if not removed:
            return view.text, {}
        return PARAGRAPH_END.sub("\n\n", "\n".join(kept)).strip(), removed

    def _reason(
        self, line: str, has_long_word: bool, phrases: Mapping[str, tuple[str, ...]]
    ) -> str | None:
        if has_long_word and max(map(len, split_words(line))) > self.max_word_characters:
            return "lines_with_long_word"
        if self.end_of_sentence and not _is_ended(line):
            return "lines_without_end"
        if len(line.split(None, self.min_words)) < self.min_words > len(split_words(line)):
            return "lines_of_few_words"
        lower = line.lower() if phrases else ""
        for reason, among in phrases.items():
            if any(phrase in lower for phrase in among):
                return reason
        return None


def _is_ended(line: str) -> bool:
    is_ended = ends_sentence(line) or line.endswith(CLOSING_QUOTES)
    return is_ended and not line.endswith(ELLIPSIS)


class C4Page(Filter):
    """Drop pages that are code, filler text or too few sentences; after `c4_lines`, as in C4.

    Differs from datatrove: a curly bracket counts in any line that `c4_lines` left, also in those
    after which datatrove has already decided.
    """

    type: Literal["c4_page"] = "c4_page"
    lorem_ipsum: bool = True
    """Drop pages that contain "lorem ipsum"."""
    curly_bracket: bool = True
    """Drop pages with a `{`, which contain program code."""
    min_sentences: int = Field(default=5, ge=0)
    """Least number of sentences."""

    def check(self, view: TextView, language: str | None) -> Iterator[Rejection | None]:
        """Yield a rejection, or None, for each rule."""
        if self.lorem_ipsum:
            yield above("lorem_ipsum", view.lower.count(LOREM_IPSUM), 0, "d")
        if self.curly_bracket:
            yield above("curly_bracket", view.text.count("{"), 0, "d")
        num_sentences = _count_sentences(view, language, self.min_sentences)
        yield below("few_sentences", num_sentences, self.min_sentences, "d")


def _count_sentences(view: TextView, language: str | None, at_most: int) -> int:
    """Count the sentences, up to `at_most`. The end of a line ends a sentence."""
    sentences = (
        sentence
        for line in view.lines
        for sentence in split_sentences(line, language)
        if sentence.strip()
    )
    return sum(1 for _ in islice(sentences, at_most))
