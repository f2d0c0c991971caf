"""How many sentences a text has."""

from itertools import islice

from electra_pipeline.corpus.cleaning.filters.prose import Prose
from electra_pipeline.text.sentences import split_sentences


def count_sentences(prose: Prose, language: str | None, at_most: int) -> int:
    """Sentences of `prose`, counted no further than to `at_most`. A line ends a sentence."""
    sentences = (
        sentence
        for line in prose.lines
        for sentence in split_sentences(line, language)
        if sentence.strip()
    )
    return sum(1 for _ in islice(sentences, at_most))
