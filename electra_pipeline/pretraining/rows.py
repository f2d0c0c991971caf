"""Documents -> rows of token ids in either layout, with counters.

google is the segment builder of google-research/electra, build_pretraining_dataset.py:40-110
(commit 8a46635): rows `[CLS] A [SEP] B [SEP]`. Its quirks are kept, because parity with the
published code requires them, and each is counted:

* text that does not fit is discarded (`tokens_discarded`);
* a later short sentence may be added to segment A, out of order (`reordered`): the length rule does
  not require segment B to be empty;
* a tenth of the sequences has one segment; a twentieth has a random shorter target length.

packed loses no text: documents are cut into subsequences, and a row is a run of
`[CLS] subsequence [SEP]`. A subsequence starts at its [CLS], because no text becomes that id.
Best-fit packing: Ding et al. 2024, "Fewer Truncations Improve Language Modeling"
(arXiv:2404.10830); here with a limited number of open rows, so that memory is bounded.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import Literal

Layout = Literal["google", "packed"]

SINGLE_SEGMENT_FRACTION = 0.1  # build_pretraining_dataset.py:62
SHORT_SEQUENCE_FRACTION = 0.05  # :90
SHORTEST_TARGET = 5  # :91
UNREACHABLE_LENGTH = 100_000  # :65, the first segment's target when there is only one

# A cut moves back to a sentence end within the last 16th of a subsequence. On English news and
# Spanish novels that leaves 0.8 % padding at length 128 and 1.8 to 2.9 % at 512, where 73 % and
# 22 % of the cuts still are inside a sentence; an eighth leaves 2.6 % and 3.2 to 3.4 %, a quarter
# 7 % and 4 %.
SENTENCE_END_WITHIN = 1 / 16
OPEN_ROWS = 256  # more gained nothing on the same corpora; 64 cost up to 0.4 %, 16 up to 2 %
SHORTEST = 3  # [CLS], one token, [SEP]: a row with less space is full


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


@dataclass(frozen=True)
class Pair:
    """Token ids of one sequence without [CLS] and [SEP]; `second` is empty for a single segment."""

    first: Sequence[int]
    second: Sequence[int]
    discarded: Sequence[int]
    """Ids of text that did not fit."""
    reordered: bool


def _target_length(max_length: int, random: Random) -> int:
    if random.random() < SHORT_SEQUENCE_FRACTION:
        return random.randint(SHORTEST_TARGET, max_length)
    return max_length


def _split(
    sentences: Sequence[Sequence[int]], max_length: int, target_length: int, random: Random
) -> Pair:
    if random.random() < SINGLE_SEGMENT_FRACTION:
        first_target = UNREACHABLE_LENGTH
    else:
        first_target = (target_length - 3) // 2  # [CLS] and two [SEP] are not in the text yet
    first: list[int] = []
    second: list[int] = []
    reordered = False
    for sentence in sentences:
        if (
            not first
            or len(first) + len(sentence) < first_target
            or (not second and len(first) < first_target and random.random() < 0.5)
        ):
            reordered = reordered or bool(second)
            first += sentence
        else:
            second += sentence
    kept_first = first[: max_length - 2]
    kept_second = second[: max(0, max_length - len(kept_first) - 3)]
    discarded = first[len(kept_first) :] + second[len(kept_second) :]
    return Pair(kept_first, kept_second, discarded, reordered)


def build_pairs(
    sentences: Iterable[Sequence[int]], max_length: int, random: Random
) -> Iterator[Pair]:
    """Yield the non-empty sequences, of at most `max_length` tokens, of one document's sentences.

    The published code draws the next target length after each sequence and carries it into the next
    document. Here it is drawn before each sequence, which has the same distribution and makes the
    sequences of a document independent of other documents.
    """
    current: list[Sequence[int]] = []
    current_length = 0
    target_length = _target_length(max_length, random)
    for sentence in sentences:
        if not sentence:
            continue
        current.append(sentence)
        current_length += len(sentence)
        if current_length >= target_length:
            yield _split(current, max_length, target_length, random)
            current, current_length = [], 0
            target_length = _target_length(max_length, random)
    if current:
        yield _split(current, max_length, target_length, random)


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


@dataclass(frozen=True)
class Subsequence:
    """Consecutive tokens of one document, without [CLS] and [SEP]."""

    ids: Sequence[int]
    ends_sentence: bool


def cut(sentences: Iterable[Sequence[int]], size: int) -> Iterator[Subsequence]:
    """Cut a document into consecutive subsequences of 1 to `size` tokens; none if it is empty.

    A subsequence has `size` tokens, or fewer if it can end with a sentence and is less than
    SENTENCE_END_WITHIN shorter. `size` is at least 1.
    """
    earliest = size - int(size * SENTENCE_END_WITHIN)
    waiting: list[int] = []
    end = 0  # of the last whole sentence among those waiting
    for sentence in sentences:
        waiting += sentence
        start = 0
        while len(waiting) - start > size:
            stop = end if end - start >= earliest else start + size
            yield Subsequence(waiting[start:stop], stop == end)
            start = stop
        del waiting[:start]
        end = len(waiting)
    if waiting:
        yield Subsequence(waiting, True)


def pack(
    subsequences: Iterable[Sequence[int]],
    length: int,
    cls: int,
    sep: int,
    open_rows: int = OPEN_ROWS,
) -> Iterator[list[int]]:
    """Pack subsequences of at most `length` - 2 tokens into rows of at most `length` ids.

    A subsequence is added to the fullest open row with enough space. If there is none, a new row is
    opened, and the fullest one closed if `open_rows` are open. The result depends on the order of
    the subsequences only.
    """

    def space(row: Sequence[int]) -> int:
        return length - len(row)

    rows: list[list[int]] = []  # the fullest first
    for ids in subsequences:
        at = bisect_left(rows, len(ids) + 2, key=space)
        if at == len(rows) == open_rows:
            yield rows.pop(0)
        row = rows.pop(at) if at < len(rows) else []
        row += chain((cls,), ids, (sep,))
        if space(row) < SHORTEST:
            yield row
        else:
            insort(rows, row, key=space)
    yield from rows


# Functions of (documents, length, id of [CLS], id of [SEP], counts): rows of at most `length` ids;
# `counts` is complete after the last row.
ROWS: Mapping[Layout, Callable[..., Iterator[Row]]] = {"google": google_rows, "packed": packed_rows}
# Counters of a layout besides sequences, tokens, tokens_discarded and reordered. `pieces` are
# subsequences, `documents_split` have more than one of them, `sentences_split` are cuts of a
# document inside a sentence.
COUNTED: Mapping[Layout, tuple[str, ...]] = {
    "google": ("single_segment",),
    "packed": ("documents", "documents_split", "pieces", "sentences_split"),
}
