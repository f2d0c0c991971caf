"""Both layouts over documents whose tokens are all distinct, so that each can be found again."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.pretraining.rows import ROWS, Document, google_rows, packed_rows

CLS, SEP = 2, 3
shapes = st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=12)  # tokens a sentence
lengths = st.integers(8, 64)


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
