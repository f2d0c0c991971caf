"""Where sentences end, once for the rules of a corpus and for the segments of sequences."""

import re
from collections.abc import Iterator

from sentencex import segment

from electra_pipeline.text.characters import (
    SENTENCE_TERMINALS,
    STACKERS,
    TIBETAN_SHADS,
    UNSPACED_MARKS,
    WORD_ENDS,
)
from electra_pipeline.text.words import FOLLOWERS, SPACES, has_spaced_words

SENTENCE_END = re.compile(f"[{SENTENCE_TERMINALS}{TIBETAN_SHADS}]")
# Marks that sentencex 1.0 takes for letters: Khmer, Balinese, Coptic, vertical forms, Tibetan, ...
OTHER_ENDS = (
    "\u17d4\u17d5\u1b4e\u1b4f\u1b7f\u2cf9-\u2cfb\u2e60\u2e61\ufe12\ufe15\ufe16\U000113d4\U000113d5"
    f"\U00016d6e\U00016d6f{TIBETAN_SHADS}"
)
HAS_OTHER_END = re.compile(f"[{OTHER_ENDS}]")
CLOSING = "\"'\u00bb\u2019\u201d\u203a)\\]\u300d\u300f"
# With the marks, quotes and spaces that follow it.
OTHER_SENTENCE = re.compile(
    f"(?s)[^{OTHER_ENDS}]*(?:[{OTHER_ENDS}][{OTHER_ENDS}{CLOSING}{SPACES}]*|$)"
)
# Scripts without spaces have sentences without an end: Thai and Lao write a space instead, which
# others write between clauses. A text of them is cut where one of so many characters would go on.
MAX_CHARACTERS = 128
CLAUSE_ENDS = "\u060c\u104a\u17d6\u3001\uff0c\uff1a\uff1b"
CLAUSE = re.compile(
    rf"(?s).{{1,{MAX_CHARACTERS}}}\Z"
    f"|.{{{MAX_CHARACTERS // 4},{MAX_CHARACTERS}}}(?<=[{SPACES}{CLAUSE_ENDS}])"
    f"|.{{1,{MAX_CHARACTERS}}}(?<=[{WORD_ENDS}])"
    f"|.{{1,{MAX_CHARACTERS}}}(?![{UNSPACED_MARKS}{FOLLOWERS}])(?<![{STACKERS}])"
    f"|.{{1,{MAX_CHARACTERS}}}"
)


def ends_sentence(text: str) -> bool:
    """Whether the last character is the mark of a sentence's end in any script."""
    return SENTENCE_END.match(text[-1:]) is not None


def split_sentences(line: str, language: str | None) -> Iterator[str]:
    """The sentences of a line, which together are all of it; some may be blank.

    A language that sentencex has no rules for is read with those of the language it falls back on,
    in the end English. What it does not know of other scripts is added: the marks of some, and that
    a sentence of a script without spaces may have no mark at all.
    """
    for sentence in segment(language or "en", line):
        if sentence.isascii():
            yield sentence
        elif HAS_OTHER_END.search(sentence):
            for part in filter(None, OTHER_SENTENCE.findall(sentence)):
                yield from _clauses(part)
        else:
            yield from _clauses(sentence)


def _clauses(sentence: str) -> list[str]:
    if len(sentence) <= MAX_CHARACTERS or has_spaced_words(sentence):
        return [sentence]
    return CLAUSE.findall(sentence)
