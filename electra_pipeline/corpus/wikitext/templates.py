"""Render templates by the table of an edition; others by their arguments and context."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain

import yaml

from electra_pipeline.corpus.wikitext.editions import TEMPLATE, Edition, normal_name
from electra_pipeline.corpus.wikitext.numbers import group_digits
from electra_pipeline.corpus.wikitext.parser_functions import render_function
from electra_pipeline.corpus.wikitext.template_expansion import Context, Render
from electra_pipeline.corpus.wikitext.template_handlers import HANDLERS, first_text
from electra_pipeline.corpus.wikitext.template_patterns import parse_pattern

SUBSTITUTION = re.compile(r"\s*(?:safesubst|subst|msgnw|msg|raw):", re.IGNORECASE)
MAX_ENTRY_CHARACTERS = 40  # of the table, so that a long name takes no quadratic time
KEY = re.compile(r"[\w .-]*")  # other text before an equals sign is not a name
# Beginnings of the names of characters whose scripts have no spaces between words.
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
BEFORE_FOOTNOTE = frozenset('.,;:!?)]}>"\u201d\u00bb\u3002\u3001\uff0c\uff09\x01')


def renderer(edition: Edition, title: str) -> Render:
    """Return the function with which `expand` renders the templates of the page `title`."""
    patterns = _patterns(edition.languages)

    def render(parts: Sequence[str], context: Context) -> str:
        first = parts[0]
        while substitution := SUBSTITUTION.match(first):
            first = first[substitution.end() :]
        function = render_function(first, parts[1:], edition, title)
        if function is not None:
            return function
        name = normal_name(first)
        prefix, colon, rest = name.partition(":")
        if colon and edition.namespaces.get(prefix.strip()) == TEMPLATE:
            name = rest.strip()
        pattern = _find_pattern(patterns, name)
        if pattern == "":
            return ""
        arguments = _arguments(parts[1:])
        if pattern is None:
            return _unknown(name, arguments, context)
        if handler := HANDLERS.get(pattern):
            return handler(arguments, edition)
        text = parse_pattern(pattern).fill(arguments, lambda number: group_digits(number, edition))
        # The name may be that of another template in this edition.
        return text or (_unknown(name, arguments, context) if arguments else "")

    return render


def _arguments(parts: Sequence[str]) -> Mapping[str, str]:
    arguments: dict[str, str] = {}
    number = 0
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not KEY.fullmatch(key):
            number += 1
            key, value = str(number), part
        arguments[key.strip().lower()] = value.strip()
    return arguments


def _unknown(name: str, arguments: Mapping[str, str], context: Context) -> str:
    """Render an unknown template: nothing as a block or footnote, else its text."""
    if context.is_line or name.startswith(":") or _is_footnote(context):
        return ""
    return first_text(arguments)


def _is_footnote(context: Context) -> bool:
    """Return whether it is joined to the end of a word or sentence, and no word is joined to it."""
    if context.after.isalnum() or not context.before:
        return False
    return context.before in BEFORE_FOOTNOTE or (
        context.before.isalnum()
        and not unicodedata.name(context.before, "").startswith(WITHOUT_SPACES)
    )


def _find_pattern(patterns: Mapping[str, str], name: str) -> str | None:
    """Return the pattern of a template, by its name, longest beginning or longest end.

    None if the table has none of these.
    """
    lengths = range(min(len(name), MAX_ENTRY_CHARACTERS), 0, -1)
    beginnings = (f"{name[:length]}*" for length in lengths)
    ends = (f"*{name[-length:]}" for length in lengths)
    entries = chain([name], beginnings, ends)
    return next((patterns[entry] for entry in entries if entry in patterns), None)


@cache
def _patterns(languages: Sequence[str]) -> Mapping[str, str]:
    """Return the table's patterns for an edition, by its entries for names, ends and beginnings."""
    table = _table()
    own = next((table[language] for language in languages if language in table), {})
    return {
        name: pattern
        for section in (table["all"], own)
        for pattern, entries in section.items()
        for name in entries.split("; ")
    }


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    text = (files(__package__) / "templates.yaml").read_text(encoding="utf-8")
    table: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return table
