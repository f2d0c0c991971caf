# ruff: noqa: RUF001 - letters of other scripts are meant
"""Encodings of pages: what bytes, server and page say, in conflict as well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.inputs.web.charset import decode

GERMAN = "Die Größe des Flusses „Süße“ wurde im Frühjahr gemessen; die Brücke blieb gesperrt."
POLISH = "Zażółć gęślą jaźń: rzeka została zmierzona wiosną, a most zamknięto do jesieni."
RUSSIAN = "Привет, мир. Это обычный русский текст, и его кодировка не указана."
GREEK = "Ο ποταμός μετρήθηκε την άνοιξη και η παλιά γέφυρα έκλεισε για επισκευές."
HEBREW = "הנהר נמדד באביב והגשר הישן נסגר לתיקונים עד הסתיו."
ARABIC = "تم قياس النهر في الربيع وأغلق الجسر القديم للإصلاح حتى الخريف."
THAI = "แม่น้ำถูกวัดในฤดูใบไม้ผลิและสะพานเก่าถูกปิดเพื่อซ่อมแซมจนถึงฤดูใบไม้ร่วง"
CHINESE = "春天的河水很深，古老的桥因为修理而关闭到秋天。人们只好走远路去城里买东西。"
TAIWANESE = "春天的河水很深，古老的橋因為修理而關閉到秋天。人們只好走遠路去城裡買東西。"
JAPANESE = "春の川は雪どけの水で深くなり、町の人々は古い橋を渡らずに遠い道を歩いた。①㈱"
KOREAN = "봄에 강물이 깊어지고 오래된 다리는 가을까지 수리를 위해 닫혔다. 똠방각하"
LEGACY = [  # text, codec, label
    (GERMAN, "cp1252", "iso-8859-1"),
    (POLISH, "iso8859-2", "ISO_8859-2"),
    (POLISH, "cp1250", "windows-1250"),
    (RUSSIAN, "cp1251", "win-1251"),
    (RUSSIAN, "koi8-r", "koi8-r"),
    (RUSSIAN, "cp866", "ibm866"),
    (RUSSIAN, "iso8859-5", "iso-8859-5"),
    (GREEK, "iso8859-7", "greek"),
    (HEBREW, "cp1255", "windows-1255"),
    (ARABIC, "cp1256", "cp1256"),
    (THAI, "cp874", "tis-620"),
    (CHINESE, "gbk", "gb2312"),
    (CHINESE, "gb18030", "GB18030"),
    (CHINESE, "gbk", "cp936"),
    (CHINESE, "hz", "hz-gb-2312"),
    (TAIWANESE, "big5", "big5"),
    (JAPANESE, "cp932", "Shift_JIS"),
    (JAPANESE, "euc_jis_2004", "euc-jp"),
    (JAPANESE[:-2], "iso2022_jp", "iso-2022-jp"),
    (KOREAN, "cp949", "EUC-KR"),
    (KOREAN, "cp949", "ks_c_5601-1987"),
]
LABELS = ["", "utf-8", "UTF8", "iso-8859-1", "none", "gbk", "windows-1251", "utf-16", '"utf-8;"']


def page(text: str, label: str = "", before: str = "") -> str:
    meta = f'<meta http-equiv=Content-Type content="text/html; charset={label}">' if label else ""
    return f"<!DOCTYPE html><html><head>{before}{meta}<title>T</title></head><body><p>{text}</p>"


@pytest.mark.parametrize(("text", "codec", "label"), LEGACY)
def test_legacy_encodings_are_read(text: str, codec: str, label: str) -> None:
    declared = [
        (label, ""),
        (f"'{label.upper()}'", ""),
        ("", label),
        (label, "utf-8"),
        ("utf-8", label),
        ("iso-8859-1", label),  # many servers' default
        (label, "iso-8859-1"),
        ("klingon", label),
    ]
    for header, meta in declared:
        html = page(text, meta)
        assert decode(html.encode(codec), header, is_markup=True) == html, (header, meta)
    html = page(
        text, label, before="<!-- <meta charset=utf-8> --><style>" + " " * 2000 + "</style>"
    )
    assert decode(html.encode(codec), "", is_markup=True) == html
    xml = f'<?xml version="1.0" encoding="{label}"?>{page(text)}'
    assert decode(xml.encode(codec), "", is_markup=True) == xml
    assert decode(text.encode(codec), label, is_markup=False) == text


@pytest.mark.parametrize(("text", "codec", "label"), LEGACY)
def test_undeclared_encodings_are_detected(text: str, codec: str, label: str) -> None:
    for header, meta in (("", ""), ("utf-8", ""), ("", "utf-8"), ("klingon", "none")):
        html = page(text, meta)
        if codec == "cp949":  # of KS X 1001 and its extension the statistics see the first alone
            html = html.replace(" 똠방각하", "")
        assert decode(html.encode(codec), header, is_markup=True) == html


@pytest.mark.parametrize("text", sorted({text for text, _, _ in LEGACY}))
@pytest.mark.parametrize("label", LABELS)
def test_utf_8_is_detected_under_any_declared_encoding(text: str, label: str) -> None:
    html = page(text, label)
    assert decode(html.encode(), label, is_markup=True) == html
    assert decode(html.encode(), "", is_markup=True) == html
    assert decode(text.encode(), label, is_markup=False) == text
    for codec in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        assert decode(html.encode(codec), label, is_markup=True) == html


def test_invalid_bytes_become_replacement_characters() -> None:
    damaged = GERMAN.encode().replace(b"wurde", b"wu\xffde")
    assert decode(damaged, "utf-8", is_markup=False) == GERMAN.replace("wurde", "wu\ufffdde")
    assert decode(damaged, "iso-8859-1", is_markup=False) == GERMAN.replace("wurde", "wu\ufffdde")
    assert decode(GERMAN.encode()[:9], "", is_markup=False) == "Die Grö"  # cut within a letter
    for text, codec, label in LEGACY:
        if codec in ("gbk", "gb18030", "cp932", "cp949", "big5", "euc_jis_2004"):
            body = (text * 3).encode(codec) + b"\xff\xff." + text.encode(codec)
            found = decode(body, label, is_markup=False)
            assert found.startswith(text * 3) and found.endswith(text)


@given(st.binary(max_size=300), st.sampled_from(LABELS) | st.text(max_size=12), st.booleans())
def test_any_bytes_are_decoded(body: bytes, label: str, is_markup: bool) -> None:
    text = decode(body, label, is_markup=is_markup)
    assert text or len(body) < 4
    declared = decode(b'<meta charset="' + label.encode() + b'">' + body, "", is_markup=True)
    assert "meta" in declared or body
