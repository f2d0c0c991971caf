"""Media type of a body: by its bytes and text first, then by its Content-Type and URL.

A subset of the WHATWG's MIME sniffing standard (https://mimesniff.spec.whatwg.org).
"""

import re
from codecs import BOM_UTF8
from typing import Literal
from urllib.parse import urlsplit

import orjson

from electra_pipeline.inputs.decoding import BYTE_ORDER_MARKS, guess_utf16

SNIFFED_BYTES = 1445  # the standard's "resource header"
SNIFFED_CHARACTERS = 8192
# Control bytes, except ESC (ISO-2022-JP), backspace (manual pages) and ^Z (DOS)
BINARY_BYTE = re.compile(rb"[\x00-\x07\x0e-\x19\x1c-\x1f]")
MAX_BINARY_FRACTION = 0.01  # a text may have a stray one; compressed data has 9 %
HTML_START = re.compile(
    rb"\s*(?:<!--|<\?xml|<(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|"
    rb"title|b|body|br|p|meta|link|main|article|section|span|center)(?=[\s>/]))",
    re.IGNORECASE,
)

Declared = Literal["html", "text", "xml", "unknown"]
ESSENCE = re.compile(r"(?:^|,)\s*([\w!#$&^.+-]+/[\w!#$&^.+*-]+)", re.ASCII)
CHARSET = re.compile(r"charset\s*=[\s\"']*([^\s\"';,]+)", re.IGNORECASE)
DECLARED: dict[str, Declared] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/vnd.wap.xhtml+xml": "html",
    "text/plain": "text",
    "text/xml": "xml",
    "application/xml": "xml",
    "": "unknown",
    "unknown/unknown": "unknown",
    "application/unknown": "unknown",
    "application/x-unknown-content-type": "unknown",
    "application/octet-stream": "unknown",
    "binary/octet-stream": "unknown",
    "*/*": "unknown",
}
# Reasons for dropping bodies of other declared types; the first that matches
DROPPED_TYPES = (
    ("type_image", re.compile("image/")),
    ("type_audio_video", re.compile(r"audio/|video/|application/(?:ogg|vnd\.apple\.mpegurl)")),
    ("type_font", re.compile("font/|application/(?:x-)?font|application/vnd.ms-fontobject")),
    ("type_pdf", re.compile("application/(?:x-)?pdf")),
    ("type_feed", re.compile(r"application/(?:rss|atom|rdf)\+xml|text/rss|application/feed\+json")),
    ("type_json", re.compile(r".*[/+]json|text/x-json|application/(?:x-)?ndjson")),
    ("type_css", re.compile("text/css")),
    ("type_script", re.compile(".*(?:java|ecma|type|live|j)script")),
    ("type_xml", re.compile(r".*\+xml")),
    ("type_archive", re.compile(r"application/(?:x-)?(?:zip|gzip|g?tar|7z|rar|bzip2?|xz|zstd)")),
    ("type_document", re.compile(r"application/(?:ms|vnd\.|postscript|rtf|epub)|text/rtf")),
)
SIGNATURES = (
    (
        "type_image",
        rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II\*\x00|MM\x00\*|8BPS\x00"
        rb"|\x00\x00[\x01\x02]\x00[^\x00]\x00|.{4}ftyp(?:avi[fs]|hei[cx]|mif1)|BM.{4}\x00{4}",
    ),
    (
        "type_audio_video",
        rb"RIFF.{4}(?:WAVE|AVI )|.{4}ftyp|\x1aE\xdf\xa3|OggS\x00|fLaC\x00|ID3[\x02-\x04]|FLV\x01"
        rb"|MThd\x00|\x00\x00\x01[\xb3\xba]|\x30\x26\xb2\x75|#EXTM3U",
    ),
    ("type_font", rb"wOF[F2]|\x00\x01\x00\x00\x00|OTTO\x00|ttcf\x00|true\x00|.{34}LP\x00"),
    ("type_pdf", rb"\s{0,8}%PDF-"),
    ("type_document", rb"%!PS|\{\\rtf|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|AT&TFORM"),
    (
        "type_archive",
        rb"PK(?:\x03\x04|\x05\x06|\x07\x08)|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\xfd7zXZ\x00"
        rb"|BZh[1-9]1AY&SY|\x1f[\x8b\x9d\xa0]|\x28\xb5\x2f\xfd|\x04\"M\x18|MSCF\x00|!<arch>\n"
        rb"|.{257}ustar",
    ),
    (
        "type_binary",
        rb"\x7fELF|\x00asm|\xca\xfe\xba\xbe|SQLite format 3\x00|[CFZ]WS[\x01-\x40].{3}|MZ.{2}\x00",
    ),
)
SIGNATURE_PATTERNS = [(reason, re.compile(magic, re.DOTALL)) for reason, magic in SIGNATURES]

