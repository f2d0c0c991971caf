"""Wikitext to text: what a reader of the rendered article sees of its prose, without its markup.

Templates and tables go, as their text is not in the page or not prose. The section's headings stay
as paragraphs of their own where text follows, since they tell its topic; bare ones go.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

# In every edition these work beside the names of its own language.
ENGLISH_MEDIA = frozenset({"file", "image", "media", "category"})
# MediaWiki takes no larger page ($wgMaxArticleSize): such a text is no article.
MAX_PAGE_CHARACTERS = 2 << 20
# The parser goes back for each opening mark without its end and reads the rest of the page again.
# 20 million characters read again are a few seconds; whole articles of Wikipedia stay below 1.
MAX_PARSING_EFFORT = 20_000_000
# Their content is no prose, or belongs to another place of the page.
DROPPED_ELEMENTS = re.compile(
    "ref|references|gallery|math|chem|ce|code|syntaxhighlight|source|pre|timeline|score|hiero|"
    "imagemap|mapframe|maplink|graph|templatedata|templatestyles|style|script|indicator|"
    "includeonly|categorytree|inputbox|section"
)
BREAKS = frozenset({"p", "div", "blockquote", "poem", "li", "dd", "dt", "ul", "ol"})
# Elements whose end may be left out, or which have none.
WITHOUT_END = frozenset(
    {"br", "wbr", "hr", "meta", "link", "img", "li", "dd", "dt", "th", "td", "tr"}
)

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
START_TAG = re.compile(r"<([a-zA-Z]+)(?:\s[^<>]*?)?(/?)>")
MARK = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\[(?=[a-z]+:|//)|\]|^[ :]*\{\||^[ \t]*\|\}|</?[a-zA-Z]+[^<>]*",
    re.MULTILINE,
)
BRACES = re.compile(r"(\{\{)|\}\}")
TABLE_MARKS = re.compile(r"(^[ :]*\{\|)|^[ \t]*\|\}", re.MULTILINE)
NAME = re.compile(r"</?[a-zA-Z]+")
ENDS = {"}}": "{{", "]]": "[[", "]": "[", "|}": "{|"}
MEDIA_NAME = re.compile(r"\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|web[mp]|mp[34]|wav|flac|pdf)$")
LANGUAGE_PREFIX = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?|simple")
SWITCH = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")
QUOTES = re.compile(r"'{2,5}")
# Chinese, Serbian and others give a word in several scripts: -{zh-hans:..; zh-hant:..}-
VARIANTS = re.compile(r"-\{([^{}]*)\}-")
# What is left of brackets whose templates went; `print()` has no space before it.
EMPTY_BRACKETS = re.compile(r" [(\uff08][\s,;:\u2013\u3001\uff0c\uff1b]*[)\uff09]")
SPACES = re.compile(r"[ \t\u00a0]+")
BLANK_LINES = re.compile(r"\n{3,}")
HEADING = re.compile(r"\x00(\d)(.*)", re.DOTALL)


class UnreadableError(Exception):
    """A page that cannot be made text; `reason` says why in a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Paragraph(NamedTuple):
    """A paragraph, or a heading of some level."""

    text: str
    level: int  # 0: no heading


def to_text(wikitext: str, media: Collection[str] = ENGLISH_MEDIA) -> str:
    """The prose of a page; paragraphs have one blank line between them.

    `media` holds the lower-case names of the namespaces of files and categories. Raises
    UnreadableError for a page that is too large, or that the parser cannot read in bounded time.
    """
    import mwparserfromhell

    if len(wikitext) > MAX_PAGE_CHARACTERS:
        raise UnreadableError("page_too_large")
    # A NUL marks headings below; none can be in XML.
    text = COMMENT.sub("", wikitext.replace("\x00", ""))
    # Templates and tables are most of the markup and balanced as a rule: the parser, which is
    # slow, need not see them. Templates first: as in MediaWiki, a table may be inside or across.
    text = _without_nested(_without_nested(_without_elements(text), BRACES), TABLE_MARKS)
    text = QUOTES.sub("", VARIANTS.sub(_first_variant, text))
    num_marks = sum(map(text.count, "{[<"))  # most pages have too few to need a closer look
    if (
        num_marks * len(text) > MAX_PARSING_EFFORT
        and count_unclosed(text) * len(text) > MAX_PARSING_EFFORT
    ):
        raise UnreadableError("unclosed_markup")
    try:
        parsed = mwparserfromhell.parse(text, skip_style_tags=True)
        rendered = "".join(_render(parsed, media))
    except Exception as error:  # its builder asserts, and odd entities raise half a dozen kinds
        raise UnreadableError("unparsable_markup") from error
    return "\n\n".join(_with_bare_headings_dropped(_paragraphs(rendered)))


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


