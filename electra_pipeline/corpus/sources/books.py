"""Divide books into documents at chapters, paragraphs or sentences."""

import re
from collections.abc import Iterator

from electra_pipeline.text.characters import SENTENCE_TERMINALS, TIBETAN_SHADS, WORD_ENDS
from electra_pipeline.text.sentences import CLOSING
from electra_pipeline.text.words import SPACES

# A cut is made at the last boundary of the first kind that occurs in the allowed part of a window.
# White space belongs to the text before it, so that a document begins with a letter.
CHAPTER_WORDS = (
    "chapter|book|part|act|scene|letter|cap[ií]tulo|libro|parte|jornada|cap[ií]tol|chapitre|livre|"
    "partie|kapitel|buch|teil|capitolo|livro|hoofdstuk|deel|bok|del|kapittel|bog|luku|rozdzia[łl]|"
    "kapitola|poglavlje|fejezet|r[ée]sz|capitolul|partea|b[öo]l[üu]m|глава|часть|книга|розділ|"
    "частина|κεφ[αά]λαιο|prologue|pr[óo]logo|prolog|epilogue|ep[íi]logo|epilog|preface|foreword|"
    "introduction|pr[ée]face|vorwort|pref[áa]cio|conclusion"
)
# Punctuation after which a sentence begins without a space: Burmese, Khmer, Chinese, Japanese,
# Tibetan.
UNSPACED_TERMINALS = f"\u104b\u17d4\u17d5\u3002\uff01\uff1f\uff61{TIBETAN_SHADS}"
BOUNDARIES = tuple(
    re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    for pattern in (
        # A blank line before a heading: a line with a word for chapters, a roman or plain number,
        # the Chinese and Japanese form, or Project Gutenberg's asterisks.
        r"^[^\S\n]*\n(?=[^\S\n]*(?:"
        rf"(?:{CHAPTER_WORDS})\b[^\n]{{0,80}}"
        r"|[-\u2013\u2014]?[^\S\n]?(?:[IVXLCDM]{1,9}|\d{1,3})[-\u2013\u2014. ]{0,3}"
        r"|\u7b2c[^\n]{1,9}[\u7ae0\u56de\u7bc0\u8282\u5377][^\n]{0,60}"
        r"|\*{3}[^\n]{0,80}\*{3}"
        r")[^\S\n]*$)",
        r"\n[^\S\n]*\n",  # the end of a paragraph
        rf"[{SENTENCE_TERMINALS}{TIBETAN_SHADS}\u2026][{CLOSING}]*[{SPACES}]"
        rf"|[{UNSPACED_TERMINALS}][{CLOSING}]*",
        f"[{SPACES}{WORD_ENDS}]",
    )
)


def cut_book(text: str, max_characters: int) -> Iterator[str]:
    """Yield documents of at most `max_characters`: all of `text` but white space at their ends.

    A document ends before a chapter heading if there is one in reach, else after a paragraph, a
    sentence or a word. Only a whole book is shorter than a quarter of the limit, white space
    included, so that the end of a chapter does not become a fragment. Takes time linear in the
    text.
    """
    start = 0
    shortest = max_characters // 4
    while len(text) - start > max_characters:
        # The rest after the cut must not be a fragment either.
        last = min(start + max_characters, len(text) - shortest)
        stop = _last_boundary(text, start + shortest, last)
        if document := text[start:stop].strip():
            yield document
        start = stop
    if document := text[start:].strip():
        yield document


def _last_boundary(text: str, first: int, last: int) -> int:
    for boundary in BOUNDARIES:
        stop = 0
        for match in boundary.finditer(text, first, last):
            stop = match.end()
        if stop:
            return stop
    return last
