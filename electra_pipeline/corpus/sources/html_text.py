"""Extract the main content of HTML pages as text."""

import re
from collections import Counter
from html import unescape
from itertools import pairwise

from electra_pipeline.corpus.wikitext.convert import SUPERSCRIPTS

# Extraction takes time quadratic in the nesting and in the attributes of a tag: 1 s for 5,000
# elements, 16 s for 20,000. Browsers stop nesting at 512.
MAX_NESTING = 2500
MAX_ATTRIBUTES = 2500
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)")
LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{MAX_ATTRIBUTES}}}")
# Elements without an end tag, or with an optional one: they close each other, and do not nest.
WITHOUT_END = re.compile(
    "area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|param|frame|html|head|body|p|li|"
    "dt|dd|option|optgroup|rp|rt|tr|td|th|thead|tbody|tfoot|colgroup|caption",
    re.IGNORECASE,
)
# Ruby annotations (their base text is kept), alternative texts of media, and captions.
SKIPPED = [
    *("rt", "rp", "rtc"),
    *("img", "area", "svg", "object", "video", "audio", "embed", "figcaption"),
]
# A text node of one character of three UTF-8 bytes. Resiliparse 2.0 drops it, as it takes every
# such character for an icon of the private use area.
LONE_CHARACTER = re.compile(
    r">\s*+(?:[\u0800-\ud7ff\uf900-\uffff]|&(?:#\d{4,5}|#[xX][0-9a-fA-F]{3,5}|[a-zA-Z]{2,31});)(?=\s*<)"
)
GUARD = "\u2060"  # word joiner: invisible, and removed again
# Resiliparse drops <time>, which is right for the date of an article but wrong within a sentence.
# Browsers show <q> in quotation marks.
TIME_OR_QUOTE = re.compile(r"<time(?:\s[^<>]*)?>([^<>]{1,200})</time>|<q(?:\s[^<>]*)?>|</q>")
# An exponent: 10<sup>5</sup> is not 105. References to notes become word¹ instead of word1.
EXPONENT = re.compile(r"(?<=[\w)])<sup(?:\s[^<>]*)?>([+\u2212-]?[0-9]{1,3})</sup>")
# Resiliparse drops <ul> near the root as a menu, and with it the lists of simple pages. Lists of
# sentences are changed to <ol>, which it keeps.
LIST_TAG = re.compile(r"<(/?)[uU][lL](?=[\s>])")
SENTENCE_ITEM = re.compile(r"<[lL][iI](?:\s[^<>]*)?>\s*+(?:<[pP](?:\s[^<>]*)?>\s*+)?[^<]{30}")
LINK = re.compile(r"<[aA]\s[^<>]*>(.{0,500}?)</[aA]>", re.DOTALL)
ANY_TAG = re.compile(r"<[^<>]*>")
MIN_ITEM_CHARACTERS = 30
MAX_LINK_FRACTION = 0.2  # Resiliparse's own, for lists further from the root
MAX_LIST_DEPTH = 4


def main_content(html: str) -> str:
    """Return the text of an HTML page without menus, headers and footers; "" if it has none."""
    from resiliparse.extract.html2text import extract_plain_text

    html = LONE_CHARACTER.sub(_guarded, html)
    html = TIME_OR_QUOTE.sub(_as_shown, html)
    html = EXPONENT.sub(lambda found: found[1].translate(SUPERSCRIPTS), html)
    if SENTENCE_ITEM.search(html):
        html = _with_lists(html)
    text: str = extract_plain_text(
        html, main_content=True, list_bullets=False, alt_texts=True, skip_elements=SKIPPED
    )
    return text.replace(GUARD, "")


def _with_lists(html: str) -> str:
    """Replace <ul> by <ol> in lists whose items are sentences; innermost lists first."""
    starts: list[int] = []
    names: list[int] = []  # where the name in a tag ends
    for tag in LIST_TAG.finditer(html):
        if not tag[1]:
            starts.append(tag.end())
        elif starts:
            start = starts.pop()
            if len(starts) < MAX_LIST_DEPTH and _has_sentences(html[start : tag.start()]):
                names += [start, tag.end()]
    ends = [0, *sorted(names), len(html)]
    parts = [html[start:end] for start, end in pairwise(ends)]
    return "".join([*(f"{part[:-2]}ol" for part in parts[:-1]), parts[-1]])


def _has_sentences(items: str) -> bool:
    if not SENTENCE_ITEM.search(items):
        return False
    num_characters = _num_characters(items)
    num_linked = sum(map(_num_characters, LINK.findall(items)))
    return (
        num_linked <= MAX_LINK_FRACTION * num_characters
        and num_characters >= MIN_ITEM_CHARACTERS * items.lower().count("<li")
    )


def _num_characters(html: str) -> int:
    return len(" ".join(ANY_TAG.sub("", html).split()))


def _guarded(found: re.Match[str]) -> str:
    character = unescape(found[0][1:].strip())
    is_icon = "\ue000" <= character <= "\uf8ff"
    return found[0] if is_icon or len(character.encode(errors="replace")) != 3 else found[0] + GUARD


def _as_shown(found: re.Match[str]) -> str:
    html, time = found.string, found[1]
    if time is None:
        return '"'
    before = html[max(0, found.start() - 100) : found.start()].rstrip()
    after = html[found.end() : found.end() + 100].lstrip()
    is_in_text = not before.endswith(">") or not after.startswith("<")
    return time if is_in_text else found[0]


def exceeds_bounds(html: str) -> bool:
    """Return whether extraction would take long: elements nest deeply or have many attributes."""
    num_tags = html.count("<")
    if num_tags > MAX_NESTING:
        num_tags -= html.count("</")
    if num_tags <= MAX_NESTING and not _has_long_tag(html):
        return False  # nearly all pages
    depth = 0
    num_open: Counter[str] = Counter()
    for found in TAG.finditer(html):
        slash, name, attributes = found.groups()
        if len(attributes) > MAX_ATTRIBUTES and len(attributes.split()) > MAX_ATTRIBUTES:
            return True
        if WITHOUT_END.fullmatch(name) or attributes.endswith("/"):
            continue
        name = name.lower()
        if not slash:
            num_open[name] += 1
            depth += 1
        elif num_open[name]:  # an end tag without its element is ignored
            num_open[name] -= 1
            depth -= 1
        if depth > MAX_NESTING:
            return True
    return False


def _has_long_tag(html: str) -> bool:
    """Return whether `LONG_TAG` matches: a match is longer than the distance of these offsets."""
    return any(
        LONG_TAG.match(html, start)
        for offset in range(MAX_ATTRIBUTES, len(html), MAX_ATTRIBUTES)
        if (start := html.rfind("<", offset - MAX_ATTRIBUTES, offset)) >= 0
    )