PROLOG = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->|<!doctype([^>]*)>", re.DOTALL | re.IGNORECASE)
ROOT = re.compile(r"<([a-zA-Z][\w:.-]*)")
PAGE_PART = re.compile(r"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
PAGE_TAG = re.compile(r"</(?:p|div|a|b|i|span|li|td|h[1-6]|body|html)>|<br\s*/?>", re.IGNORECASE)
FEED_ROOTS = {"rss", "feed", "rdf", "channel", "opml"}
SITEMAP_ROOTS = {"urlset", "sitemapindex"}
ROBOTS = re.compile(r"(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*user-agent[ \t]*:", re.IGNORECASE)
SITE_FILE = re.compile(r".*/(?:robots|ads|app-ads|security)\.txt", re.IGNORECASE)
URL_LINES = re.compile(r"(?:https?://\S++\s*+){3,}")
JSON_START = re.compile(
    r"(?:\)\]\}',?\s*|for\s*\(;;\);\s*)?[\[{]\s*(?:[\[{]\s*)*\"(?:[^\"\\]|\\.)*\"\s*[:,\]]"
)
SCRIPT_START = re.compile(
    r"(?>\s|/\*[\s\S]*?\*/|//.*)*+(?:[\"']use strict[\"']|"
    r"[!+;(]*function\s*[\w$]*\s*\([^{]{0,200}\{|\(\(?\)?\s*=>|"
    r"var\s+[\w$]+\s*[=;,]|(?:let|const)\s+[\w$]+\s*=|"
    r"(?:window|document|self|module|exports)(?:\.\w|\[[\"'])|"
    r"import\s+(?:[\w{*].*\bfrom\s+)?[\"']|export\s+(?:default|const|function)\b|"
    r"[\w$.]+\(\s*[\[{][\s\S]*[}\]]\s*\)\s*;?\s*$)"
)
STYLE_START = re.compile(
    r"(?>\s|/\*[\s\S]*?\*/)*+(?:@(?:charset|import|font-face|media|namespace|keyframes)\b|"
    r"[\w.#:*\[\]=\"'()>+~, \r\n-]{1,500}\{\s*[\w-]+\s*:[^{}]*\})"
)
# Braces and semicolons are 0.2 % of prose, and 3 % or more of scripts, styles and C.
MIN_CODE_FRACTION = 0.03
MIN_CODE_MARKS = 4


def essence_and_charset(value: str) -> tuple[str, str]:
    """Return type and charset label of a Content-Type header; of several types the last valid."""
    types = [found for found in ESSENCE.findall(value) if found != "*/*"]
    labels = CHARSET.findall(value)
    return (types[-1].lower() if types else ""), (labels[-1] if labels else "")


def declared_kind(essence: str) -> Declared | None:
    """Return the kind of document that a type declares, or None for a type of no document."""
    return DECLARED.get(essence)


def reason_of_type(essence: str) -> str:
    """Return the reason for dropping a body whose type is not that of a document."""
    return next((reason for reason, types in DROPPED_TYPES if types.match(essence)), "type_other")


def looks_like_html(data: bytes) -> bool:
    """Return whether bytes begin like a page, in any encoding but UTF-16."""
    return HTML_START.match(data, 3 if data.startswith(BOM_UTF8) else 0) is not None


def is_binary(data: bytes) -> bool:
    """Return whether the beginning has more control bytes than text, and is not UTF-16."""
    head = data[:SNIFFED_BYTES]
    num_binary = len(BINARY_BYTE.findall(head))
    if num_binary <= MAX_BINARY_FRACTION * len(head) or data.startswith(tuple(BYTE_ORDER_MARKS)):
        return False
    return guess_utf16(data) is None


def reason_of_bytes(data: bytes) -> str | None:
    """Return the reason for dropping a body that is not text, such as `type_image`, or None."""
    head = data[:SNIFFED_BYTES]
    for reason, magic in SIGNATURE_PATTERNS:
        if magic.match(head):
            return reason
    return "type_binary" if is_binary(data) and not looks_like_html(data) else None


def classify(text: str, declared: Declared, uri: str | None) -> str:
    """Return `html`, `text`, or the reason for dropping a body that is another kind of text."""
    head = text[:SNIFFED_CHARACTERS].lstrip("\ufeff\0 \t\r\n\f")
    path = _path(uri)
    if head.startswith("<"):
        return _classify_markup(head, declared)
    if declared in ("html", "unknown") and PAGE_PART.search(head):  # after a server's warning
        return "html"
    if ROBOTS.match(head) or (SITE_FILE.fullmatch(path) and declared != "html"):
        return "type_robots"
    if URL_LINES.fullmatch(head.rsplit("\n", 1)[0] if len(text) > len(head) else head):
        return "type_sitemap"
    if JSON_START.match(head) or (head[:1] in ("{", "[") and _is_json(text)):
        return "type_json"
    num_marks = sum(map(head.count, "{};"))
    is_dense = num_marks >= MIN_CODE_FRACTION * len(head)
    if path.endswith(".css") or (is_dense and STYLE_START.match(head)):
        return "type_css"
    is_code = is_dense and num_marks >= MIN_CODE_MARKS and "{" in head and "}" in head
    if path.endswith((".js", ".mjs")) or is_code or SCRIPT_START.match(head):
        return "type_script"
    if declared == "xml":
        return "type_xml"
    is_page = declared == "html" or (declared == "unknown" and PAGE_TAG.search(head))
    return "html" if is_page else "text"


def _classify_markup(head: str, declared: Declared) -> str:
    position, doctype = 0, ""
    while found := PROLOG.match(head, position):
        doctype = doctype or (found[1] or "").strip().lower()
        position = found.end()
    root = ROOT.match(head, position)
    name = root[1].lower() if root else ""
    local = name.rpartition(":")[2]
    if name == "html" or doctype.startswith("html"):
        return "html"
    if local in FEED_ROOTS:
        return "type_feed"
    if local in SITEMAP_ROOTS:
        return "type_sitemap"
    if name == "svg":
        return "type_image"
    is_html = looks_like_html(head[position:][:64].encode())
    if head.startswith("<?xml") and not is_html:
        return "type_xml"
    if declared in ("html", "text"):
        return declared
    return "html" if is_html else "type_xml"


def _path(uri: str | None) -> str:
    try:
        return urlsplit(uri or "").path.lower()
    except ValueError:  # not a valid URL
        return ""


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text.lstrip("\ufeff"))
    except orjson.JSONDecodeError:
        return False
    return True
