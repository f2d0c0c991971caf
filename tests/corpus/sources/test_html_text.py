# ruff: noqa: RUF001 - letters of other scripts are meant
"""The text of HTML pages: nothing within a sentence is lost, and time is bounded."""

import html as stdlib_html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.html_text import exceeds_bounds, main_content

PROSE = "The river was measured in spring and the old bridge was closed for repair until autumn."


def text_of(part: str) -> str:
    """The text of a part in the middle of an article."""
    page = (
        f"<!DOCTYPE html><html><head><title>T</title></head><body><article><h1>H</h1>"
        f"<p>{PROSE}</p>{part}<p>{PROSE}</p></article></body></html>"
    )
    before, text, after = main_content(page).split(PROSE)
    assert (before, after) == ("H\n\n", "")
    return text.strip()


@pytest.mark.parametrize(
    "ruby",
    [
        "<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt><rp>)</rp></ruby>",
        "<ruby><rb>漢字</rb><rp>（</rp><rt>かんじ</rt><rp>）</rp></ruby>",
        "<ruby>漢字<rt>かんじ</rt></ruby>",
        "<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>",
        "<ruby>漢<rt>かん</rt>字<rt>じ</ruby>",
        "<ruby><rb>漢<rb>字<rt>かん<rt>じ</ruby>",
        "<ruby><rbc><rb>漢</rb><rb>字</rb></rbc><rtc><rt>かん</rt><rt>じ</rt></rtc></ruby>",
        "<ruby>漢字<rtc>かんじ</rtc></ruby>",
        "<ruby><ruby>漢<rt>かん</rt></ruby><ruby>字<rt>じ</rt></ruby><rt>かんじ</rt></ruby>",
        "<ruby><b>漢</b><rt>かん</rt></ruby><ruby><a href=x>字</a><rt>じ</rt></ruby>",
        "<ruby>&#28450;<rt>かん</rt>&#x5b57;<rt>じ</rt></ruby>",
    ],
)
@pytest.mark.parametrize("after", ["は文字である。", "は", "<b>は</b>文", " and so on."])
def test_ruby_keeps_its_base_text(ruby: str, after: str) -> None:
    assert text_of(f"<p>昨日、{ruby}{after}</p>") == "昨日、漢字" + after.replace(
        "<b>", ""
    ).replace("</b>", "")


@pytest.mark.parametrize(
    "character", ["水", "は", "。", "—", "–", "…", "“", "ก", "क", "한", "ა", "€", "❤"]
)
@pytest.mark.parametrize("part", ["{}", "<b>{}</b>", " {} ", "<!---->{}", "<b> {}</b> "])
def test_a_lone_character_is_text(character: str, part: str) -> None:
    for shown in (character, f"&#{ord(character)};", f"&#x{ord(character):x};"):
        text = text_of(f"<p><i>one</i>{part.format(shown)}<i>two</i></p>")
        assert text.replace(" ", "") == f"one{character}two"
        assert (" " in text) == (" " in part)


def test_named_characters_are_text_and_icons_are_not() -> None:
    assert text_of("<p><a href=x>A</a> &ndash; <a href=y>B</a>&hellip;<i>C</i></p>") == "A – B…C"
    assert text_of("<p>Save <i>\ue001</i><i>&#xf0c7;</i>now</p>") == "Save now"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("super<wbr>cali<wbr/>fragi", "supercalifragi"),
        ("super&shy;cali", "super\xadcali"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("H<sub>2</sub>O and E=mc<sup>2</sup>", "H2O and E=mc²"),
        ("by <bdi>إيان</bdi>: <bdo dir=rtl>abc</bdo>!", "by إيان: abc!"),
        ("<abbr title=x>HTML</abbr>, <dfn>a</dfn>, <acronym>B</acronym>.", "HTML, a, B."),
        ("He said <q>hello</q>, <q lang=en>twice</q>.", 'He said "hello", "twice".'),
        ("On <time>3 May</time> it began.", "On 3 May it began."),
        ("<time datetime=2020-05-03>In May</time>, it began.", "In May, it began."),
        ("it began on <b>x</b> <time>3 May</time>.", "it began on x 3 May."),
        ("<ins>new</ins> and <del>old</del> <s>t</s> <u>u</u> <mark>m</mark>", "new and old t u m"),
        ("<kbd>K</kbd> <var>v</var> <samp>s</samp> <code>c()</code> <tt>t</tt>", "K v s c() t"),
        ("<font color=red>a</font><nobr>b</nobr><big>c</big><blink>d</blink>", "abcd"),
        ("Wo<span>r</span>d, <em>em</em>ph<i>as</i>is<b>.</b>", "Word, emphasis."),
        ("in <x-y>a custom</x-y> element", "in a custom element"),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn></math> holds", "x=2 holds"),
        ("a<script>js()</script>b<style>.x{}</style>c<template>t</template>", "abc"),
        ('an <img src=x alt="picture of"> image', "an image"),
        ("a &amp; b &lt;c&gt; &#8212; &Aacute; &#150;", "a & b <c> — Á –"),
    ],
)
def test_words_within_a_sentence_stay(part: str, text: str) -> None:
    assert text_of(f"<p>{part}</p>") == text


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        ("<details><summary>Sum.</summary><p>Details.</p></details>", ["Sum.", "Details."]),
        ("<dl><dt>Term</dt><dd>Its definition.</dd></dl>", ["Term", "Its definition."]),
        ("<table><tr><th>A<th>B<tr><td>c<td>d</table>", ["A\t\tB", "c\t\td"]),
        ("<figure><table><tr><td>c<td>d</table></figure>", ["c\t\td"]),
        ("<figure><pre>code</pre></figure>", ["code"]),
        ("<figure><blockquote>Quoted.</blockquote></figure>", ["Quoted."]),
        ("<figure><img alt=x><figcaption>Photo: y</figcaption></figure>", []),
        ("<div><time>May 3, 2020</time></div>", []),  # of the article
        ("<noscript><p>No.</p></noscript><p hidden>No.</p><p style='display:none'>No.</p>", []),
        ("<pre>a\n  b</pre>", ["a", "b"]),
        ("<ol><li>One.</li><li>Two.</li></ol>", ["One.", "Two."]),
    ],
)
def test_blocks_are_lines(part: str, lines: list[str]) -> None:
    assert [line.strip() for line in text_of(part).splitlines() if line.strip()] == lines


