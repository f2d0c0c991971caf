"""The characters of a page: which encoding its bytes are in, whatever is declared.

Bytes that are UTF-8 are UTF-8. Else what the server declares counts, then what the page does, then
what the bytes look like, and of these the first that decodes them without a loss.
Labels after the WHATWG's encoding standard (https://encoding.spec.whatwg.org).
"""

import codecs
import re

from electra_pipeline.corpus.media_type import guess_utf16

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
)
# What browsers read under a label is more than Python's codec of that name.
SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "euc_jp": "euc_jis_2004",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    "iso2022_jp": "iso2022_jp_ext",
}
# Of a legacy encoding's bytes a few look like UTF-8; of a page in UTF-8 a few may be damaged.
MIN_VALID_PER_INVALID = 1.0


def decode(body: bytes, label: str, *, is_markup: bool) -> str:
    """The text of a body whose server declares the charset `label`, or nothing ("").

    What is not valid becomes U+FFFD, which cleaning removes and counts.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if encoding := guess_utf16(body):
        return body.decode(encoding, "replace")
    text, num_invalid = _decoded(body, "utf-8")
    if not num_invalid:
        return _unescaped(body, label) if text.isascii() else text
    # Bytes less characters: how many continue a valid sequence.
    if len(body) - len(text) >= MIN_VALID_PER_INVALID * num_invalid:
        return text
    return _decode_legacy(body, label, is_markup=is_markup)


def _decode_legacy(body: bytes, label: str, *, is_markup: bool) -> str:
    from resiliparse.parse.encoding import detect_encoding

    declared = [_encoding(each) for each in (label, _page_label(body) if is_markup else "")]
    candidates = [each for each in dict.fromkeys(declared) if each and not each.startswith("utf")]
    if len(candidates) != 1:
        detected = _encoding(detect_encoding(body) or "")
        if detected in candidates:  # two declarations: the bytes decide
            candidates.remove(detected)
            candidates.insert(0, detected)
        elif detected and not detected.startswith("utf"):
            candidates.append(detected)
    candidates.append("cp1252")
    best, fewest = "", len(body) + 1
    for encoding in dict.fromkeys(candidates):
        text, num_invalid = _decoded(body, encoding)
        if num_invalid < fewest:
            best, fewest = text, num_invalid
        if not fewest:
            break
    return best


def _decoded(body: bytes, encoding: str) -> tuple[str, int]:
    """The text, and how many characters of it are lost; a character cut at the end is not one."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(body)
    return text, text.count("\ufffd")


def _unescaped(body: bytes, label: str) -> str:
    """The text of ASCII bytes, some of which may switch to another set of characters."""
    encoding = "hz" if label.lower().startswith("hz") else "ascii"
    for escape, name in ESCAPES:
        if escape.search(body):
            encoding = name
    return body.decode(encoding, "replace")


def _page_label(body: bytes) -> str:
    head = COMMENT.sub(b"", body[:PRESCAN_BYTES])
    found = META.search(head) or XML_DECLARATION.match(head)
    return found[1].decode("latin-1") if found else ""


def _encoding(label: str) -> str | None:
    """Python's name of the encoding that browsers read under a label, or None."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    plain = label.strip("\"' ;").lower().replace("_", "-")
    for name in (label, plain, re.sub(r"^(?:windows|win|cp)-?(\d{4})$", r"windows-\1", plain)):
        if found := map_encoding_to_html5(name, fallback_utf8=False):
            return SUPERSETS.get(found, found)
    return None
