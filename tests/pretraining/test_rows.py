"""Rows of both layouts; packing has its own tests in test_packing.py.

The tokens of some documents are all distinct, so that each can be found again.
"""

from collections import Counter
from itertools import count
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.pretraining.rows import (
    ROWS,
    Document,
    build_pairs,
    google_rows,
    packed_rows,
)

CLS, SEP = 2, 3
shapes = st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12)  # tokens a sentence
lengths = st.integers(8, 64)
documents_of_few_tokens = st.lists(st.lists(st.integers(5, 999), max_size=40), max_size=25)


def documents(shape: list[list[int]]) -> list[list[list[int]]]:
    """One document a list, one sentence a number: as many tokens that occur nowhere else."""
    tokens = count(5)
    return [[[next(tokens) for _ in range(size)] for size in sentences] for sentences in shape]


def as_input(text: list[list[list[int]]]) -> list[Document]:
    return [Document(sentences, str(index)) for index, sentences in enumerate(text)]


@given(shapes, lengths)
def test_packed_rows_hold_every_document_whole_and_in_order(
    shape: list[list[int]], length: int
) -> None:
    text = documents(shape)
    counts: Counter[str] = Counter()
    subsequences: list[list[int]] = []
    for row in packed_rows(as_input(text), length, CLS, SEP, counts):
        assert len(row.ids) == row.segment_b <= length
        for identifier in row.ids:
            if identifier == CLS:
                subsequences.append([])
            elif identifier != SEP:
                subsequences[-1].append(identifier)
    # tokens ascend through the corpus: sorted by first token, the subsequences are the corpus
    subsequences.sort()
    rejoined = [token for subsequence in subsequences for token in subsequence]
    assert rejoined == [token for sentences in text for s in sentences for token in s]

    owner = {t: index for index, sentences in enumerate(text) for s in sentences for t in s}
    by_document = Counter(owner[subsequence[0]] for subsequence in subsequences)
    assert all(len({owner[token] for token in subsequence}) == 1 for subsequence in subsequences)
    ends = {s[-1] for sentences in text for s in sentences if s}
    assert counts["documents"] == len(text)
    assert counts["pieces"] == len(subsequences)
    assert counts["documents_split"] == sum(number > 1 for number in by_document.values())
    assert counts["sentences_split"] == sum(
        subsequence[-1] not in ends for subsequence in subsequences
    )
    assert counts["tokens_discarded"] == 0


@given(shapes, lengths)
def test_google_rows_balance(shape: list[list[int]], length: int) -> None:
    text = documents(shape)
    counts: Counter[str] = Counter()
    rows = list(google_rows(as_input(text), length, CLS, SEP, counts))
    num_tokens = sum(len(sentence) for sentences in text for sentence in sentences)
    kept = [token for row in rows for token in row.ids if token not in (CLS, SEP)]
    assert len(kept) + counts["tokens_discarded"] == num_tokens
    assert len(set(kept)) == len(kept)
    assert counts["single_segment"] == sum(row.segment_b == len(row.ids) for row in rows)
    for row in rows:
        assert len(row.ids) <= length
        assert row.ids[0] == CLS
        assert row.ids[row.segment_b - 1] == row.ids[-1] == SEP


@given(shapes, lengths, st.sampled_from(sorted(ROWS)))
def test_the_same_documents_give_the_same_rows(
    shape: list[list[int]], length: int, layout: str
) -> None:
    first, second = (
        list(ROWS[layout](as_input(documents(shape)), length, CLS, SEP, Counter()))  # type: ignore[index]
        for _ in range(2)
    )
    assert first == second


@given(documents_of_few_tokens, lengths, st.integers(0, 2**32))
def test_every_token_is_kept_or_counted_and_nothing_is_too_long(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    pairs = list(build_pairs(document, max_length, Random(seed)))
    num_tokens = sum(len(sentence) for sentence in document)
    assert sum(len(p.first) + len(p.second) + len(p.discarded) for p in pairs) == num_tokens
    assert all(p.first for p in pairs)
    for p in pairs:  # with [CLS] and one [SEP] for each segment
        assert len(p.first) + len(p.second) + (3 if p.second else 2) <= max_length


@given(documents_of_few_tokens, lengths, st.integers(0, 2**32))
def test_same_seed_gives_the_same_pairs(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    assert list(build_pairs(document, max_length, Random(seed))) == list(
        build_pairs(document, max_length, Random(seed))
    )


@given(documents_of_few_tokens, lengths, st.integers(0, 2**32))
def test_text_without_reordering_stays_in_order(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    text = [token for sentence in document for token in sentence]
    at = 0
    for pair in build_pairs(document, max_length, Random(seed)):
        if not pair.reordered and not pair.discarded:
            joined = [*pair.first, *pair.second]
            assert text[at : at + len(joined)] == joined
        at += len(pair.first) + len(pair.second) + len(pair.discarded)


def test_the_published_rates_of_single_segments_and_short_targets() -> None:
    random = Random(1)
    # one-token sentences fill every target exactly, so the length shows the target
    pairs = list(build_pairs(([7] for _ in range(600_000)), 64, random))
    single = sum(not p.second for p in pairs) / len(pairs)
    full = sum(len(p.first) + len(p.second) + len(p.discarded) == 64 for p in pairs) / len(pairs)
    assert 0.09 < single < 0.13  # a tenth, and the short targets that leave B empty
    assert 0.94 < full < 0.96


def test_reordering_is_seen() -> None:
    """A long sentence goes to B, then a short one fits A again: the published quirk."""
    document = [[1] * 3, [2] * 30, [3] * 3, [4] * 40]
    found = [p for s in range(200) for p in build_pairs(document, 64, Random(s)) if p.reordered]
    assert found
    assert all(3 in p.first and 2 in p.second for p in found)
