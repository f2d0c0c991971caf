"""Words of all scripts."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import re
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.text.characters import UNSPACED, UNSPACED_MARKS
from electra_pipeline.text.words import (
    count_characters,
    count_words,
    has_spaced_words,
    split_words,
)


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
        ("ພາສາລາວ ABC", ["ພ", "າ", "ສ", "າ", "ລ", "າ", "ວ", "ABC"]),
        ("ខ្មែរ\u200bភាសា", ["ខ្", "មែ", "រ", "ភា", "សា"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("བཀྲ་ཤིས་ བདེ།", ["བཀྲ་", "ཤིས་", "བདེ།"]),
        ("ሰላም፡ለዓለም", ["ሰላም፡", "ለዓለም"]),
        ("ꀀꀁ ﾊﾞ 人々", ["ꀀ", "ꀁ", "ﾊﾞ", "人", "々"]),
        ("ꦗꦮ ᬩᬮᬶ ᨲᩫ", ["ꦗ", "ꦮ", "ᬩ", "ᬮᬶ", "ᨲᩫ"]),
        ("می\u200cخواهم 葛\U000e0100城", ["می\u200cخواهم", "葛\U000e0100", "城"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words
    assert count_words(text) == len(words)


@given(st.text(st.sampled_from(" \n\t\u00a0\u2028\u200bab字ไ\u0f0b")))
def test_words_are_counted_as_they_are_split(text: str) -> None:
    assert count_words(text) == len(split_words(text))


@given(st.text() | st.text("aก่\u200b\u200d ་།፡人\ufe0f."))
def test_words_contain_every_character_except_white_space(text: str) -> None:
    characters = "".join(text.split()).replace("\u200b", "")
    assert "".join(split_words(text)) == characters
    assert count_characters(text) == len(characters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("English words, spaced.", True),
        ("한국어 문장 입니다", True),
        ("ภาษาไทย เขียนติดกัน", False),
        ("天气很好。", False),
        ("བཀྲ་ཤིས་བདེ་ལེགས།", False),
        ("የሰው፡ልጅ፡ሁሉ፡ሲወለድ፡ነጻ፡ነው።", True),
        ("A long English sentence about 天 and how it is read aloud", True),
    ],
)
def test_whether_spaces_separate_words(text: str, expected: bool) -> None:
    assert has_spaced_words(text) is has_spaced_words(text, split_words(text)) is expected


def test_scripts_without_spaces_are_those_of_unicode() -> None:
    """Line breaking classes SA, AK, AP, AS, VF and VI: the letters of these scripts and no others.

    The property comes from the package regex.
    """
    classes = "".join(rf"\p{{lb={each}}}" for each in ("SA", "AK", "AP", "AS", "VF", "VI"))
    without_spaces = regex.compile(f"[{classes}\\p{{Han}}\\p{{Hiragana}}\\p{{Katakana}}]")
    script = re.compile(f"[{UNSPACED}]")
    marks = re.compile(f"[{UNSPACED_MARKS}]")
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x32000)]):
        category = unicodedata.category(character)
        if without_spaces.match(character) and category[0] in "LM":
            assert script.match(character), hex(ord(character))
        if script.match(character) and category[0] == "M":
            assert marks.match(character), hex(ord(character))
    for other in "aбश한ابᏣ":
        assert not script.match(other)
