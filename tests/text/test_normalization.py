"""Normalization, the same in corpus and tokenizer."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.text.normalization import normalize
from electra_pipeline.text.tokenization import OTHER_SPACES, make_normalizer

KEPT = [
    "می\u200cخواهم",  # Persian
    "क्\u200dष क्\u200cष",  # Hindi
    "ക്\u200d",  # Malayalam
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525",
    "ไทย\u200bไทย ខ្មែរ\u200bភាសា བོད\u200bཡིག",
    "2020\u200bឆ្នាំ",
    "\ue000",  # private use
]
REMOVED = [
    ("foo\u200cbar \u200dbaz", "foobar baz"),
    ("a\u200bb 中\u200b文", "ab 中文"),
    ("co\u00adop \ufeffx\u200e\u202ay\u2060", "coop xy"),
    ("می\u200c\u200cخواهم", "می\u200cخواهم"),
    ("e\u00ad\u0301 e\u200b\u0301", "é é"),
    ("\u1112\u1161\u11a8", "학"),
    ("ड\u093c", "ड\u093c"),  # a composition exclusion
    ("tie\u0302\u0301ng", "tiếng"),
]
PIECES = st.sampled_from(
    "aé \n\x85\x1c\x1f\u0301\u0323\u00ad\u200b\u200c\u200d\ufeff\ufffd"
    "ก่ក្مकि中가\U0001f600\ufe0f\U0001f3fdI\u0307"
)


@pytest.mark.parametrize("text", KEPT)
def test_characters_that_a_script_needs_are_kept(text: str) -> None:
    assert normalize(text) == text


@pytest.mark.parametrize(("text", "expected"), REMOVED)
def test_invisible_characters_are_removed(text: str, expected: str) -> None:
    assert normalize(text) == expected
    assert normalize(expected) == expected


# Beyond U+FFFF, `tokenizers` lacks characters that newer versions of Unicode compose.
@given(
    st.lists(PIECES, max_size=40).map("".join)
    | st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF))
)
def test_the_tokenizer_normalizes_like_the_corpus(text: str) -> None:
    normalizer = make_normalizer(
        lowercase=False, strip_accents=False, handle_chinese_chars=False, language=None
    )
    expected = re.sub(OTHER_SPACES, " ", normalize(text))
    for form in ("NFC", "NFD"):
        assert normalizer.normalize_str(unicodedata.normalize(form, text)) == expected
    assert normalizer.normalize_str(normalize(text)) in (
        expected,
        re.sub(OTHER_SPACES, " ", normalize(normalize(text))),
    )
