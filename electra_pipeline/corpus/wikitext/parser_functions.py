"""Render MediaWiki's variables and parser functions: {{PAGENAME}}, {{#if: ...}}, {{lc:X}}."""

import re
from collections.abc import Callable, Mapping, Sequence

from electra_pipeline.corpus.wikitext.editions import Edition
from electra_pipeline.corpus.wikitext.numbers import group_digits

NUMBER = re.compile(r"[-+]?\d*\.?\d+")
TITLE_VARIABLES = frozenset(
    {"pagename", "fullpagename", "subpagename", "basepagename", "rootpagename", "articlepagename"}
)
Function = Callable[[Sequence[str], Edition], str]
"""Renders the arguments: the texts between bars after the name and its colon."""


def render_function(
    name: str, arguments: Sequence[str], edition: Edition, title: str
) -> str | None:
    """Return the text of a variable or function, empty if it is unsupported; None for a template.

    `name` is the text before the first bar, `arguments` the texts after it.
    """
    word, colon, first = name.partition(":")
    word = word.strip()
    if not colon:
        variable = edition.words.get(word.lower(), word.lower())
        # Templates have the same names, but not in upper case.
        is_upper = word.upper() == word
        return title if is_upper and variable in TITLE_VARIABLES else None
    word = word.lower()
    function = FUNCTIONS.get(edition.words.get(word, word))
    if function is not None:
        return function([first.strip(), *(argument.strip() for argument in arguments)], edition)
    return "" if word.startswith("#") or word in SILENT else None


def _if(arguments: Sequence[str], edition: Edition) -> str:
    return _argument(arguments, 1 if arguments[0] else 2)


def _if_equal(arguments: Sequence[str], edition: Edition) -> str:
    return _argument(arguments, 2 if arguments[0] == _argument(arguments, 1) else 3)


def _switch(arguments: Sequence[str], edition: Edition) -> str:
    default, is_found = "", False
    for case in arguments[1:]:
        value, equals, text = case.partition("=")
        value = value.strip()
        if value == arguments[0]:
            is_found = True
        if equals and is_found:
            return text.strip()
        if value == "#default" or not equals:
            default = text.strip() if equals else value
    return default


def _expression(arguments: Sequence[str], edition: Edition) -> str:
    return arguments[0] if NUMBER.fullmatch(arguments[0]) else ""


def _plural(arguments: Sequence[str], edition: Edition) -> str:
    # Some languages have more forms; the first one is always the singular.
    forms = arguments[1:]
    index = 0 if arguments[0] in ("1", "-1") else len(forms) - 1
    return forms[index] if forms else ""


def _tag(arguments: Sequence[str], edition: Edition) -> str:
    return _argument(arguments, 1) if arguments[0].lower() in ("nowiki", "poem", "span") else ""


def _argument(arguments: Sequence[str], index: int) -> str:
    return arguments[index] if index < len(arguments) else ""


FUNCTIONS: Mapping[str, Function] = {
    "#if": _if,
    "#ifeq": _if_equal,
    "#ifexist": lambda arguments, edition: _argument(arguments, 1),
    "#iferror": lambda arguments, edition: _argument(arguments, 2) or arguments[0],
    "#ifexpr": lambda arguments, edition: _argument(arguments, 1),
    "#switch": _switch,
    "#expr": _expression,
    "#tag": _tag,
    "plural": _plural,
    "gender": lambda arguments, edition: _argument(arguments, 1),
    "formatnum": lambda arguments, edition: group_digits(arguments[0], edition),
    "lc": lambda arguments, edition: arguments[0].lower(),
    "uc": lambda arguments, edition: arguments[0].upper(),
    "lcfirst": lambda arguments, edition: arguments[0][:1].lower() + arguments[0][1:],
    "ucfirst": lambda arguments, edition: arguments[0][:1].upper() + arguments[0][1:],
    "padleft": lambda arguments, edition: arguments[0],
    "padright": lambda arguments, edition: arguments[0],
}
SILENT = frozenset(
    {"int", "ns", "nse", "urlencode", "anchorencode", "localurl", "fullurl", "canonicalurl"}
    | {"filepath", "defaultsort", "defaultsortkey", "defaultcategorysort", "displaytitle"}
)
