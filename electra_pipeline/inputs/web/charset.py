"""Decode the bytes of a web page: find its character encoding.

Bytes that are valid UTF-8 are UTF-8. Otherwise the candidates are the encoding that the server
declares, that which the page declares, and that which is detected; the first that decodes the bytes
with almost no invalid ones is used. Labels are those of the WHATWG's encoding standard
(https://encoding.spec.whatwg.org).
"""

import codecs
import re

from electra_pipeline.inputs.decoding import BYTE_ORDER_MARKS, guess_utf16

# The standard prescribes 1,024 bytes; browsers read more, as many pages begin with scripts.
PRESCAN_BYTES = 1 << 13
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
META = re.compile(rb"<meta[\s/][^>]{0,1000}?charset\s*=[\s\"']*([^\s\"'/>;]+)", re.IGNORECASE)
XML_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"'>]+)[\"']")
ESCAPES = (  # of encodings whose bytes are all ASCII
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"\x1b(?:\$[@B]|\([JI])"), "iso2022_jp_ext"),
    (re.compile(rb"~\{(?:[!-w][!-~]){2,}~\}"), "hz"),
)
CODE_PAGE = re.compile(r"(?:x-)?(?:cp|ms|win|windows|ibm)-?(\d{3,4})")
# Browsers decode more under a label than Python's codec of that name.
SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "euc_jp": "euc_jis_2004",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
}
# The default that servers declare, which decodes any bytes.
WESTERN = "cp1252"
MAX_INVALID = 0.05  # fraction of the bytes above ASCII: a page may be damaged
TAG = re.compile(
    rb"<script\b[^<]*+(?:<(?!/script)[^<]*+)*+|<style\b[^<]*+(?:<(?!/style)[^<]*+)*+|<[^<>]*>",
    re.IGNORECASE,
)
ASCII_LETTER = bytes(range(65, 91)) + bytes(range(97, 123))
ABOVE_ASCII = bytes(range(128, 256))


def decode(body: bytes, label: str, *, is_markup: bool) -> str:
    """Return the text of a body; `label` is the charset that the server declares, or "".

    Invalid bytes become U+FFFD, which cleaning removes and counts.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if (utf_16 := guess_utf16(body)) is not None:
        return body.decode(utf_16, "replace")
    text, num_invalid = _decoded(body, "utf-8")
    if not num_invalid:
        return _unescaped(body) if text.isascii() else text
    # Bytes minus characters is the number of continuation bytes in valid sequences. A page in UTF-8
    # may have a few damaged ones; of the legacy encodings EUC-JP is most similar to UTF-8, with 0.6
    # for each invalid byte.
    if len(body) - len(text) >= 2 * num_invalid:
        return text
    return _decode_legacy(body, label, is_markup=is_markup)


def _decode_legacy(body: bytes, label: str, *, is_markup: bool) -> str:
    labels = (label, _page_label(body) if is_markup else "")
    candidates = list(dict.fromkeys(filter(None, map(_encoding, labels))))
    words = TAG.sub(b" ", body) if is_markup else body
    num_above = len(words) - len(words.translate(None, ABOVE_ASCII))
    num_letters = len(words) - len(words.translate(None, ASCII_LETTER))
    is_western = num_above < 0.5 * num_letters  # true for all languages of windows-1252
    if len(candidates) != 1 or (candidates == [WESTERN] and not is_western):
        detected = _detected(words)
        # If two are declared, the bytes decide. The Western one is many servers' default.
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
    """Return the text and its number of invalid characters, without one truncated at the end."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(body)
    return text, text.count("\ufffd")


def _unescaped(body: bytes) -> str:
    """Decode ASCII bytes, which may contain escapes to another character set."""
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
    """Return Python's name of the legacy encoding that browsers use for a label, or None."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    plain = label.strip("\"' ;").lower()
    found = map_encoding_to_html5(plain, fallback_utf8=False)
    if found is None and (page := CODE_PAGE.fullmatch(plain.replace("_", "-"))):
        try:
            found = codecs.lookup(f"cp{page[1]}").name
        except LookupError:
            return None
    if found is None or found.startswith("utf"):  # the bytes are not valid UTF
        return None
    return SUPERSETS.get(found, found)