ITEMS = ["The first item is a sentence of words.", "And so is the second of the items.", PROSE]


def test_lists_of_sentences_are_text_and_menus_are_not() -> None:
    plain = "".join(f"<li>{item}</li>" for item in ITEMS)
    lines = "\n".join(f"  {item}" for item in ITEMS[:2])
    for items in (
        plain,
        plain.replace("</li>", ""),
        plain.replace("<li>", "<li>\n<p class=x>"),
        plain.replace("li>", "LI>").replace("<LI>", "</UL><UL><LI>"),
    ):
        page = f"<html><body><h1>H</h1><p>{PROSE}</p><ul id=x>{items}</ul><p>End.</p></body></html>"
        found = [line.strip() for line in main_content(page).splitlines() if line.strip()]
        assert found == ["H", PROSE, *ITEMS, "End."]
    nested = f"<ul><li>{ITEMS[0]}<ul><li>{ITEMS[1]}</li></ul></li></ul>"
    assert text_of(nested) == lines.replace("\n  And", "\n    And").strip()
    menu = "".join(f"<li><a href={item[0]}>{item}</a></li>" for item in ITEMS)
    assert text_of(f"<ul>{menu}</ul>") == ""
    assert text_of("<ul><li>Home<li>About us<li>Contact</ul>") == ""
    assert text_of(f"<nav><ul>{plain}</ul></nav>") == ""


@pytest.mark.timeout(300)  # takes 0.3 s; without bounds the square of that
@pytest.mark.parametrize("tag", ["div", "b", "font", "table", "a", "svg", "ul", "span", "select"])
def test_pages_within_the_bounds_take_bounded_time(tag: str) -> None:
    html = "<main>" + f"<{tag}>" * 2400 + "x"
    assert not exceeds_bounds(html)
    main_content(html)
    # Native code: a stack that overflows would end the process, here and for good.
    main_content(html.replace(f"<{tag}>", f"<{tag}>" * 4))


@pytest.mark.timeout(300)  # a search that goes back would take hours
def test_real_nesting_counts_and_length_does_not() -> None:
    assert not exceeds_bounds("<ul>" + "<li>a<br><p>b" * 50_000 + "</ul>")
    assert not exceeds_bounds("<div><i>a</i></div>" * 50_000)
    assert not exceeds_bounds('<img src="data:' + "A" * 1_000_000 + '">')
    assert exceeds_bounds("<div><p>" * 3000)
    assert exceeds_bounds("<div></b>" * 3000)  # an end that ends nothing
    assert not exceeds_bounds("<DIV></div>" * 3000)
    exceeds_bounds("<a " * 1_000_000)


@pytest.mark.timeout(120)  # a search that goes back would take hours
@pytest.mark.parametrize(
    "part",
    [
        *("<ul>", "<ul><li>" + "x" * 40, "<a x>", "<ul><a x>", "<time>", "<time>x", "</q>", "<q "),
        *("> ", ">&amp;", ">水 ", ">\n\n", "</ul>", "<li>\n", "<li><p>", "<p>水</p>"),
    ],
)
def test_repeated_markup_is_read_in_bounded_time(part: str) -> None:
    page = part * (200_000 // len(part))
    if not exceeds_bounds(page):
        main_content(page)
    main_content(f"<ul>{part * 1000}</ul>")


@given(
    st.lists(
        st.sampled_from(
            [
                "<ul>",
                "</ul>",
                "<li>",
                "<p>",
                "水",
                " ",
                "<time>",
                "</time>",
                "<q>",
                "</q>",
                "<ruby>",
                "<rt>",
                "</ruby>",
                "<b>",
                "</b>",
                "&mdash;",
                "<",
                ">",
                "&",
                PROSE,
                "\u2060",
            ]
        ),
        max_size=30,
    )
)
def test_no_markup_stops_a_page(parts: list[str]) -> None:
    text = main_content("".join(parts))
    assert "\u2060" not in text
    assert text.count("水") <= stdlib_html.unescape("".join(parts)).count("水")


def test_exponents_are_separate_from_their_base() -> None:
    text = "In 10<sup>5</sup> m<sup class='e'>−2</sup>, the 1<sup>st</sup> of H<sub>2</sub>O."
    page = f"<html><body><main><p>{text}</p><p>{text}</p></main></body></html>"
    assert main_content(page).split("\n")[0] == "In 10⁵ m⁻², the 1st of H2O."
