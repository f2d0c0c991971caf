"""Wikitext to text: what a reader of the rendered article sees of its prose, without its markup.

Inline templates give their text; boxes, notes and tables go, as their text is not in the page or
not prose. The section's headings stay as paragraphs of their own where text follows, since they
tell its topic; bare ones go.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from electra_pipeline.corpus.wikitext.apostrophes import without_quotes
from electra_pipeline.corpus.wikitext.editions import CATEGORY, FILE, MEDIA, Edition, edition
from electra_pipeline.corpus.wikitext.elements import DROPPED, without_elements
from electra_pipeline.corpus.wikitext.gaps import tidy
from electra_pipeline.corpus.wikitext.template_expansion import (
    CLOSING,
    EQUALS,
    GAP,
    OPENING,
    expand,
)
from electra_pipeline.corpus.wikitext.templates import renderer

# MediaWiki takes no larger page ($wgMaxArticleSize): such a text is no article.
MAX_PAGE_CHARACTERS = 2 << 20
# The parser goes back for each opening mark without its end and reads the rest of the page again.
# 20 million characters read again are a few seconds; whole articles of Wikipedia stay below 1.
MAX_PARSING_EFFORT = 20_000_000
BREAKS = frozenset({"p", "div", "blockquote", "poem", "li", "dd", "dt", "ul", "ol"})
# Elements whose end may be left out, or which have none.
WITHOUT_END = frozenset(
    {"br", "wbr", "hr", "meta", "link", "img", "li", "dd", "dt", "th", "td", "tr"}
)

MARK = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\[(?=[a-z]+:|//)|\]|^[ :]*\{\||^[ \t]*\|\}|</?[a-zA-Z]+[^<>]*",
    re.MULTILINE,
)
TABLE_MARKS = re.compile(r"(^[ :]*\{\|)|^[ \t]*\|\}", re.MULTILINE)
# Rows of a table, or arguments of a template, whose end is missing.
STRAY_ROW = re.compile(
    rf"^[ \t]*(?:[|]|!(?: |[^\n]*!!)|:*\{{\||{OPENING}[^\n|]*(?=\n[ \t]*[|]))[^\n]*", re.MULTILINE
)
NAME = re.compile(r"</?[a-zA-Z]+")
# Of elements that lack their beginning or end, which MediaWiki gives them; code has others.
STRAY_TAG = re.compile(
    r"</?(?:abbr|b|big|blockquote|center|cite|del|div|em|font|i|ins|p|poem|q|s|small|span|strike"
    r"|strong|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul|ol|var)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
ENDS = {"}}": "{{", "]]": "[[", "]": "[", "|}": "{|"}
MEDIA_NAME = re.compile(r"\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|web[mp]|mp[34]|wav|flac|pdf)$")
SWITCH = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")
# Chinese, Serbian and others give a word in several scripts: -{zh-hans:..; zh-hant:..}-
VARIANTS = re.compile(r"-\{([^{}]*)\}-")
VARIANT = re.compile(r"(?:^|;)\s*[a-z]{2,3}(?:-[a-z]+)*\s*:")
# Rules that show nothing: of the title, of conversions elsewhere, of their names.
SILENT_FLAGS = frozenset("HTN-")
# The parser need not see a link without markup in it, where its text begins no list and no address.
PLAIN_LINK = re.compile(
    r"\[\[(\w[^\[\]{}|<>\n/]*)(?:\|([^\[\]{}|<>\n*#:;=!][^\[\]{}|<>\n/]*))?\]\]"
)
# What the pipe trick takes off a title: [[Paris (Texas)|]], [[Paris, Texas|]].
TITLE_SUFFIX = re.compile(r"(?:\([^()]*\)|\uff08[^\uff08\uff09]*\uff09|,.*)$")
# What is left of brackets whose links went; `print()` has no space before it.
EMPTY_BRACKETS = re.compile(r" [(\uff08][\s,;:\u2013\u3001\uff0c\uff1b]*[)\uff09]")
SPACES = re.compile(r"[ \t\u00a0]+")
BLANK_LINES = re.compile(r"\n{3,}")
HEADING = re.compile(r"\x00(\d)(.*)", re.DOTALL)
PLAIN_SUPERSCRIPTS = "0123456789+-\u2212"
SUPERSCRIPTS = str.maketrans(
    PLAIN_SUPERSCRIPTS,
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b",
)
OWN_MARKS = re.compile(f"[\x00{GAP}{EQUALS}{OPENING}{CLOSING}]")  # none can be in XML


class UnreadableError(Exception):
    """A page that cannot be made text; `reason` says why in a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Paragraph(NamedTuple):
    """A paragraph, or a heading of some level."""

    text: str
    level: int  # 0: no heading


