"""The documents of the repository and what tests check of them: code, links, paragraphs, words."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs/reference"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "infra/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w{}]*)\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S
)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.M)
LINE_CHARACTERS = 120  # of a paragraph whose source is not wrapped


class Code(NamedTuple):
    """A fenced block of code."""

    language: str
    code: str


def generator() -> ModuleType:
    """Return docs/generate.py as a module."""
    spec = spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(path: Path) -> str:
    """Return a document's path in the repository, which names its test."""
    return str(path.relative_to(ROOT))


def blocks(text: str) -> list[Code]:
    """Return the fenced blocks of code."""
    return [Code(found["language"], found["code"]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    """Return the text without fenced blocks of code."""
    return FENCE.sub("", text)


def inline_code(text: str) -> list[str]:
    """Return what is in backquotes, outside fenced blocks."""
    return INLINE_CODE.findall(prose(text))


def shell_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in the `sh` blocks, without comments and redirections."""
    for block in blocks(text):
        if block.language != "sh":
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            command: list[str] = []
            for word in lexer:
                if set(word) <= set("|&;<>"):
                    yield command
                    # The word after < or > is a file, which no command takes
                    command = ["", ""] if set(word) & set("<>") else []
                else:
                    command.append(word)
            yield command


def links(text: str) -> list[str]:
    """Return the targets of links and images, outside fenced blocks."""
    return [target or image for target, image in LINK.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and Sphinx make them."""
    titles = (re.sub(r"`|\[|\]\([^)]*\)", "", title) for title in HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs and items of lists; headings, tables and code are neither."""
    for block in re.split(r"\n\s*\n", prose(text)):
        for part in re.split(r"\n(?=\s*(?:[*-]|\d+\.) )", block):
            if not part.lstrip().startswith(("#", "|", "<!--")):
                yield part


def num_lines(paragraph: str) -> int:
    """Return the number of lines of a paragraph, wrapped at `LINE_CHARACTERS` at the latest."""
    return sum(-(-len(line) // LINE_CHARACTERS) for line in paragraph.strip().splitlines())
