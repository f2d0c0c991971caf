"""Cutting and packing against plain loops: all text in order, rows full."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from electra_pipeline.inputs.decompression import decompress
from electra_pipeline.pretraining.rows import SENTENCE_END_WITHIN, Subsequence, cut, pack
from electra_pipeline.pretraining.text_encoding import SentenceEncoder, split_text

CLS, SEP = 2, 3
sentences = st.lists(st.lists(st.integers(5, 999), max_size=60), max_size=25)
sizes = st.integers(1, 64)
subsequences = st.integers(8, 64).flatmap(
    lambda length: st.tuples(
        st.just(length),
        st.lists(st.lists(st.integers(5, 999), min_size=1, max_size=length - 2), max_size=80),
    )
)


def unpack(row: Sequence[int]) -> list[list[int]]:
    """The subsequences of a row, read from its brackets alone."""
    found: list[list[int]] = []
    assert row[0] == CLS
    for place, identifier in enumerate(row):
        if identifier == CLS:
            assert place == 0 or row[place - 1] == SEP
            found.append([])
        elif identifier != SEP:
            found[-1].append(identifier)
    assert row[-1] == SEP
    assert row.count(CLS) == row.count(SEP) == len(found)
    return found


def best_fit_by_plain_loop(
    given_subsequences: list[list[int]], length: int, open_rows: int
) -> list[list[list[int]]]:
    """Rows as lists of subsequences: look at every open row, take the fullest that has room."""

    def used(row: list[list[int]]) -> int:
        return sum(len(subsequence) + 2 for subsequence in row)

    closed: list[list[list[int]]] = []
    rows: list[list[list[int]]] = []  # in the order in which each was last written to
    for subsequence in given_subsequences:
        fitting = [row for row in rows if used(row) + len(subsequence) + 2 <= length]
        if fitting:
            row = max(fitting, key=used)  # the first of equals
        else:
            if len(rows) == open_rows:
                fullest = max(rows, key=used)
                rows = [other for other in rows if other is not fullest]
                closed.append(fullest)
            row = []
        rows = [other for other in rows if other is not row]
        row.append(subsequence)
        (rows if used(row) + 3 <= length else closed).append(row)
    return closed + sorted(rows, key=used, reverse=True)


@given(sentences, sizes)
def test_the_subsequences_of_a_document_are_its_text_in_order(
    document: list[list[int]], size: int
) -> None:
    found = list(cut(document, size))
    text = [token for sentence in document for token in sentence]
    assert [token for subsequence in found for token in subsequence.ids] == text
    assert all(1 <= len(subsequence.ids) <= size for subsequence in found)


@given(sentences, sizes)
def test_a_subsequence_ends_with_a_sentence_wherever_that_costs_little(
    document: list[list[int]], size: int
) -> None:
    ends = {0}
    for sentence in document:
        ends.add(max(ends) + len(sentence))
    place = 0
    for subsequence in cut(document, size):
        start, place = place, place + len(subsequence.ids)
        assert subsequence.ends_sentence == (place in ends)
        if place < max(ends):  # not the document's last subsequence
            near = [e for e in ends if 0 <= start + size - e <= int(size * SENTENCE_END_WITHIN)]
            assert place == max(near, default=start + size)


def test_a_document_without_a_token_has_no_subsequence() -> None:
    assert list(cut([], 6)) == list(cut([[], []], 6)) == []


def test_a_single_token_is_a_subsequence() -> None:
    assert list(cut([[7]], 6)) == [Subsequence([7], True)]


def test_one_endless_sentence_is_cut_where_the_row_is_full() -> None:
    endless = list(range(5, 1_000_005))
    found = list(cut([endless], 126))
    assert {len(subsequence.ids) for subsequence in found[:-1]} == {126}
    assert not any(subsequence.ends_sentence for subsequence in found[:-1])
    assert [token for subsequence in found for token in subsequence.ids] == endless


@given(subsequences, st.integers(1, 6))
def test_rows_are_those_of_a_plain_loop(
    lengths_and_subsequences: tuple[int, list[list[int]]], open_rows: int
) -> None:
    length, given_subsequences = lengths_and_subsequences
    rows = list(pack(given_subsequences, length, CLS, SEP, open_rows))
    assert [unpack(row) for row in rows] == best_fit_by_plain_loop(
        given_subsequences, length, open_rows
    )


@given(subsequences)
def test_every_subsequence_is_in_one_row_and_no_row_is_too_long(
    lengths_and_subsequences: tuple[int, list[list[int]]],
) -> None:
    length, given_subsequences = lengths_and_subsequences
    rows = list(pack(given_subsequences, length, CLS, SEP))
    assert all(len(row) <= length for row in rows)
    assert sorted(subsequence for row in rows for subsequence in unpack(row)) == sorted(
        given_subsequences
    )


def test_rows_come_while_subsequences_go_in() -> None:
    """No more than the open rows is held back, however much text there is."""
    num_read = 0

    def text() -> Iterator[list[int]]:
        nonlocal num_read
        while num_read < 5_000:
            num_read += 1
            yield [7] * 4

    num_written = 0
    for row in pack(text(), 16, CLS, SEP, open_rows=10):
        assert num_read - num_written <= 2 * 10 + 1  # two subsequences fill a row, one waits
        num_written += len(unpack(row))
    assert num_written == num_read == 5_000


def padding(length: int, text: list[list[list[int]]]) -> float:
    found = (subsequence.ids for document in text for subsequence in cut(document, length - 2))
    rows = list(pack(found, length, CLS, SEP))
    return 1 - sum(map(len, rows)) / (length * len(rows))


def test_padding_stays_below_the_width_of_a_cut() -> None:
    """News: log-normal articles of log-normal sentences, with many of a line or two."""
    random = Random(0)
    articles = [
        [[7] * (1 + int(random.lognormvariate(3.0, 0.6))) for _ in range(num_sentences)]
        for num_sentences in (int(random.lognormvariate(2.3, 1.0)) for _ in range(3_000))
    ]
    for length in (128, 512):
        assert padding(length, articles) < 0.04
    novels = [[[7] * (1 + int(random.lognormvariate(3.0, 0.8))) for _ in range(15_000)]]
    for length in (128, 512):
        assert padding(length, novels) < SENTENCE_END_WITHIN / 2


@pytest.mark.data
@pytest.mark.parametrize("length", [128, 512])
def test_padding_of_real_news(data_directory: Path, length: int) -> None:
    vocabulary = WordPiece.from_file(
        str(data_directory / "vocab/bert-base-uncased.vocab.txt"), unk_token="[UNK]"
    )
    tokenizer = Tokenizer(vocabulary)
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    name = "corpora/wikinews-en/part-000.jsonl.zst"
    with (data_directory / name).open("rb") as file, decompress(file, ".zst", name) as lines:
        texts = [orjson.loads(line)["text"] for line in itertools.islice(lines, 2_000)]
    encoder = SentenceEncoder(tokenizer)
    articles = [list(encoder.encode(split_text(text, "en", "sentences"))) for text in texts]
    assert padding(length, articles) < 0.04