def to_text(wikitext: str, names: Edition | None = None, title: str = "") -> str:
    """The prose of the page `title`; paragraphs have one blank line between them.

    `names` are those of the wiki, English ones by default. Raises UnreadableError for a page that
    is too large, or that the parser cannot read in bounded time.
    """
    import mwparserfromhell

    if len(wikitext) > MAX_PAGE_CHARACTERS:
        raise UnreadableError("page_too_large")
    names = names or edition("en")
    text = without_elements(OWN_MARKS.sub("", wikitext))
    # Templates and tables are most of the markup and balanced as a rule: the parser, which is
    # slow, need not see them. Templates first: as in MediaWiki, a table may be inside or across.
    text = _without_nested(expand(text, renderer(names, title)), TABLE_MARKS)
    text = STRAY_ROW.sub(GAP, text)
    text = without_quotes(VARIANTS.sub(_first_variant, text))
    text = PLAIN_LINK.sub(lambda match: _link_text(match[1], match[2], names), text)
    num_marks = sum(map(text.count, "{[<"))  # most pages have too few to need a closer look
    if (
        num_marks * len(text) > MAX_PARSING_EFFORT
        and count_unclosed(text) * len(text) > MAX_PARSING_EFFORT
    ):
        raise UnreadableError("unclosed_markup")
    try:
        parsed = mwparserfromhell.parse(text, skip_style_tags=True)
        rendered = "".join(_render(parsed, names))
    except Exception as error:  # its builder asserts, and odd entities raise half a dozen kinds
        raise UnreadableError("unparsable_markup") from error
    return "\n\n".join(_with_bare_headings_dropped(_paragraphs(rendered, names)))


def count_unclosed(text: str) -> int:
    """How many opening marks (templates, links, tables, elements) never come to their end."""
    unclosed: list[str] = []
    for match in MARK.finditer(text):
        mark = match.group().strip(" :\t").lower()
        if name := NAME.match(mark):
            if mark.endswith("/"):
                continue
            mark = name.group()
        if mark.startswith("</") or mark in ENDS:
            start = ENDS.get(mark, f"<{mark[2:]}")
            if unclosed and unclosed[-1] == start:
                unclosed.pop()
        elif mark[1:] not in WITHOUT_END:
            unclosed.append(mark)
    return len(unclosed)


def _without_nested(text: str, marks: re.Pattern[str]) -> str:
    """Take out what stands between marks that balance; group 1 of `marks` is the opening one."""
    starts: list[int] = []
    spans: list[tuple[int, int]] = []
    for match in marks.finditer(text):
        if match.group(1):
            starts.append(match.start())
        elif starts:
            start = starts.pop()
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, match.end()))
    stops = [0, *(stop for _, stop in spans)]
    beginnings = [*(start for start, _ in spans), len(text)]
    return "".join(text[stop:start] for stop, start in zip(stops, beginnings, strict=True))


def _first_variant(match: re.Match[str]) -> str:
    """The text of a rule of conversion between scripts, in the first of them."""
    flags, bar, rule = match.group(1).rpartition("|")
    shown = {flag.strip() for flag in flags.split(";")}
    if bar and shown & SILENT_FLAGS:
        return GAP
    if "R" in shown:
        return rule.strip()
    first = VARIANT.search(rule)
    if first is None or rule[: first.start()].strip(" ;"):
        return rule.strip()
    following = VARIANT.search(rule, first.end())
    text = rule[first.end() : following.start() if following else len(rule)]
    return text.strip().removesuffix(";").strip()


