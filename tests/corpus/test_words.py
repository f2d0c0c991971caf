import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.hashing import MULTIPLIER, hash_ngrams, hash_words
from electra_pipeline.text.words import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (
            " It's  well-known,\nsince 1.5 years. ",
            ["It's", "well-known,", "since", "1.5", "years."],
        ),
        ("我爱 NLP。", ["我", "爱", "NLP。"]),
        ("カタカナとABC", ["カ", "タ", "カ", "ナ", "と", "ABC"]),
        ("ภาษาไทย", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text())
def test_words_hold_every_character_but_white_space(text: str) -> None:
    assert "".join(split_words(text)) == "".join(text.split())


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.integers(1, 6))
def test_ngram_hashes_equal_a_plain_loop(words: list[str], n: int) -> None:
    hashes = hash_words(words)
    expected = []
    for start in range(len(words) - n + 1):
        value = 0
        for one in hashes[start : start + n]:
            value = (value * int(MULTIPLIER) + int(one)) % 2**64
        expected.append(value)
    assert hash_ngrams(hashes, n).tolist() == expected


def test_hashes_are_the_same_on_every_machine() -> None:
    assert hash_words(["quick", "fox"]).tolist() == [0xA484D68AB370B322, 0xC1CFEE97854B92CF]
    assert hash_words([]).dtype == np.uint64
