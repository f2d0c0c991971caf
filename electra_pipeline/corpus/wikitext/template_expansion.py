"""Templates replaced by what they render, from the innermost to the outermost, in one pass."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Stands where something was that renders nothing; `tidy` mends what is around it.
GAP = "\x01"
# An equals sign that a template rendered: it names no argument of the template around it.
EQUALS = "\x02"
# Braces without their counterpart, which are text: nothing takes them for markup.
OPENING, CLOSING = "\x03", "\x04"
# MediaWiki expands no deeper ($wgMaxTemplateDepth); keeps the time linear.
MAX_DEPTH = 100
BRACES = re.compile(r"\{\{+|\}\}+")  # all that matters outside of templates
MARK = re.compile(r"\{\{+|\}\}+|\[\[|\]\]|\|")
LAYOUT = " \t:*#;'\x01"
REST_OF_BLOCK = re.compile(r"[ \t\x01]*(?:\n|\Z|\{\{)")


class Place(NamedTuple):
    """Where a template stands."""

    before: str
    """The character before it; empty at the beginning."""
    after: str
    begins_line: bool
    """Nothing but white space, list marks or other templates before it on its line."""
    is_line: bool
    """Nor anything after it."""


Render = Callable[[Sequence[str], Place], str]
"""What a template renders: its name and arguments as they are in the wikitext, and its place."""


@dataclass(slots=True)
class _Frame:
    """A run of opening braces whose end has not come; the page itself has none."""

    num_braces: int
    before: str
    begins_line: bool
    arguments: list[list[str]] = field(default_factory=lambda: [[]])
    num_links: int = 0  # that are open: their bars and equals signs are their own
    is_blank: bool = False  # what came since the last line end

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
        """Its parts, where it turns out to be no markup."""
        parts = ["{" * self.num_braces]
        for number, argument in enumerate(self.arguments):
            parts += ["|", *argument] if number else argument
        return parts


def expand(text: str, render: Render) -> str:
    """`text` with each template replaced by what `render` gives; GAP marks empty ones.

    {{{parameters}}} give their default. OPENING and CLOSING stand for pairs of braces without their
    counterpart.
    """
    page = _Frame(0, "", True, is_blank=True)
    stack = [page]
    place = 0
    while match := (MARK if len(stack) > 1 else BRACES).search(text, place):
        mark, start, stop = match.group(), match.start(), match.end()
        top = stack[-1]
        top.add(text[place:start])
        place = stop
        if mark[0] == "{":
            stack.append(_Frame(len(mark), text[start - 1 : start], top.is_blank))
        elif mark[0] == "}":
            _close(text, stop, len(mark), stack, render)
        else:
            top.mark(mark)
    stack[-1].add(text[place:])
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
        place = Place(frame.before, text[stop : stop + 1], frame.begins_line, is_line)
        arguments = ["".join(argument) for argument in frame.arguments]
        if depth > MAX_DEPTH:
            rendered = GAP
        elif num_braces == 3:
            rendered = "".join(arguments[1:2]) or GAP
        else:
            rendered = _protected(render(arguments, place)) or GAP
        rest = frame.num_braces - num_braces
        if rest >= 2:
            stack.append(_Frame(rest, frame.before, frame.begins_line))
        elif rest == 1:
            stack[-1].add("{")
        stack[-1].add(rendered)
    stack[-1].add("}" * num_closing)


def _protected(text: str) -> str:
    return text.replace("=", EQUALS) if "=" in text else text