def _render(code: Any, names: Edition) -> Iterator[str]:
    """The parts of text of parsed wikitext; headings come as paragraphs marked with NUL."""
    for node in code.nodes if code is not None else ():
        match type(node).__name__:  # the classes are imported where they are made
            case "Text":
                yield STRAY_TAG.sub(GAP, node.value)
            case "Wikilink":
                text = None if node.text is None else "".join(_render(node.text, names))
                yield _link_text(str(node.title), text, names)
            case "ExternalLink":
                yield "".join(_render(node.title, names)) or GAP
            case "Heading":
                title = " ".join("".join(_render(node.title, names)).split())
                yield f"\n\n\x00{node.level}{title}\n\n"
            case "HTMLEntity":
                yield _entity(node)
            case "Tag":
                yield from _render_element(node, names)


def _render_element(node: Any, names: Edition) -> Iterator[str]:
    name = str(node.tag).strip().lower()
    if name == "table" or DROPPED.fullmatch(name):
        yield GAP
        return
    is_block = name in BREAKS and not node.wiki_markup
    content = "".join(_render(node.contents, names))
    if name == "sup" and content and set(content) <= set(PLAIN_SUPERSCRIPTS):
        content = content.translate(SUPERSCRIPTS)
    yield "\n" if is_block else ""
    yield content
    yield "\n" if is_block or name in ("br", "hr") else ""


def _link_text(title: str, text: str | None, names: Edition) -> str:
    """What a link shows; `text` is what stands after its bar, None without one."""
    title = title.strip()
    prefix, colon, name = title.partition(":")
    if colon and prefix:  # a leading colon makes an ordinary link of it
        is_media = names.namespace(title) in (MEDIA, FILE, CATEGORY)
        # Language links: the same article in another edition, shown beside the text. One with a
        # label stands in a sentence and lacks its colon.
        is_language = not text and prefix.strip().lower() in names.codes
        if is_media or is_language or MEDIA_NAME.search(name.lower()):
            return GAP
    if text == "":  # the pipe trick
        name = name if colon and prefix else title.removeprefix(":")
        return TITLE_SUFFIX.sub("", name).rstrip()
    return title.removeprefix(":") if text is None else text


def _entity(node: Any) -> str:
    try:
        return str(node.normalize())
    except (KeyError, ValueError, OverflowError):
        return str(node)


def _paragraphs(rendered: str, names: Edition) -> Iterator[Paragraph]:
    text = SWITCH.sub(lambda match: "" if match[0].upper() == match[0] else match[0], rendered)
    text = tidy(EMPTY_BRACKETS.sub("", SPACES.sub(" ", text)))
    text = text.replace(OPENING, "{{").replace(CLOSING, "}}")
    lines = (line.strip() for line in text.split("\n") if not _is_cut_image(line, names))
    for block in BLANK_LINES.sub("\n\n", "\n".join(lines)).strip().split("\n\n"):
        heading = HEADING.fullmatch(block)
        if heading:
            yield Paragraph(heading[2].strip(), int(heading[1]))
        elif any(map(str.isalnum, block)):  # not what punctuation is left of a removed list
            yield Paragraph(block, 0)


def _is_cut_image(line: str, names: Edition) -> bool:
    """Whether the line is a link to a file whose end is missing."""
    link = line.lstrip()
    return link.startswith("[[") and names.namespace(link[2:]) in (MEDIA, FILE, CATEGORY)


def _with_bare_headings_dropped(paragraphs: Iterable[Paragraph]) -> list[str]:
    kept: list[Paragraph] = []  # from the last to the first
    for paragraph in reversed(list(paragraphs)):
        follower = kept[-1] if kept else Paragraph("", 1)
        has_text = follower.level == 0 or follower.level > paragraph.level
        if paragraph.level == 0 or (has_text and paragraph.text):
            kept.append(paragraph)
    return [paragraph.text for paragraph in reversed(kept)]
