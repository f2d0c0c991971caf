"""Repair encoding damage, control characters and whitespace, without rewriting the text.

Pure functions of one document's text. Repairs are counted by kind.
"""

import re
import unicodedata
from collections.abc import Mapping

import ftfy
import ftfy.badness
import ftfy.fixes
import xxhash

from electra_pipeline.text.normalization import normalize
from electra_pipeline.text.spaces import one_line, single_blank_lines, single_spaces

# Encoding repair only: curly quotes, ligatures and full-width forms are the author's choice, which
# the tokenizer handles. ftfy changed 0 of 2,588 good documents with this, and 168 by default.
MOJIBAKE_CONFIG = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization="NFC",
)
REPLACEMENT = re.compile("\ufffd")  # a character that was lost before this stage
# Each of ftfy's patterns of damage has at most 6 characters. It contains one of `ALONE`, or two
# adjacent non-ASCII characters, not both of which are letters of Greek, Cyrillic or a script that
# ftfy does not list, or usual punctuation.
CONTEXT = 8
ALONE = "\x80-\x9f\u0152\u0153\xc3\xc2"
USUAL = ("common", "lower_common", "upper_common")
SUSPICIOUS = "".join(
    characters
    for category, characters in ftfy.badness.MOJIBAKE_CATEGORIES.items()
    if category not in USUAL
)
SUSPICIOUS += "\u0402"  # Cyrillic, in damaged punctuation
NOT_ASCII = r"[^\x00-\x7f]"
SUSPICIOUS_SPAN = re.compile(
    rf"[{ALONE}{SUSPICIOUS}](?:(?<=[{ALONE}])|{NOT_ASCII}|(?<={NOT_ASCII}{NOT_ASCII}))"
)
SURROGATE = re.compile("[\ud800-\udfff]")
ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")


def clean(text: str, *, unescape_html: bool = True) -> tuple[str, Mapping[str, int]]:
    """Return the repaired text and the number of repairs by kind.

    Lines and paragraphs (one blank line) are kept; other runs of whitespace become one space.
    `unescape_html` decodes entities such as `&lt;`, which extractors leave, once, and only if the
    text has no `<`, a sign of text about markup (ftfy's rule). U+FFFD marks lost characters: it is
    removed and counted. The result is NFC.
    """
    repairs: dict[str, int] = {}
    if unescape_html and "<" not in text and (entities := ENTITY.findall(text)):
        unescaped = ftfy.fixes.unescape_html(text)
        if unescaped != text:
            repairs["html_entities"] = len(entities)
            text = unescaped
    if not text.isascii():
        text = _repair_unicode(text, repairs)
    text = single_spaces(normalize("\n".join(text.splitlines())))
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    return single_blank_lines(text).strip(), repairs


def _repair_unicode(text: str, repairs: dict[str, int]) -> str:
    if SURROGATE.search(text):
        text = ftfy.fixes.fix_surrogates(text)  # joins pairs; a single one becomes U+FFFD
    if is_damaged(text):
        repaired = ftfy.fix_text(text, MOJIBAKE_CONFIG)
        if repaired != unicodedata.normalize("NFC", text):
            repairs["mojibake_documents"] = 1
        text = repaired
    text, num_lost = REPLACEMENT.subn("", text)
    if num_lost:
        repairs["replacement_characters"] = num_lost
    return text


def is_damaged(text: str) -> bool:
    """Return `ftfy.badness.is_bad`, which takes 1 s for 8 MB, by checking only suspicious spans."""
    return any(
        ftfy.badness.BADNESS_RE.search(text, max(0, found.start() - CONTEXT), found.end() + CONTEXT)
        for found in SUSPICIOUS_SPAN.finditer(text)
    )


def content_id(text: str) -> str:
    """Return a hash of 32 hex digits that ignores case and whitespace, equal for duplicates."""
    return xxhash.xxh3_128_hexdigest(one_line(text.lower()).encode())
