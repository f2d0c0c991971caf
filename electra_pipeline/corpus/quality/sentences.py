"""Where sentences end: marks of many scripts, and how many sentences a text has."""

from itertools import islice

from sentencex import segment

from electra_pipeline.corpus.quality.prose import Prose

# Unicode's property Sentence_Terminal (PropList.txt) for the scripts of today's languages: Latin,
# Armenian, Arabic, Devanagari, Burmese, Ethiopic, Khmer, Mongolian, full width.
SENTENCE_ENDS = frozenset(
    ".!?\u203c\u203d\u2047\u2048\u2049\u0589\u061d\u061e\u061f\u06d4\u0964\u0965\u104a\u104b"
    "\u1362\u1367\u1368\u17d4\u17d5\u1803\u1809\u3002\uff01\uff0e\uff1f\uff61"
)


def count_sentences(prose: Prose, language: str | None, at_most: int) -> int:
    """Sentences of `prose`, counted no further than to `at_most`. A line ends a sentence.

    A language that sentencex has no rules for is read with those of one near to it, or English.
    """
    sentences = (
        sentence
        for line in prose.lines
        for sentence in segment(language or "en", line)
        if sentence.strip()
    )
    return sum(1 for _ in islice(sentences, at_most))
