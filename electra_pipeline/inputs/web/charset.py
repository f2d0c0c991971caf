"""The characters of a page: which encoding its bytes are in, whatever is declared.

Bytes that are UTF-8 are UTF-8. Else what the server declares counts, then what the page does, then
what the bytes look like, and of these the first that decodes them with hardly a loss.
Labels after the WHATWG's encoding standard (https://encoding.spec.whatwg.org).
"""

import codecs
import re

from electra_pipeline.inputs.web.media_type import guess_utf16

# The standard prescribes 1,024 bytes; browsers look further, as pages put scripts first.
PRESCAN_BYTES = 1 << 13
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
META = re.compile(rb"<meta[\s/][^>]{0,1000}?charset\s*=[\s\"']*([^\s\"'/>;]+)", re.IGNORECASE)
XML_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"'>]+)[\"']")
ESCAPES = (  # of encodings whose bytes are all ASCII
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"\x1b(?:\$[@B]|\([JI])"), "iso2022_jp_ext"),
    (re.compile(rb"~\{(?:[!-w][!-~]){2,}~\}"), "hz"),
)
CODE_PAGE = re.compile(r"(?:x-)?(?:cp|ms|win|windows|ibm)-?(\d{3,4})")
# What browsers read under a label is more than Python's codec of that name.
SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "euc_jp": "euc_jis_2004",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
}
# The encoding that servers declare unasked, and that fits any bytes.
WESTERN = "cp1252"
MAX_INVALID = 0.05  # of the bytes above ASCII: a page may be damaged
TAG = re.compile(
    rb"<script\b[^<]*+(?:<(?!/script)[^<]*+)*+|<style\b[^<]*+(?:<(?!/style)[^<]*+)*+|<[^<>]*>",
    re.IGNORECASE,
)
ASCII_LETTER = bytes(range(65, 91)) + bytes(range(97, 123))
ABOVE_ASCII = bytes(range(128, 256))


def decode(body: bytes, label: str, *, is_markup: bool) -> str:
    """The text of a body whose server declares the charset `label`, or nothing ("").

    What is not valid becomes U+FFFD, which cleaning removes and counts.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if (utf_16 := guess_utf16(body)) is not None:
        return body.decode(utf_16, "replace")
    text, num_invalid = _decoded(body, "utf-8")
    if not num_invalid:
        return _unescaped(body) if text.isascii() else text
    # Bytes less characters: how many continue a valid sequence. In a page of UTF-8 a few may be
    # damaged; of legacy encodings EUC-JP looks most like UTF-8, with 0.6 for each invalid byte.
    if len(body) - len(text) >= 2 * num_invalid:
        return text
    return _decode_legacy(body, label, is_markup=is_markup)


def _decode_legacy(body: bytes, label: str, *, is_markup: bool) -> str:
    labels = (label, _page_label(body) if is_markup else "")
    candidates = list(dict.fromkeys(filter(None, map(_encoding, labels))))
    words = TAG.sub(b" ", body) if is_markup else body
    num_above = len(words) - len(words.translate(None, ABOVE_ASCII))
    num_letters = len(words) - len(words.translate(None, ASCII_LETTER))
    is_western = num_above < 0.5 * num_letters  # all languages of windows-1252 are
    if len(candidates) != 1 or (candidates == [WESTERN] and not is_western):
        detected = _detected(words)
        # Two declarations: the bytes decide. The Western one is many servers' default.
        candidates.sort(key=lambda each: (each != detected, each == WESTERN))
        candidates.append(detected)
    if is_western or set(candidates) == {WESTERN}:
        candidates.append(WESTERN)
    else:
        candidates.sort(key=WESTERN.__eq__)
    best, fewest = "", len(body) + 1
    for encoding in candidates:
        text, num_invalid = _decoded(body, encoding)
        if num_invalid < fewest:
            best, fewest = text, num_invalid
        if num_invalid <= MAX_INVALID * num_above:
            break
    return best


def _decoded(body: bytes, encoding: str) -> tuple[str, int]:
    """The text, and how many characters of it are lost; a character cut at the end is not one."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(body)
    return text, text.count("\ufffd")


def _unescaped(body: bytes) -> str:
    """The text of ASCII bytes, some of which may switch to another set of characters."""
    encoding = next((name for escape, name in ESCAPES if escape.search(body)), "ascii")
    return body.decode(encoding, "replace")


def _detected(words: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(words, html5_compatible=False) or ""
    if found := _encoding(name):
        return found
    try:
        return codecs.lookup(name).name
    except LookupError:
        return WESTERN


def _page_label(body: bytes) -> str:
    head = COMMENT.sub(b"", body[:PRESCAN_BYTES])
    found = META.search(head) or XML_DECLARATION.match(head)
    return found[1].decode("latin-1") if found else ""


def _encoding(label: str) -> str | None:
    """Python's name of the legacy encoding that browsers read under a label, or None."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    plain = label.strip("\"' ;").lower()
    found = map_encoding_to_html5(plain, fallback_utf8=False)
    if found is None and (page := CODE_PAGE.fullmatch(plain.replace("_", "-"))):
        try:
            found = codecs.lookup(f"cp{page[1]}").name
        except LookupError:
            return None
    if found is None or found.startswith("utf"):  # the bytes are not
        return None
    return SUPERSETS.get(found, found)