def _without_elements(text: str) -> str:
    """Take dropped elements out, in one pass: half of an article is references."""
    kept: list[str] = []
    place = 0
    endless: set[str] = set()  # never look for the same end twice: that would be quadratic
    for start in START_TAG.finditer(text):
        name = start.group(1).lower()
        if start.start() < place or name in endless or not DROPPED_ELEMENTS.fullmatch(name):
            continue
        stop = start.end()
        if not start.group(2):
            end = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, stop)
            if end is None:
                endless.add(name)
                continue
            stop = end.end()
        kept.append(text[place : start.start()])
        place = stop
    return "".join([*kept, text[place:]])


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
    variant = match.group(1).rpartition("|")[2].split(";", 1)[0]
    return variant.split(":", 1)[-1].strip()


def _render(code: Any, media: Collection[str]) -> Iterator[str]:
    """The pieces of text of parsed wikitext; headings come as paragraphs marked with NUL."""
    for node in code.nodes if code is not None else ():
        match type(node).__name__:  # the classes are imported where they are made
            case "Text":
                yield node.value
            case "Wikilink":
                yield from _render_link(node, media)
            case "ExternalLink":
                yield from _render(node.title, media)
            case "Heading":
                title = " ".join("".join(_render(node.title, media)).split())
                yield f"\n\n\x00{node.level}{title}\n\n"
            case "HTMLEntity":
                yield _entity(node)
            case "Tag":
                name = str(node.tag).strip().lower()
                if name != "table" and not DROPPED_ELEMENTS.fullmatch(name):
                    is_block = name in BREAKS and not node.wiki_markup
                    yield "\n" if is_block else ""
                    yield from _render(node.contents, media)
                    yield "\n" if is_block or name in ("br", "hr") else ""


def _render_link(link: Any, media: Collection[str]) -> Iterator[str]:
    title = str(link.title).strip()
    prefix, colon, name = title.partition(":")
    prefix = prefix.strip().lower()
    if colon and prefix:  # a leading colon makes an ordinary link of it
        is_media = prefix in media or MEDIA_NAME.search(name.lower())
        # Language links: the same article in another edition, shown beside the text.
        if is_media or LANGUAGE_PREFIX.fullmatch(title.split(":", 1)[0]):
            return
    if link.text is not None:
        yield from _render(link.text, media)
    else:
        yield title.removeprefix(":")


def _entity(node: Any) -> str:
    try:
        return str(node.normalize())
    except (KeyError, ValueError, OverflowError):
        return str(node)


def _paragraphs(rendered: str) -> Iterator[Paragraph]:
    text = SWITCH.sub(lambda match: "" if match[0].upper() == match[0] else match[0], rendered)
    text = EMPTY_BRACKETS.sub("", SPACES.sub(" ", text))
    lines = (line.strip() for line in text.split("\n"))
    for block in BLANK_LINES.sub("\n\n", "\n".join(lines)).strip().split("\n\n"):
        heading = HEADING.fullmatch(block)
        if heading:
            yield Paragraph(heading[2].strip(), int(heading[1]))
        elif any(map(str.isalnum, block)):  # not what punctuation is left of a removed list
            yield Paragraph(block, 0)


def _with_bare_headings_dropped(paragraphs: Iterable[Paragraph]) -> list[str]:
    kept: list[Paragraph] = []  # from the last to the first
    for paragraph in reversed(list(paragraphs)):
        follower = kept[-1] if kept else Paragraph("", 1)
        has_text = follower.level == 0 or follower.level > paragraph.level
        if paragraph.level == 0 or (has_text and paragraph.text):
            kept.append(paragraph)
    return [paragraph.text for paragraph in reversed(kept)]
