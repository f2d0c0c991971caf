# ruff: noqa: RUF001 - letters of other scripts are meant
import re
import unicodedata

import ftfy
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.text import USUAL, clean, content_id, is_damaged
from electra_pipeline.text.normalization import normalize

SAME = [
    "Plain text.\nSecond line.\n\nSecond paragraph.",
    "“Curly” quotes — and ‘dashes’… stay, ﬁne ligatures and Ｆｕｌｌ width too",
    "می\u200cخواهم کتاب\u200cها را بخوانم",  # Persian: ZWNJ is spelling
    "ക്\u200d ശ്രീ\u200dലങ്ക",  # Malayalam: ZWJ is spelling
    "\U0001f469\u200d\U0001f4bb and \u2764\ufe0f",  # one emoji of two, and a presentation
    "ภาษา\u200bไทย កម្ពុជា\u200bអក្សរ",  # word boundaries of scripts without spaces
    "AT&T, R&D; a < b &lt; c",  # `<`: the text is about markup
    "ＡＢＣ 日本語。全角の空白",
    "Größe, naïve, Ελληνικά, русский, العربية, हिन्दी",
]

REPAIRED = [
    ("The Mona Lisa doesnâ€™t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
    ("voilÃ  le travail, dÃ©jÃ  vu", "voilà le travail, déjà vu"),
    ("Cafe\u0301", "Café"),
    ("a\tb \u00a0\u3000 c", "a b c"),
    ("one\r\ntwo\rthree\u2028four\x0cfive\x1csix", "one\ntwo\nthree\nfour\nfive\nsix"),
    ("  one  \n \n\t\n\n  two  ", "one\n\ntwo"),
    ("nul\x00 bell\x07 del\x7f c1\x90 soft\xadhyphen", "nul bell del c1 softhyphen"),
    ("\ufeffmark \u200bzero \u2060width \u202edirection\u202c", "mark zero width direction"),
    ("Tom &amp; Jerry &lt;3 &#8364;5 &eacute;", "Tom & Jerry <3 €5 é"),
    ("&amp;lt; once", "&lt; once"),
    ("lo\ufffd\ufffdst", "lost"),
    ("lone \ud83d surrogate, pair \ud83d\ude00", "lone surrogate, pair \U0001f600"),
    ("e\xad\u0301", "é"),  # what stood between letter and accent is gone
]


@pytest.mark.parametrize("text", SAME)
def test_undamaged_text_is_unchanged(text: str) -> None:
    assert clean(text) == (text, {})


@pytest.mark.parametrize(("damaged", "expected"), REPAIRED)
def test_damage_is_repaired(damaged: str, expected: str) -> None:
    assert clean(damaged)[0] == expected


def test_repairs_are_counted() -> None:
    assert clean("a\ufffdb\ufffd")[1] == {"replacement_characters": 2}
    assert clean("a &amp; b &gt; c")[1] == {"html_entities": 2}
    assert clean("It isnâ€™t so, isnâ€™t it?")[1] == {"mojibake_documents": 1}


def test_entities_are_kept_if_wanted() -> None:
    assert clean("a &amp; b", unescape_html=False)[0] == "a &amp; b"


DEBRIS = st.sampled_from(" \n\t\r\x00\x85\xad\u00a0\u200b\u200d\u2028\u0301\ufeff\ufffd\ud800")


@settings(deadline=None)
@given(st.lists(st.text(st.characters(), max_size=4) | DEBRIS).map("".join))
def test_clean_text_is_normalized_and_encodable(text: str) -> None:
    cleaned, _ = clean(text, unescape_html=False)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned.encode().decode() == cleaned
    assert cleaned == cleaned.strip()
    assert "\n\n\n" not in cleaned and "  " not in cleaned and " \n" not in cleaned
    categories = {unicodedata.category(character) for character in cleaned if character != "\n"}
    assert not categories & {"Cc", "Cs"}


@settings(deadline=None)
@given(st.lists(st.text("abä\u4e00\u0e01.", max_size=4) | DEBRIS).map("".join))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once, _ = clean(text)
    assert clean(once)[0] == once


def test_duplicates_share_an_id_whatever_their_case_and_spaces() -> None:
    assert content_id("One  Two\nthree") == content_id("one two THREE")
    assert content_id("one two") != content_id("onetwo")
    assert (
        content_id("") == "99aa06d3014798d86001c324468d497f"
    )  # xxHash's published XXH3_128 of nothing


@settings(deadline=None)
@given(st.lists(st.text("aZÄΣσİ字") | DEBRIS).map("".join))
def test_ids_are_hashes_of_the_words_in_lower_case(text: str) -> None:
    text = clean(text, unescape_html=False)[0]
    plain = " ".join(text.lower().split())
    assert content_id(text) == xxhash.xxh3_128_hexdigest(plain.encode())


@settings(deadline=None)
@given(st.lists(st.text("aä", max_size=3) | DEBRIS | st.just("\x1f")).map("".join))
def test_spaces_and_lines_are_those_of_plain_expressions(text: str) -> None:
    plain = ftfy.fixes.fix_surrogates(text).replace("\ufffd", "") if not text.isascii() else text
    plain = normalize(re.sub(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", plain))
    plain = re.sub(r" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", plain))
    if not is_damaged(text):
        assert clean(text)[0] == re.sub(r"\n{3,}", "\n\n", plain).strip()


# Texts that were encoded and decoded otherwise, some twice, and what stands around them.
ENCODINGS = ("latin-1", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "mac-roman")


@given(
    st.text("aZ .,?!\n\u00a0éàñßœŒÂÃÎ’“”–…€°²½×ĐążйцВГαΒβ│┌中ไ😀", max_size=40),
    st.sampled_from(ENCODINGS),
    st.text("aZ .\n", max_size=12),
)
def test_damage_is_found_as_by_ftfy(text: str, encoding: str, around: str) -> None:
    damaged = text.encode().decode(encoding, "replace")
    for each in (
        text,
        damaged,
        f"{around}{damaged}{around}",
        damaged[:4],
        f"{around}{damaged[:2]}",
    ):
        assert is_damaged(each) == ftfy.badness.is_bad(each)


def test_no_single_character_but_those_listed_is_damage() -> None:
    listed = {*map(chr, range(0x80, 0xA0)), *"ŒœÃÂ"}
    for character in set(map(chr, range(0x80, 0x3000))) - listed:
        around = f"{character}a {character} A{character}1 {character}.{character}!{character} "
        assert not ftfy.badness.is_bad(around), character


USUAL_CLASS = "".join(ftfy.badness.MOJIBAKE_CATEGORIES[name] for name in USUAL)
USUAL_CHARACTERS = re.findall(f"[{USUAL_CLASS}]", "".join(map(chr, range(0x80, 0x3000))))


@settings(deadline=None)
@given(st.text(st.sampled_from([*" aZ.", *USUAL_CHARACTERS])))
def test_usual_characters_are_damage_as_for_ftfy(text: str) -> None:
    assert is_damaged(text) == ftfy.badness.is_bad(text)
