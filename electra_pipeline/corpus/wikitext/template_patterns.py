"""Patterns for the text of templates, as in templates.yaml: "{1}[ ({2}[, {3}])]".

{1}, {name} and {1|name} are replaced by the first of these arguments that exists, {#1} by a number
with its digits grouped, {*, } by all numbered arguments with ", " between them. Text in square
brackets is omitted if none of its arguments exists. A pattern with placeholders outside of brackets
renders nothing if no argument exists; a pattern without placeholders is literal text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

TOKEN = re.compile(r"\{([^{}]*)\}|([\[\]])|([^{}\[\]]+)")
Group = Callable[[str], str]


@dataclass(frozen=True)
class _Slot:
    names: tuple[str, ...] = ()
    is_number: bool = False
    joiner: str | None = None

    def fill(self, arguments: Mapping[str, str], group: Group) -> str:
        if self.joiner is not None:
            return self.joiner.join(v for k, v in arguments.items() if k.isdecimal() and v)
        value = next((arguments[name] for name in self.names if arguments.get(name)), "")
        return group(value) if self.is_number else value


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern, or an optional part of one."""

    parts: tuple["str | _Slot | Pattern", ...]
    is_optional: bool = False

    def fill(self, arguments: Mapping[str, str], group: Group) -> str:
        """Return the text for arguments; `group` groups the digits of a number."""
        texts = []
        needs_text, has_text = self.is_optional, False
        for part in self.parts:
            text = part if isinstance(part, str) else part.fill(arguments, group)
            needs_text = needs_text or isinstance(part, _Slot)
            has_text = has_text or (bool(text) and not isinstance(part, str))
            texts.append(text)
        return "".join(texts) if has_text or not needs_text else ""


@cache
def parse_pattern(source: str) -> Pattern:
    """Parse a pattern. Raises ValueError for unbalanced brackets."""
    stack: list[list[str | _Slot | Pattern]] = [[]]
    for slot, bracket, literal in TOKEN.findall(source):
        if bracket == "[":
            stack.append([])
        elif bracket == "]" and len(stack) > 1:
            stack[-2].append(Pattern(tuple(stack.pop()), is_optional=True))
        elif bracket:
            raise ValueError(f"{source!r}: a ']' without its '['")
        elif literal:
            stack[-1].append(literal)
        elif slot.startswith("*"):
            stack[-1].append(_Slot(joiner=slot[1:]))
        else:
            stack[-1].append(_Slot(tuple(slot.lstrip("#").split("|")), slot.startswith("#")))
    if len(stack) > 1:
        raise ValueError(f"{source!r}: a '[' without its ']'")
    return Pattern(tuple(stack[0]))
