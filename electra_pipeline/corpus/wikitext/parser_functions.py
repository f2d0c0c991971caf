"""Render MediaWiki's variables and parser functions: {{PAGENAME}}, {{#if: ...}}, {{lc:X}}."""

import re
from collections.abc import Callable, Mapping, Sequence

from electra_pipeline.corpus.wikitext.editions import Edition
from electra_pipeline.corpus.wikitext.numbers import group_digits

NUMBER = re.compile(r"[-+]?\d*\.?\d+")
TITLE_VARIABLES = frozenset(
    {"pagename", "fullpagename", "subpagename", "basepagename", "rootpagename", "articlepagename"}
)
SHOWN_TAGS = ("nowiki", "poem", "span")
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


def _plural(arguments: Sequence[str], edition: Edition) -> str:
    # Some languages have more forms; the first one is always the singular.
    forms = arguments[1:]
    index = 0 if arguments[0] in ("1", "-1") else len(forms) - 1
    return forms[index] if forms else ""


def _argument(arguments: Sequence[str], index: int) -> str:
    return arguments[index] if index < len(arguments) else ""


FUNCTIONS: Mapping[str, Function] = {
    "#if": lambda texts, edition: _argument(texts, 1 if texts[0] else 2),
    "#ifeq": lambda texts, edition: _argument(texts, 2 if texts[0] == _argument(texts, 1) else 3),
    "#ifexist": lambda texts, edition: _argument(texts, 1),
    "#iferror": lambda texts, edition: _argument(texts, 2) or texts[0],
    "#ifexpr": lambda texts, edition: _argument(texts, 1),
    "#switch": _switch,
    "#expr": lambda texts, edition: texts[0] if NUMBER.fullmatch(texts[0]) else "",
    "#tag": lambda texts, edition: _argument(texts, 1) if texts[0].lower() in SHOWN_TAGS else "",
    "plural": _plural,
    "gender": lambda texts, edition: _argument(texts, 1),
    "formatnum": lambda texts, edition: group_digits(texts[0], edition),
    "lc": lambda texts, edition: texts[0].lower(),
    "uc": lambda texts, edition: texts[0].upper(),
    "lcfirst": lambda texts, edition: texts[0][:1].lower() + texts[0][1:],
    "ucfirst": lambda texts, edition: texts[0][:1].upper() + texts[0][1:],
    "padleft": lambda texts, edition: texts[0],
    "padright": lambda texts, edition: texts[0],
}
SILENT = frozenset(
    {"int", "ns", "nse", "urlencode", "anchorencode", "localurl", "fullurl", "canonicalurl"}
    | {"filepath", "defaultsort", "defaultsortkey", "defaultcategorysort", "displaytitle"}
)
