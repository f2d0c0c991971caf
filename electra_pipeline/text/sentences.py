"""Split text into sentences, for corpus filters and for the segments of sequences."""

import re
from collections.abc import Iterator
from functools import cache

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
# Marks that sentencex 1.0 treats as letters: Khmer, Balinese, Coptic, vertical forms, Tibetan, ...
OTHER_ENDS = (
    "\u17d4\u17d5\u1b4e\u1b4f\u1b7f\u2cf9-\u2cfb\u2e60\u2e61\ufe12\ufe15\ufe16\U000113d4\U000113d5"
    f"\U00016d6e\U00016d6f{TIBETAN_SHADS}"
)
HAS_OTHER_END = re.compile(f"[{OTHER_ENDS}]")
CLOSING = "\"'\u00bb\u2019\u201d\u203a)\\]\u300d\u300f"
# A sentence with the marks, quotes and spaces that follow it
OTHER_SENTENCE = re.compile(
    f"(?s)[^{OTHER_ENDS}]*(?:[{OTHER_ENDS}][{OTHER_ENDS}{CLOSING}{SPACES}]*|$)"
)
# Sentences of scripts without spaces may have no end mark: Thai and Lao write a space instead,
# which others write between clauses. A sentence longer than this is split.
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
    """Return whether the last character ends a sentence in any script."""
    return _is_sentence_end(text[-1:])


@cache
def _is_sentence_end(character: str) -> bool:
    return SENTENCE_END.match(character) is not None


def split_sentences(line: str, language: str | None) -> Iterator[str]:
    """Yield the sentences of a line, which together are the whole line; some may be blank.

    For a language without rules, sentencex uses those of its fallback language, finally English.
    This function adds the end marks of scripts that sentencex does not support, and splits long
    sentences of scripts without spaces, which may have no end mark at all.
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
