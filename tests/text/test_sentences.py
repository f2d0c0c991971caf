"""Sentences of all scripts."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import re

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from sentencex import segment

from electra_pipeline.text.characters import SENTENCE_TERMINALS, TIBETAN_SHADS
from electra_pipeline.text.sentences import (
    MAX_CHARACTERS,
    OTHER_ENDS,
    ends_sentence,
    split_sentences,
)


def sentences(text: str, language: str | None = None) -> list[str]:
    return [sentence.strip() for sentence in split_sentences(text, language)]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("km", ["ថ្ងៃនេះអាកាសធាតុល្អ។", "យើងទៅ។", "យើង"]),
        ("my", ["ဒီနေ့ရာသီဥတုကောင်းတယ်။", "ငါတို့သွားမယ်။"]),
        ("bo", ["བཀྲ་ཤིས་བདེ་ལེགས། །", "ང་ཚོ་འགྲོ།", "ཡིན།"]),
        ("zh", ["你好。", "再见！"]),
        ("ja", ["今日は。", "明日は！"]),
        ("hi", ["यह है।", "वह है।"]),
        ("am", ["ሰላም ነው።", "እንሂድ።"]),
        ("ban", ["ᬩᬮᬶ᭟", "ᬩᬲ᭟"]),
        (None, ["It is late.", "Go home, Mr. Smith!", "Now?"]),
        ("es", ["El Sr. Pérez llegó.", "¿Y qué?", "¡Año nuevo!"]),
    ],
)
def test_marks_of_each_script_end_a_sentence(language: str | None, expected: list[str]) -> None:
    assert sentences(" ".join(expected), language) == expected


def test_every_sentence_terminal_of_unicode_ends_a_sentence() -> None:
    """Property Sentence_Terminal, as the package regex has it."""
    marks = [
        chr(code)
        for code in [*range(0xD800), *range(0xE000, 0x20000)]
        if regex.match(r"\p{Sentence_Terminal}", chr(code))
    ]
    assert "".join(marks) == "".join(
        chr(code)
        for span in re.findall("(?s).-.|.", SENTENCE_TERMINALS)
        for code in range(ord(span[0]), ord(span[-1]) + 1)
    )
    for mark in marks:
        assert ends_sentence(f"abc{mark}")
        assert len(sentences(f"ABC def{mark} Ghi jkl", "en")) == 2, hex(ord(mark))
    for mark in "།༎༑":
        assert ends_sentence(mark)
    assert not any(map(ends_sentence, ("", "abc", "abc,", "…")))


@pytest.mark.parametrize(
    "unit", ["ฉันไปตลาด ", "ຂ້ອຍໄປຕະຫຼາດ ", "ក្មេង", "ကျောင်း", "བཀྲ་ཤིས་", "天气，", "ひらがな"]
)
def test_a_paragraph_without_marks_is_not_one_sentence(unit: str) -> None:
    paragraph = unit * 400
    found = list(split_sentences(paragraph, None))
    assert "".join(found) == paragraph
    assert max(map(len, found)) <= MAX_CHARACTERS
    assert min(map(len, found[:-1])) >= MAX_CHARACTERS // 4
    if unit[-1] in " ་，":  # where a clause or syllable ends
        assert all(part.endswith(unit[-1]) for part in found)
    assert not any(regex.match(r"\p{M}", part) for part in found)


def test_other_text_is_split_like_sentencex() -> None:
    text = (
        "Das ist z. B. ein Satz mit „Größe“ — und noch viel mehr. " * 5
        + "«¿Qué?», dijo él. "
        + "é" * 500
    )
    assert list(split_sentences(text, "de")) == list(segment("de", text))


@given(
    st.text('aก. ။។།་人。\u200b\u0e34!)"', max_size=600), st.sampled_from([None, "th", "bo", "en"])
)
def test_no_character_is_lost(text: str, language: str | None) -> None:
    assert "".join(split_sentences(text, language)) == "".join(segment(language or "en", text))


def test_only_marks_that_sentencex_lacks_are_added() -> None:
    for mark in map(chr, range(0x20000)):
        if re.match(f"[{OTHER_ENDS}]", mark) and not re.match(f"[{TIBETAN_SHADS}]", mark):
            assert re.match(f"[{SENTENCE_TERMINALS}]", mark)
            assert len(list(segment("en", f"ABC def{mark} Ghi jkl"))) == 1, hex(ord(mark))
