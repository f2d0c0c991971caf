"""Replace templates by their rendered text, from the innermost to the outermost, in one pass."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Replaces an element or template without text; `gaps.close_gaps` repairs the text around it.
GAP = "\x01"
# An equals sign from a rendered template: it does not name an argument of the outer template.
EQUALS = "\x02"
# Braces without a counterpart, which are text and not parsed as markup.
OPENING, CLOSING = "\x03", "\x04"
# MediaWiki's own limit ($wgMaxTemplateDepth); it keeps the time linear.
MAX_DEPTH = 100
BRACES = re.compile(r"\{\{+|\}\}+")  # the only marks outside of templates
MARK = re.compile(r"\{\{+|\}\}+|\[\[|\]\]|\|")
LAYOUT = " \t:*#;'\x01"
REST_OF_BLOCK = re.compile(r"[ \t\x01]*(?:\n|\Z|\{\{)")


class Context(NamedTuple):
    """The text around a template."""

    before: str
    """The character before it; empty at the beginning."""
    after: str
    begins_line: bool
    """Only white space, list marks or other templates precede it on its line."""
    is_line: bool
    """Nothing else follows it on its line, either."""


Render = Callable[[Sequence[str], Context], str]
"""Renders a template, by its name and arguments in wikitext and its context."""


@dataclass(slots=True)
class _Frame:
    """A run of opening braces before its end is found; the page itself has none."""

    num_braces: int
    before: str
    begins_line: bool
    arguments: list[list[str]] = field(default_factory=lambda: [[]])
    num_links: int = 0  # open links: bars and equals signs inside belong to them
    is_blank: bool = False  # only layout since the last line end

    def add(self, text: str) -> None:
        if text:
            self.arguments[-1].append(_protected(text) if self.num_links else text)
            line = text[text.rfind("\n") + 1 :]
            self.is_blank = not line.strip(LAYOUT) and (self.is_blank or len(line) < len(text))

    def mark(self, mark: str) -> None:
        """Add a bar, or a bracket of a link."""
        if mark == "|" and self.num_braces and not self.num_links:
            self.arguments.append([])
        else:
            self.num_links = max(0, self.num_links + {"[[": 1, "]]": -1, "|": 0}[mark])
            self.arguments[-1].append(mark)
        self.is_blank = False

    def literal(self) -> list[str]:
        """Return its parts as text, if it is not markup."""
        parts = ["{" * self.num_braces]
        for number, argument in enumerate(self.arguments):
            parts += ["|", *argument] if number else argument
        return parts


def expand(text: str, render: Render) -> str:
    """Replace each template in `text` by the result of `render`, or GAP if that is empty.

    {{{parameters}}} are replaced by their default, and pairs of braces without a counterpart by
    OPENING and CLOSING.
    """
    page = _Frame(0, "", True, is_blank=True)
    stack = [page]
    position = 0
    while match := (MARK if len(stack) > 1 else BRACES).search(text, position):
        mark, start, stop = match.group(), match.start(), match.end()
        top = stack[-1]
        top.add(text[position:start])
        position = stop
        if mark[0] == "{":
            stack.append(_Frame(len(mark), text[start - 1 : start], top.is_blank))
        elif mark[0] == "}":
            _close(text, stop, len(mark), stack, render)
        else:
            top.mark(mark)
    stack[-1].add(text[position:])
    parts = [part for frame in stack for part in frame.literal()]
    joined = "".join(parts).replace(EQUALS, "=")
    return joined.replace("{{", OPENING).replace("}}", CLOSING)


def _close(text: str, stop: int, num_closing: int, stack: list[_Frame], render: Render) -> None:
    """Close the templates and parameters that a run of braces up to `stop` ends."""
    while num_closing >= 2 and len(stack) > 1:
        depth = len(stack)
        frame = stack.pop()
        num_braces = min(3, frame.num_braces, num_closing)
        num_closing -= num_braces
        is_line = frame.begins_line and num_closing < 2 and bool(REST_OF_BLOCK.match(text, stop))
        context = Context(frame.before, text[stop : stop + 1], frame.begins_line, is_line)
        arguments = ["".join(argument) for argument in frame.arguments]
        if depth > MAX_DEPTH:
            rendered = GAP
        elif num_braces == 3:
            rendered = "".join(arguments[1:2]) or GAP
        else:
            rendered = _protected(render(arguments, context)) or GAP
        rest = frame.num_braces - num_braces
        if rest >= 2:
            stack.append(_Frame(rest, frame.before, frame.begins_line))
        elif rest == 1:
            stack[-1].add("{")
        stack[-1].add(rendered)
    stack[-1].add("}" * num_closing)


def _protected(text: str) -> str:
    return text.replace("=", EQUALS) if "=" in text else text
