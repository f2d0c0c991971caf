"""Documents -> rows of ids in either layout, with counters."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from electra_pipeline.pretraining.packing import cut, pack
from electra_pipeline.pretraining.segments import build_pairs

Layout = Literal["google", "packed"]


@dataclass(frozen=True)
class Document:
    """A document of the corpus, read once."""

    sentences: Iterable[Sequence[int]]
    """Token ids of each sentence, without special tokens."""
    seed: str
    """Seed of the random choices for this document."""


@dataclass(frozen=True)
class Row:
    """One sequence without its padding."""

    ids: Sequence[int]
    segment_b: int
    """Start of segment B; the number of ids if there is none."""
    discarded: Sequence[int] = ()
    """Ids of text that did not fit in this row and is in no other."""


# (documents, length, id of [CLS], id of [SEP], counts) -> rows of at most `length` ids; `counts` is
# complete after the last row.
RowBuilder = Callable[[Iterable[Document], int, int, int, Counter[str]], Iterator[Row]]


def google_rows(
    documents: Iterable[Document], length: int, cls: int, sep: int, counts: Counter[str]
) -> Iterator[Row]:
    """Yield rows `[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`."""
    for document in documents:
        for pair in build_pairs(document.sentences, length, Random(document.seed)):
            counts["tokens_discarded"] += len(pair.discarded)
            counts["single_segment"] += not pair.second
            counts["reordered"] += pair.reordered
            first = [cls, *pair.first, sep]
            ids = [*first, *pair.second, sep] if pair.second else first
            yield Row(ids, len(first), pair.discarded)


def packed_rows(
    documents: Iterable[Document], length: int, cls: int, sep: int, counts: Counter[str]
) -> Iterator[Row]:
    """Yield runs of `[CLS] subsequence [SEP]`, each subsequence from one document."""

    def counted(sentences: Iterable[Sequence[int]]) -> Iterator[Sequence[int]]:
        for sentence in sentences:
            counts["tokens_discarded"] += len(sentence)  # until a row contains them
            yield sentence

    def subsequences() -> Iterator[Sequence[int]]:
        for document in documents:
            counts["documents"] += 1
            for index, subsequence in enumerate(cut(counted(document.sentences), length - 2)):
                counts["pieces"] += 1  # the key of subsequences in manifests
                counts["documents_split"] += index == 1
                counts["sentences_split"] += not subsequence.ends_sentence
                yield subsequence.ids

    for ids in pack(subsequences(), length, cls, sep):
        counts["tokens_discarded"] -= len(ids) - ids.count(cls) - ids.count(sep)
        yield Row(ids, len(ids))


ROWS: Mapping[Layout, RowBuilder] = {"google": google_rows, "packed": packed_rows}
# Counters of a layout besides sequences, tokens, tokens_discarded and reordered. `pieces` are
# subsequences, `documents_split` have more than one of them, `sentences_split` are cuts of a
# document inside a sentence.
COUNTED: Mapping[Layout, tuple[str, ...]] = {
    "google": ("single_segment",),
    "packed": ("documents", "documents_split", "pieces", "sentences_split"),
}
