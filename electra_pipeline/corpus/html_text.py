"""The text of HTML pages: main content, without what browsers do not show as text."""

import re
from html import unescape

# The time of the extraction grows with the square of the nesting and of a tag's attributes: 5,000
# elements took 1 s, 20,000 took 16 s. Browsers stop nesting at 512.
MAX_NESTING = 2500
MAX_ATTRIBUTES = 2500
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)")
LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{MAX_ATTRIBUTES}}}")
# Elements without an end, or whose end may be left out: they close each other, and do not nest.
WITHOUT_END = re.compile(
    "area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|param|frame|html|head|body|p|li|"
    "dt|dd|option|optgroup|rp|rt|tr|td|th|thead|tbody|tfoot|colgroup|caption",
    re.IGNORECASE,
)
# Readings above words (their base text stays), texts in place of media, and captions.
SKIPPED = [
    *("rt", "rp", "rtc"),
    *("img", "area", "svg", "object", "video", "audio", "embed", "figcaption"),
]
# A text node of one character that UTF-8 writes in three bytes: Resiliparse 2.0 drops it, as it
# takes every such character for an icon of the private use area.
LONE_CHARACTER = re.compile(
    r">\s*+(?:[\u0800-\ud7ff\uf900-\uffff]|&(?:#\d{4,5}|#[xX][0-9a-fA-F]{3,5}|[a-zA-Z]{2,31});)(?=\s*<)"
)
GUARD = "\u2060"  # word joiner: invisible, and removed again
# Resiliparse drops <time>, which is right for the date of an article and wrong within a sentence.
TIME = re.compile(r"<time(?:\s[^<>]*)?>([^<>]{1,200})</time>")
QUOTE = re.compile(r"<q(?:\s[^<>]*)?>")  # browsers show it in quotation marks


def main_content(html: str) -> str:
    """The text of an HTML page without menus, headers and footers; "" if it has none."""
    from resiliparse.extract.html2text import extract_plain_text

    html = LONE_CHARACTER.sub(_guarded, html)
    if "<time" in html:
        html = TIME.sub(_time_in_text, html)
    if "</q>" in html:
        html = QUOTE.sub(r'\g<0>"', html).replace("</q>", '"</q>')
    text: str = extract_plain_text(
        html, main_content=True, list_bullets=False, alt_texts=True, skip_elements=SKIPPED
    )
    return text.replace(GUARD, "")


def _guarded(found: re.Match[str]) -> str:
    character = unescape(found[0][1:].strip())
    is_icon = "\ue000" <= character <= "\uf8ff"
    return found[0] if is_icon or len(character.encode(errors="replace")) != 3 else found[0] + GUARD


def _time_in_text(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 100) : found.start()].rstrip()
    after = found.string[found.end() : found.end() + 100].lstrip()
    is_in_text = not before.endswith(">") or not after.startswith("<")
    return found[1] if is_in_text else found[0]


def exceeds_bounds(html: str) -> bool:
    """Whether elements nest, or attributes of one tag are, so many that extraction takes long."""
    if html.count("<") - html.count("</") <= MAX_NESTING and not LONG_TAG.search(html):
        return False  # nearly all pages, told at once
    depth = 0
    for match in TAG.finditer(html):
        slash, name, attributes = match.groups()
        if len(attributes) > MAX_ATTRIBUTES and len(attributes.split()) > MAX_ATTRIBUTES:
            return True
        if not WITHOUT_END.fullmatch(name) and not attributes.endswith("/"):
            depth = max(0, depth + (-1 if slash else 1))
            if depth > MAX_NESTING:
                return True
    return False
