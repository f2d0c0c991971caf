import re
import string
import unicodedata
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.dedup import shingles
from electra_pipeline.corpus.dedup.shingles import Rows, ngrams, plain_words
from electra_pipeline.corpus.word_hashes import MULTIPLIER, hash_ngrams
from electra_pipeline.text.characters import OPTIONAL_MARKS
from electra_pipeline.text.words import split_words

MASK = 2**64 - 1
# Letters, spaces, punctuation, scripts without spaces and what stands on their characters.
ALPHABET = (
    "aBß1ש\u05c1\u05b0ب\u064e\u0640 \n\t\u00a0.,'\u2019—$ñİΣकी我。・カ\u3099ภที่฿ກ່ဗ\u103eက។ក្"
    "་།፡\u200b\u200c\u200d\ufe0f\U000e0100ﾊﾞꀀ\U00020001\U0001f600"
)


def without_punctuation(word: str) -> str:
    word = re.sub(f"[{OPTIONAL_MARKS}]", "", word)
    return "".join(c for c in word if unicodedata.category(c)[0] not in "PS")


def hash_of(word: str) -> int:
    """A plain loop: the polynomial of a word's characters, then MurmurHash3's finalizer."""
    power, value = 1, 0
    for character in word:
        value = (value + ord(character) * power) & MASK
        power = (power * int(MULTIPLIER)) & MASK
    value = ((value ^ value >> 33) * 0xFF51AFD7ED558CCD) & MASK
    value = ((value ^ value >> 33) * 0xC4CEB9FE1A85EC53) & MASK
    return value ^ value >> 33


def as_lists(rows: Rows) -> list[list[int]]:
    return [part.tolist() for part in np.split(rows.hashes, rows.ends[:-1])]


@settings(deadline=None)  # the first makes a table
@given(st.lists(st.one_of(st.text(ALPHABET, max_size=30), st.text()), min_size=1, max_size=6))
def test_words_are_those_of_split_words(texts: list[str]) -> None:
    expected = [
        [hash_of(word) for word in map(without_punctuation, split_words(text.lower())) if word]
        for text in texts
    ]
    assert as_lists(plain_words(texts)) == expected


@given(st.text("ab .", max_size=200), st.integers(12, 40))
def test_a_long_text_is_hashed_in_blocks(text: str, block: int) -> None:
    text = " ".join(word[:10] for word in text.split())
    with pytest.MonkeyPatch.context() as patch:
        whole = as_lists(plain_words([text, "end"]))
        patch.setattr(shingles, "BLOCK_CHARACTERS", block)
        assert as_lists(plain_words([text, "end"])) == whole


def test_case_and_punctuation_are_ignored() -> None:
    one, other = as_lists(plain_words(['"It\u2019s — well-known!"', "its wellknown"]))
    assert one == other
    assert len(one) == 2


@pytest.mark.parametrize(
    ("marked", "bare"),
    [
        ("بِسْمِ ٱللَّهِ ـــ العـــربية", "بسم ٱلله العربية"),
        ("בְּרֵאשִׁית בָּרָא", "בראשית ברא"),
    ],
)
def test_optional_marks_do_not_count(marked: str, bare: str) -> None:
    one, other = as_lists(plain_words([marked, bare]))
    assert one == other
    assert len(one) == len(bare.split())


def test_hashes_are_the_same_on_every_machine() -> None:
    assert plain_words(["Quick fox"]).hashes.tolist() == [0x10075263C17CC2DA, 0x4BC401D4C4C988A0]


def test_words_get_different_hashes() -> None:
    characters = string.ascii_lowercase + string.digits + "жßé\u0301"
    words = {"".join(word) for n in (1, 2, 3) for word in product(characters, repeat=n)}
    assert len(np.unique(plain_words([" ".join(words)]).hashes)) == len(words)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8), min_size=1, max_size=6))
def test_ngrams_stay_inside_their_text(texts: list[list[str]]) -> None:
    words = plain_words([" ".join(text) for text in texts])
    for n in (1, 3, 5):
        expected = [hash_ngrams(plain_words([" ".join(text)]).hashes, n).tolist() for text in texts]
        assert as_lists(ngrams(words, n)) == expected


def test_no_text() -> None:
    rows = ngrams(plain_words([]), 5)
    assert (len(rows.hashes), len(rows.ends)) == (0, 0)
