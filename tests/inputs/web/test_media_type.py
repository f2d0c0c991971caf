"""Bodies are pages, plain text, or dropped with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.inputs.decoding import guess_utf16
from electra_pipeline.inputs.web.media_type import (
    Declared,
    classify,
    essence_and_charset,
    is_binary,
    looks_like_html,
    reason_of_bytes,
    reason_of_type,
)

DECLARED: list[Declared] = ["html", "text", "xml", "unknown"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ("", "")),
        ("text/html", ("text/html", "")),
        ("Text/HTML; charset=UTF-8", ("text/html", "UTF-8")),
        ('text/html;charset="utf-8"', ("text/html", "utf-8")),
        ("text/html; charset='utf-8'", ("text/html", "utf-8")),
        ("text/html; charset = utf-8;", ("text/html", "utf-8")),
        ("text/html charset=utf-8", ("text/html", "utf-8")),
        ("text/html, text/html; charset=utf-8", ("text/html", "utf-8")),
        ("text/html; charset=utf-8, text/html", ("text/html", "utf-8")),
        ("text/plain, text/html", ("text/html", "")),
        ("text/html, */*", ("text/html", "")),
        ("text/html; charset=", ("text/html", "")),
        ("charset=utf-8", ("", "utf-8")),
        ("html", ("", "")),
        ("/", ("", "")),
    ],
)
def test_content_types_are_read_as_servers_send_them(value: str, expected: tuple[str, str]) -> None:
    assert essence_and_charset(value) == expected


@pytest.mark.parametrize(
    ("essence", "reason"),
    [
        ("image/svg+xml", "type_image"),
        ("video/mp4", "type_audio_video"),
        ("audio/mpeg", "type_audio_video"),
        ("font/woff2", "type_font"),
        ("application/font-woff", "type_font"),
        ("application/x-font-ttf", "type_font"),
        ("application/pdf", "type_pdf"),
        ("application/rss+xml", "type_feed"),
        ("application/atom+xml", "type_feed"),
        ("application/json", "type_json"),
        ("application/ld+json", "type_json"),
        ("text/css", "type_css"),
        ("text/javascript", "type_script"),
        ("application/x-javascript", "type_script"),
        ("application/ecmascript", "type_script"),
        ("application/soap+xml", "type_xml"),
        ("application/zip", "type_archive"),
        ("application/x-gzip", "type_archive"),
        ("application/msword", "type_document"),
        ("application/vnd.oasis.opendocument.text", "type_document"),
        ("text/x-unheard-of", "type_other"),
    ],
)
def test_other_types_have_their_reasons(essence: str, reason: str) -> None:
    assert reason_of_type(essence) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n", "type_image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "type_image"),
        (b"GIF89a\x01\x00", "type_image"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "type_image"),
        (b"\x00\x00\x01\x00\x01\x00\x10\x10", "type_image"),
        (b"BM\x36\x10\x0e\x00\x00\x00\x00\x00\x36", "type_image"),
        (b"\x00\x00\x00\x1cftypavif", "type_image"),
        (b"\x00\x00\x00\x20ftypisom", "type_audio_video"),
        (b"ID3\x03\x00", "type_audio_video"),
        (b"OggS\x00\x02", "type_audio_video"),
        (b"wOFF\x00\x01\x00\x00", "type_font"),
        (b"wOF2\x00\x01", "type_font"),
        (b"\x00\x01\x00\x00\x00\x0f", "type_font"),
        (b"OTTO\x00\x0b", "type_font"),
        (b"%PDF-1.4\n%\xe2\xe3", "type_pdf"),
        (b"\n%PDF-1.4", "type_pdf"),
        (b"%!PS-Adobe-3.0", "type_document"),
        (b"{\\rtf1\\ansi", "type_document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "type_document"),
        (b"PK\x03\x04\x14\x00", "type_archive"),
        (b"7z\xbc\xaf\x27\x1c\x00", "type_archive"),
        (b"Rar!\x1a\x07\x00", "type_archive"),
        (b"a.txt" + bytes(252) + b"ustar\x0000", "type_archive"),
        (b"\x7fELF\x02\x01", "type_binary"),
        (b"MZ\x90\x00\x03\x00", "type_binary"),
        (b"SQLite format 3\x00", "type_binary"),
        (b"some text, then \x00\x01\x02", "type_binary"),
        (bytes(range(256)), "type_binary"),
        (b"", None),
        (b"Plain text of BM, MZ and FWS.", None),
        (b"BMW and BMX were there.", None),
        (b"MM is a name, II another; RIFF and OTTO too.", None),
        (b"true words", None),
        (b"N\x08NA\x08AM\x08ME\x08E\n a manual page", None),
        (b"A text in which a single byte is not what it should be: \x00. " * 3, "type_binary"),
        (b"A text in which a single byte is not what it should be: \x00. " + b"More. " * 30, None),
        (b"<html>\x00 a stray byte", None),
        (b"\xef\xbb\xbf<html>\x00", None),
        ("Größe".encode("utf-16"), None),
        ("<p>Größe und Maß".encode("utf-16-be"), None),
        ("日本語".encode("iso2022_jp"), None),
        (b"tab\tand\x0cform feed", None),
    ],
)
def test_binary_files_are_detected_by_their_bytes(body: bytes, reason: str | None) -> None:
    assert reason_of_bytes(body) == reason


JQUERY = (
    "/*! lib v3.5.1 */\n!function(e,t){'use strict';t(e)}(window,function(C){var t=[];return t});"
)
CSS = (
    "/* main */\nbody,html{margin:0;padding:0}\n.a:hover>b{color:red}\n@media print{a{color:#000}}"
)
TEXTS = [
    ('<?xml version="1.0"?><rss version="2.0"><channel>', "type_feed"),
    ("<rss><channel><title>A</title>", "type_feed"),
    (
        '<?xml version="1.0"?>\n<!-- made by x -->\n<feed xmlns="http://www.w3.org/2005/Atom">',
        "type_feed",
    ),
    ('<rdf:RDF xmlns="http://purl.org/rss/1.0/">', "type_feed"),
    ('<?xml version="1.0"?><?xml-stylesheet href="s.xsl"?><urlset><url>', "type_sitemap"),
    ("<sitemapindex><sitemap>", "type_sitemap"),
    ("https://a.org/1\nhttps://a.org/2\nhttps://a.org/3\n", "type_sitemap"),
    ('<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg>', "type_image"),
    ('<?xml version="1.0"?><kml><Document>', "type_xml"),
    ("User-agent: *\nDisallow: /", "type_robots"),
    ("# robots\r\n\r\n  user-agent : x\r\n", "type_robots"),
    ('{"a": 1, "b": ["text of it"]}', "type_json"),
    ('[{"a": "text that is cut', "type_json"),
    ('\n  [\n  {\n "a" : 1}]', "type_json"),
    ("[1, 2, 3]", "type_json"),
    ("{}", "type_json"),
    (')]}\',\n["a", 1]', "type_json"),
    ('callback({"a": "b"});', "type_script"),
    (JQUERY, "type_script"),
    ("var a = 1;\nvar b = 2;\n", "type_script"),
    ("window.dataLayer = window.dataLayer || [];", "type_script"),
    ("(function() { var x = {a: 1}; })();", "type_script"),
    ("(() => { let x = 1; })()", "type_script"),
    ("'use strict';\nconst x = require('y');", "type_script"),
    ('import a from "b";\nexport default a;', "type_script"),
    ("int main(void) {\n  puts(x);\n  return 0;\n}\n", "type_script"),
    (CSS, "type_css"),
    ('@charset "utf-8";\n@import url(a.css);', "type_css"),
    (".a { color: red; }", "type_css"),
    (":root{--x:1px}", "type_css"),
]


@pytest.mark.parametrize(("text", "reason"), TEXTS)
@pytest.mark.parametrize("declared", DECLARED)
def test_machine_readable_files_are_dropped(text: str, reason: str, declared: Declared) -> None:
    assert classify(text, declared, "https://a.org/x") == reason
    assert classify("\ufeff \n" + text, declared, None) == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("robots.txt", "type_robots"),
        ("ads.txt", "type_robots"),
        ("a/b.css?v=1", "type_css"),
        ("a/b.js", "type_script"),
        ("a/b.txt", "text"),
        ("[", "text"),
    ],
)
def test_the_url_decides_where_the_text_does_not(path: str, reason: str) -> None:
    assert classify("Nothing special in here.", "text", f"https://a.org/{path}") == reason
    assert classify("<!doctype html><p>Not found.", "html", f"https://a.org/{path}") == "html"


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><html>",
        "<!-- a comment --><html>",
        "<HTML lang=de>",
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML">',
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">',
        "<!-- " + "x" * 5000 + " --><html>",
    ],
)
def test_html_is_detected_under_any_declared_type(text: str) -> None:
    assert all(classify(text, declared, None) == "html" for declared in DECLARED)


def test_html_after_a_server_warning_is_detected() -> None:
    text = "Warning: connect() failed; {0}\n<html><head><style>a{b:c}d{e:f}</style>"
    assert classify(text, "html", None) == "html"
    assert classify(text, "unknown", None) == "html"


@pytest.mark.parametrize(
    "text",
    [
        "A sentence (with brackets); another one; and an end.",
        "[1] A note at the beginning, {braces} too.",
        "{Not JSON} but a sentence.",
        "import taxes were raised from 5 % to 7 %.",
        "Var is a river; let it be.",
        "function follows form, they {said}.",
        "let me, love, be your song.",
        "self [noun]: what one is. document [verb]: to write down.",
        "Use: body { margin: 0 } in your style sheet. "
        + "Then go on with the text of the page. " * 9,
        "https://a.org/ is our address. Write to us.",
        "Robots: User-agent: is the first line of robots.txt.",
        "@media is a rule of CSS",
        "Les id&eacute;es; l&agrave;-bas; &eacute;t&eacute;; &ccedil;a; d&eacute;j&agrave;",
        "windows were open. document that.",
        "/* is how a comment begins",
        "1. First\n2. Second\n",
        "a > b",
    ],
)
def test_prose_is_text(text: str) -> None:
    assert classify(text, "text", "https://a.org/a.txt") == "text"
    assert classify(text, "unknown", None) == "text"
    assert classify(text, "html", None) == "html"


def test_markup_with_an_unknown_beginning_has_the_declared_type() -> None:
    assert classify("<x-app>Text.</x-app>", "html", None) == "html"
    assert classify("<x-app>Text.</x-app>", "unknown", None) == "type_xml"
    assert classify("<3 this town", "text", None) == "text"
    assert classify("Welcome<br>to <i>us</i>", "unknown", None) == "html"
    assert classify("Write <br> for a new line.", "text", None) == "text"
    assert classify("<b>Bold</b> words", "unknown", None) == "html"
    assert classify("<p>Shown as it is, being plain text.", "text", None) == "text"


@pytest.mark.timeout(60)  # a search that goes back would take hours
@pytest.mark.parametrize(
    "part",
    [
        *("/*x*/", "/*", "//\n", "\n", " ", "<!--", "<!-- -->", "<?x?>", "https://a ", "a{b:c}"),
        *("a{", '{"a":', "[", "{ ", '"\\', "#\n", "a,", "f([])", "(", "</", "<meta ", ")]}'"),
        *("import ", "var a;"),
    ],
)
def test_long_texts_are_classified_in_bounded_time(part: str) -> None:
    for declared in DECLARED:
        assert classify(part * 100_000, declared, None)
        assert classify("/**/" + part * 100_000 + "!", declared, None)


@given(
    st.binary(max_size=100), st.text(max_size=60), st.sampled_from(DECLARED), st.text(max_size=20)
)
def test_any_text_is_classified(body: bytes, text: str, declared: Declared, uri: str) -> None:
    kinds = {"html", "text"}
    assert (kind := classify(text, declared, uri)) in kinds or kind.startswith("type_")
    assert reason_of_bytes(body) is None or not looks_like_html(body)
    assert not (is_binary(body) and guess_utf16(body))
    essence_and_charset(text)
