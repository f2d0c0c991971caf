"""Wikitext to text: what goes, what stays, and pages that no parser can read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.wikitext.convert import (
    MAX_PAGE_CHARACTERS,
    UnreadableError,
    count_unclosed,
    to_text,
)
from electra_pipeline.corpus.wikitext.editions import edition


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''' and ''slanted''", "Bold and slanted"),
        ("a [[Spain]] b [[Spain|Spanish]]s", "a Spain b Spanishs"),
        ("a {{t|x={{u|v}}|y}} b", "a y b"),
        ("a<ref name=x>{{cite|title=b}}</ref>.<ref name=x />", "a."),
        ("a<!-- b -->c<!-- never closed", "ac"),
        ("one\n{|\n! h\n|-\n| a || b\n{|\n| nested\n|}\n|}\ntwo", "one\n\ntwo"),
        ("x [[File:a.jpg|thumb|A [[long|short]] caption]] y", "x y"),
        ("x [[Datei:a.jpg|mini|Titel]] y", "x y"),
        ("x [[Imagen:a.JPG|thumb|por el nombre]] y", "x y"),
        ("x\n[[Category:Cities|Madrid]]\n[[Kategorie:Stadt]]", "x"),
        ("see [[:Category:Cities]]", "see Category:Cities"),
        ("x [[fr:Madrid]] [[zh-min-nan:Madrid]] y", "x y"),
        ("[[wikt:word|a word]]", "a word"),
        ("[http://x.org the page] and [http://x.org] and http://x.org end", "the page and and end"),
        ("x<gallery>\nFile:a.jpg|b\n</gallery> y", "x y"),
        ("E is <math>mc^2</math>, <code>x = 1</code> H<sub>2</sub>O", "E is mc^2, x = 1 H2O"),
        ("a<br>b<br />c", "a\nb\nc"),
        (
            "&nbsp;a &amp; b &lt;i&gt; &#8211; &bogus; &#x110000;",
            "a & b <i> \u2013 &bogus; &#x110000;",
        ),
        ("__NOTOC__a __SIN_TDC__ b __init__", "a b __init__"),
        ("Madrid ([[File:x]]; ) is, print() is", "Madrid is, print() is"),
        ("* one\n* two\n# three\n; term : meaning", "one\ntwo\nthree\nterm meaning"),
        ("one\n\n\n\ntwo\nthree", "one\n\ntwo\nthree"),
        ("-{zh-hans:计算机;zh-hant:電腦}-", "计算机"),
        ("<blockquote>a <b>b</b></blockquote>c", "a b\nc"),
        ("<nowiki>[[not a link]]</nowiki>", "[[not a link]]"),
        ("<nowiki>{{x}} ''y'' &amp;</nowiki> L'<nowiki/>''x''", "{{x}} ''y'' & L'x"),
        ("a<ref>b</ref>, c<ref/>.<ref/>\n* d, <ref/>; <ref/>", "a, c.\nd"),
        ("a [[b", "a [[b"),
        ("a {{b", "a {{b"),
        ("a\n[[Bild:x.jpg|mini|b [[c]] {{d\n[[e", "a\n[[e"),
        ("[[Paris (Texas)|]] [[Boston, MA|]] [[Help:Foo|]] [[cat]]s", "Paris Boston Foo cats"),
        ("[[:fr:Paris|Paris]] in [[fr:Paris|France]] [[mw:A|help]]", "Paris in France help"),
        ("[[s:A|b]] [[wikt:word|word]] [[:fr:Paris]]", "b word fr:Paris"),
        ("a<ref>never closed\nb.<ref name=x/ > c", "a\nb. c"),
        ("10<sup>2</sup> km<sup>2</sup> 1<sup>st</sup>", "10² km² 1st"),
        (
            r"so <math>\alpha \leq 1</math> and <math>\frac{a}{b}</math>, if",
            "so \u03b1 ≤ 1 and, if",
        ),
        ("<ce>H2O</ce> and <math>x</math>", "H2O and x"),
        ("漢<ruby>字<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>x", "漢字x"),
        ("-{zh-hans:简; zh-hant:繁;}- -{A|zh-cn:a&nbsp;b;zh-tw:c}-", "简 a b"),
        ("-{sr-ec:ж; sr-el:ž}- x-{H|zh-cn:a;zh-tw:b}-x -{R|raw}- -{text}-", "ж xx raw text"),
        ("{| class=x\n! a !! b\n|-\n| c\nText after.", "Text after."),
        ("{{Infobox x\n| a = b\n| c = [[d]]\n\nText.", "Text."),
        ("see &amp;nbsp; &amp;amp; x", "see &nbsp; &amp; x"),
        ("", ""),
    ],
)
def test_markup_is_removed_and_prose_kept(wikitext: str, text: str) -> None:
    assert to_text(wikitext, edition("de")) == text


def test_headings_followed_by_text_are_kept() -> None:
    page = "Lead.\n== A ==\n=== B ===\nText.\n== C ==\n{{gone}}\n=== D ===\n"
    page += "== E ''e'' ==\nEnd.\n== F =="
    assert to_text(page) == "Lead.\n\nA\n\nB\n\nText.\n\nE e\n\nEnd."


@pytest.mark.parametrize(
    ("wikitext", "unclosed"),
    [
        ("{{a|[[b]]}} <b>c</b> [http://x y]\n{|\n|}", 0),
        ("<br><br/><li>a<ref name=x/>", 0),
        ("{{ [[ }} ]]", 1),
        ("{{{{", 2),
        ("<div><br/>", 1),
        ("[not a link", 0),
    ],
)
def test_unclosed_marks_are_counted(wikitext: str, unclosed: int) -> None:
    assert count_unclosed(wikitext) == unclosed


@pytest.mark.parametrize(
    "wikitext",
    [
        *("<b>" * 20000, "[http://x " * 20000, "{{a|[[b|{{" * 9000),
        *("<code>a [[b|c]]\n" * 5000, "<div><br/>" * 5000, "<p>a" * 9000),
    ],
)
def test_pages_that_would_take_minutes_are_refused_at_once(wikitext: str) -> None:
    with pytest.raises(UnreadableError, match="unclosed_markup"):
        to_text(wikitext)


@pytest.mark.timeout(300)  # a second each; what goes back takes hours
@pytest.mark.parametrize(
    "wikitext",
    [
        *(
            "{{a [[ b }} ]]" * 100_000,
            "\n" * 900_000,
            " " * 900_000,
            "( " * 400_000,
            "-{" * 400_000,
            "<" * 900_000,
            "<ref" + " " * 900_000,
            "[[a" + " " * 900_000 + "b|]]",
            "'" * 900_000,
            ", ; " * 300_000 + "{{a}}",
            "[[" * 200_000 + "]]" * 200_000,
            "{" * 900_000 + "}" * 900_000,
            "{{a}}, " * 50_000,
            "({{a}}" * 50_000,
            "{{nowrap|" * 90_000 + "x" * 900_000 + "}}" * 90_000,
            "<ref>a" * 150_000,
            "'' a ''' " * 150_000,
            "-{a|b:c;" * 150_000,
            "{|\n" * 300_000,
        ),
        *("{|\n" + "|-\n| a || b\n" * 60_000 + "|}", "{{a|" * 90_000 + "}}" * 90_000),
        "".join(f"<{name}>" for name in ("ref", "math", "code", "pre", "score")) * 250,
    ],
)
def test_a_long_page_is_clean_text_within_the_timeout(wikitext: str) -> None:
    assert_clean(to_text(wikitext))


def test_a_page_larger_than_mediawikis_limit_is_refused() -> None:
    with pytest.raises(UnreadableError, match="page_too_large"):
        to_text("x" * (MAX_PAGE_CHARACTERS + 1))


def assert_clean(text: str) -> None:
    assert text == text.strip()
    assert "\n\n\n" not in text and not set(text) & set("\x00\x01\x02\x03\x04")


MARKS = [
    *("{{", "}}", "[[", "]]", "{|", "|}", "|-", "|", "||", "!", "==", "=", "''", "'''", "{{{"),
    *("}}}", "<ref>", "</ref>", "<ref/>", "<b>", "</b>", "<br>", "<!--", "-->", "<math>"),
    *("<nowiki>", "</nowiki>", "&amp;", "&#0;", "[http://a ", "]", ":", "*", "#", ";", "\n"),
    *("{{nowrap|", "{{convert|5|", "{{#if:", "{{#switch:a|", "{{lang|fr|", "{{unk|", "{{plural:1|"),
    *(
        "''''",
        "<ref",
        "<ref name=a / >",
        "<ruby>",
        "<rt>",
        "<chem>",
        "\\alpha",
        "\x01",
        "\x02",
        "\x03",
    ),
    *("\n\n", "-{", "}-", "__TOC__", "File:", "fr:", "a", " ", "\x00", "\x002"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=4), max_size=60).map("".join))
def test_any_page_is_text_or_unreadable(wikitext: str) -> None:
    try:
        text = to_text(wikitext)
    except UnreadableError as error:
        assert error.reason == "unparsable_markup"
        return
    assert_clean(text)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("<div>One <span style='a'>two\n\nThree <b>four.", "One two\n\nThree four."),
        ("a</center> b</ DIV> c<p/>", "a b</ DIV> c"),
        ("a < b and c > d &lt;span&gt; <nowiki><div></nowiki>", "a < b and c > d <span> <div>"),
        ("<small>a (<i>b) c</i> d <font color=red>e", "a (b) c d e"),
    ],
)
def test_elements_without_their_beginning_or_end_leave_no_markup(wikitext: str, text: str) -> None:
    assert to_text(wikitext) == text
