"""Convert the wikitext of an article to the prose that a reader sees, without markup.

Inline templates are replaced by their text. Boxes, notes and tables are removed, as their text is
not in the page or not prose. Headings with text below them are kept as paragraphs, since they name
the topic; others are removed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from electra_pipeline.corpus.wikitext.apostrophes import remove_bold_and_italic
from electra_pipeline.corpus.wikitext.editions import CATEGORY, FILE, MEDIA, Edition, edition
from electra_pipeline.corpus.wikitext.elements import DROPPED, remove_elements
from electra_pipeline.corpus.wikitext.gaps import close_gaps
from electra_pipeline.corpus.wikitext.template_expansion import (
    CLOSING,
    EQUALS,
    GAP,
    OPENING,
    expand,
)
from electra_pipeline.corpus.wikitext.templates import renderer

# MediaWiki accepts no larger page ($wgMaxArticleSize): a longer text is not an article.
MAX_PAGE_CHARACTERS = 2 << 20
# For each opening mark without its end, the parser reads the rest of the page again. 20 million
# characters take a few seconds; undamaged articles of Wikipedia stay below 1 million.
MAX_PARSING_EFFORT = 20_000_000
BREAKS = frozenset({"p", "div", "blockquote", "poem", "li", "dd", "dt", "ul", "ol"})
# Elements with an optional end tag, or without one.
WITHOUT_END = frozenset(
    {"br", "wbr", "hr", "meta", "link", "img", "li", "dd", "dt", "th", "td", "tr"}
)

MARK = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\[(?=[a-z]+:|//)|\]|^[ :]*\{\||^[ \t]*\|\}|</?[a-zA-Z]+[^<>]*",
    re.MULTILINE,
)
TABLE_MARKS = re.compile(r"(^[ :]*\{\|)|^[ \t]*\|\}", re.MULTILINE)
# Rows of a table, or arguments of a template, without an end.
STRAY_ROW = re.compile(
    rf"^[ \t]*(?:[|]|!(?: |[^\n]*!!)|:*\{{\||{OPENING}[^\n|]*(?=\n[ \t]*[|]))[^\n]*", re.MULTILINE
)
NAME = re.compile(r"</?[a-zA-Z]+")
# Tags without a counterpart, which MediaWiki adds. Other tags may be program code.
STRAY_TAG = re.compile(
    r"</?(?:abbr|b|big|blockquote|center|cite|del|div|em|font|i|ins|p|poem|q|s|small|span|strike"
    r"|strong|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul|ol|var)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
ENDS = {"}}": "{{", "]]": "[[", "]": "[", "|}": "{|"}
MEDIA_NAME = re.compile(r"\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|web[mp]|mp[34]|wav|flac|pdf)$")
SWITCH = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")
# Wikis in Chinese, Serbian and others give a word in several scripts: -{zh-hans:..; zh-hant:..}-
VARIANTS = re.compile(r"-\{([^{}]*)\}-")
VARIANT = re.compile(r"(?:^|;)\s*[a-z]{2,3}(?:-[a-z]+)*\s*:")
# Flags of conversion rules that render nothing: for the title, for other words, for names.
SILENT_FLAGS = frozenset("HTN-")
# Links without inner markup, whose text does not begin a list or URL, are replaced before parsing.
PLAIN_LINK = re.compile(
    r"\[\[(\w[^\[\]{}|<>\n/]*)(?:\|([^\[\]{}|<>\n*#:;=!][^\[\]{}|<>\n/]*))?\]\]"
)
# The part of a title that the pipe trick removes: [[Paris (Texas)|]], [[Paris, Texas|]].
TITLE_SUFFIX = re.compile(r"(?:\([^()]*\)|\uff08[^\uff08\uff09]*\uff09|,.*)$")
# Brackets whose links were removed; `print()` has no space before it.
EMPTY_BRACKETS = re.compile(r" [(\uff08][\s,;:\u2013\u3001\uff0c\uff1b]*[)\uff09]")
SPACES = re.compile(r"[ \t\u00a0]+")
BLANK_LINES = re.compile(r"\n{3,}")
HEADING = re.compile(r"\x00(\d)(.*)", re.DOTALL)
PLAIN_SUPERSCRIPTS = "0123456789+-\u2212"
SUPERSCRIPTS = str.maketrans(
    PLAIN_SUPERSCRIPTS,
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b",
)
OWN_MARKS = re.compile(f"[\x00{GAP}{EQUALS}{OPENING}{CLOSING}]")  # not allowed in XML


class UnreadableError(Exception):
    """A page that cannot be converted; `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Paragraph(NamedTuple):
    """A paragraph or a heading."""

    text: str
    level: int  # of a heading; 0: a paragraph


def to_text(wikitext: str, names: Edition | None = None, title: str = "") -> str:
    """Return the prose of the page `title`, with a blank line between paragraphs.

    `names` are those of the wiki, English by default. Raises UnreadableError for a page that is too
    large or cannot be parsed in bounded time.
    """
    import mwparserfromhell

    if len(wikitext) > MAX_PAGE_CHARACTERS:
        raise UnreadableError("page_too_large")
    names = names or edition("en")
    text = remove_elements(OWN_MARKS.sub("", wikitext))
    # Templates and tables are most of the markup, and usually balanced. They are handled before
    # the parser, which is slow. Templates come first: as in MediaWiki, they may contain a table or
    # parts of one.
    text = _remove_nested(expand(text, renderer(names, title)), TABLE_MARKS)
    text = STRAY_ROW.sub(GAP, text)
    text = remove_bold_and_italic(VARIANTS.sub(_first_variant, text))
    text = PLAIN_LINK.sub(lambda match: _link_text(match[1], match[2], names), text)
    num_marks = sum(map(text.count, "{[<"))  # most pages have few enough
    if (
        num_marks * len(text) > MAX_PARSING_EFFORT
        and count_unclosed(text) * len(text) > MAX_PARSING_EFFORT
    ):
        raise UnreadableError("unclosed_markup")
    try:
        parsed = mwparserfromhell.parse(text, skip_style_tags=True)
        rendered = "".join(_render(parsed, names))
    except Exception as error:  # its builder asserts, and unusual entities raise several types
        raise UnreadableError("unparsable_markup") from error
    return "\n\n".join(_drop_bare_headings(_paragraphs(rendered, names)))


def count_unclosed(text: str) -> int:
    """Count the opening marks (templates, links, tables, elements) without an end."""
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


def _remove_nested(text: str, marks: re.Pattern[str]) -> str:
    """Remove text between balanced marks; group 1 of `marks` is the opening one."""
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
    """Return the text of a rule for conversion between scripts, in the first script."""
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
    """Yield the text of parsed wikitext in parts; headings are paragraphs that begin with NUL."""
    for node in code.nodes if code is not None else ():
        match type(node).__name__:  # avoids importing the parser's classes
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
    """Return the visible text of a link; `text` follows its bar, None without a bar."""
    title = title.strip()
    prefix, colon, name = title.partition(":")
    if colon and prefix:  # a leading colon makes it an ordinary link
        is_media = names.namespace(title) in (MEDIA, FILE, CATEGORY)
        # Language links to the same article in another edition are shown beside the text. One with
        # a label is part of a sentence, without its colon.
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
    text = close_gaps(EMPTY_BRACKETS.sub("", SPACES.sub(" ", text)))
    text = text.replace(OPENING, "{{").replace(CLOSING, "}}")
    lines = (line.strip() for line in text.split("\n") if not _is_truncated_image(line, names))
    for block in BLANK_LINES.sub("\n\n", "\n".join(lines)).strip().split("\n\n"):
        heading = HEADING.fullmatch(block)
        if heading:
            yield Paragraph(heading[2].strip(), int(heading[1]))
        elif any(map(str.isalnum, block)):  # not the punctuation of a removed list
            yield Paragraph(block, 0)


def _is_truncated_image(line: str, names: Edition) -> bool:
    """Return whether the line is a link to a file without its end."""
    link = line.lstrip()
    return link.startswith("[[") and names.namespace(link[2:]) in (MEDIA, FILE, CATEGORY)


def _drop_bare_headings(paragraphs: Iterable[Paragraph]) -> list[str]:
    kept: list[Paragraph] = []  # from the last to the first
    for paragraph in reversed(list(paragraphs)):
        follower = kept[-1] if kept else Paragraph("", 1)
        has_text = follower.level == 0 or follower.level > paragraph.level
        if paragraph.level == 0 or (has_text and paragraph.text):
            kept.append(paragraph)
    return [paragraph.text for paragraph in reversed(kept)]
