"""Normalizer and pre-tokenizer: words of limited length, spelled as in the corpus."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from electra_pipeline.text.tokenization import (
    MAX_UNSPACED,
    MAX_WORD,
    make_normalizer,
    make_pre_tokenizer,
    splits_at_spaces,
)

PRE_TOKENIZER = make_pre_tokenizer()
CHARACTERS = (
    "aZé1 .,-_#€+^\u0301\u05d0\u0627\u0915\u094d\u093f\uac00\u4e00\U00020000"
    "\u0e01\u0e40\u0e34\u0e33\u1780\u17d2\u1000\u1039\u0f40\u0f0b\u0f0d\u3042\u30ab\u3099\ua000"
    "\u200c\u200d\ufe0f\u2764\U0001f600\U0001f469\U0001f3fd\U0001f1f9\u20e3\ue000\u2801\U000e0100"
)


def words(text: str) -> list[str]:
    return [word for word, _ in PRE_TOKENIZER.pre_tokenize_str(text)]


def normalized(text: str, language: str | None = None) -> str:
    normalizer = make_normalizer(
        lowercase=True, strip_accents=False, handle_chinese_chars=True, language=language
    )
    return normalizer.normalize_str(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iPhoneของฉัน 50คน", ["iPhone", "ของฉัน", "50", "คน"]),
        ("カタカナとABC", ["カタカナと", "ABC"]),
        ("བཀྲ་ཤིས།", ["བཀྲ", "་", "ཤིས", "།"]),
        ("می\u200cخواهم क्\u200dष", ["می\u200cخواهم", "क्\u200dष"]),
        (
            "hi👍🏽😀👨\u200d👩\u200d👧❤️ok",
            ["hi", "👍🏽", "😀", "👨\u200d👩\u200d👧", "❤️", "ok"],
        ),
        ("\ue000Home 25°C", ["\ue000", "Home", "25", "°", "C"]),
        ("⠓⠑⠇⠇⠕ can't 1️⃣", ["⠓⠑⠇⠇⠕", "can", "'", "t", "1️⃣"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "character",
    [
        "ก",
        "ก่",
        "ກີ",
        "ក្រ",
        "ကျွ",
        "བ",
        "カ",
        "ა",
        "a",
        "ä",
        "ꀀ",
        "\u0301",
        "\u2e55",
        "𞤀",
        "가",
        "क्ष",
    ],
)
def test_no_run_is_too_long_for_wordpiece(character: str) -> None:
    vocabulary = {
        piece: index
        for index, piece in enumerate(
            ["[UNK]", *dict.fromkeys(p + c for c in normalized(character) for p in ("", "##"))]
        )
    }
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = make_pre_tokenizer()
    text = normalized(character) * 10_000
    assert "[UNK]" not in tokenizer.encode(text).tokens
    found = words(text)
    assert max(map(len, found)) <= MAX_WORD
    if character not in "\u0301\u2e55":  # which are all of a cluster, and punctuation
        assert min(map(len, found[:-1])) >= MAX_UNSPACED // 2
        assert not any(regex.match(r"\p{M}", word) for word in found)


def test_thai_is_cut_before_a_leading_vowel() -> None:
    assert all(word.startswith("เ") for word in words("เมืองไทยกขคงจฉชซ" * 30)[1:])


@given(st.text(CHARACTERS, max_size=20))
@settings(max_examples=300, deadline=None)
def test_boundaries_depend_on_two_characters(text: str) -> None:
    text = normalized(text)
    starts = {start for _, (start, _) in PRE_TOKENIZER.pre_tokenize_str(text)}
    for index, (first, second) in enumerate(pairwise(text), start=1):
        if not (first.isspace() or second.isspace()):
            assert (len(words(first + second)) == 1) == (index not in starts)


@given(st.text(CHARACTERS, max_size=300) | st.text())
@settings(deadline=None)
def test_words_are_all_of_the_text_and_fit_wordpiece(text: str) -> None:
    text = normalized(text)
    found = words(text)
    assert "".join(found) == "".join(text.split())
    assert max(map(len, found), default=0) <= 100


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("tr", "İSTANBUL Irmak DIŞ I\u0307zmir", "istanbul ırmak dış izmir"),
        ("az", "İLK QIZ", "ilk qız"),
        (None, "IT ISTANBUL", "it istanbul"),
        ("de", "STRASSE ẞ", "strasse ß"),
        ("el", "ΟΔΟΣ ΣΑΣ Σ 'ΌΣΟΣ'", "οδος σας σ 'όσος'"),
        (None, "Ô\u1e9bÇ", "ô\u1e9bç"),
    ],
)
def test_lower_case(language: str | None, text: str, expected: str) -> None:
    assert normalized(text, language) == expected


@pytest.mark.parametrize("language", [None, "tr"])
@pytest.mark.parametrize("upper", ["\u03aa\u0301", "J\u030c", "H\u0331", "\u03a5\u0313", "W\u030a"])
def test_letters_that_compose_only_in_lower_case(upper: str, language: str | None) -> None:
    composed = unicodedata.normalize("NFC", upper.lower())
    assert len(composed) == 1 < len(unicodedata.normalize("NFC", upper))
    assert normalized(upper, language) == normalized(composed, language) == composed


def test_tokenizer_json_stores_normalizer_and_pre_tokenizer() -> None:
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = make_pre_tokenizer()
    tokenizer.normalizer = make_normalizer(
        lowercase=True, strip_accents=True, handle_chinese_chars=True, language="az"
    )
    again = Tokenizer.from_str(tokenizer.to_str())
    assert again.to_str() == tokenizer.to_str()
    assert splits_at_spaces(again)
    assert again.normalizer.normalize_str("QIZ İlk ñ 학교") == "qız ilk n 학교"
