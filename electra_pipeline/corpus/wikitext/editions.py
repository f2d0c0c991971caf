"""What MediaWiki calls its namespaces, redirects and functions in a language (editions.yaml)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import orjson

ARTICLES = "0"
MEDIA, FILE, TEMPLATE, CATEGORY = "-2", "6", "10", "14"  # numbers are equal in all editions
# The default of $wgMetaNamespace is the name of the site; these have it on Wikimedia's servers.
PROJECT_NAMES = ("project", "wikipedia", "wikinews", "wiktionary", "wikisource", "wikibooks")

ALIASES = {"no": "nb", "als": "gsw", "zh-yue": "yue", "be-x-old": "be-tarask"}  # old codes in use


@dataclass(frozen=True)
class Edition:
    """The names of one wiki; all names are lower-case and have spaces, not underscores."""

    languages: tuple[str, ...]
    """Code of its language, and of those that MediaWiki falls back to; the last is English."""
    namespaces: Mapping[str, str]
    """Numbers of namespaces by name and alias."""
    words: Mapping[str, str]
    """English names of functions and variables by their names in the language."""
    redirect: re.Pattern[str]
    """What begins the text of a redirect page."""
    codes: frozenset[str]
    """Codes that make a link one to another edition."""
    group: str
    """What stands between groups of three digits."""
    min_group: int
    """Least number of digits before the first separator."""
    months: tuple[str, ...]
    """Their names within a date."""

    def namespace(self, title: str) -> str:
        """Number of the namespace of a page, by its title; articles have no prefix."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(normal_name(prefix), ARTICLES) if colon else ARTICLES

    def with_namespaces(self, names: Mapping[str, str]) -> "Edition":
        """With the names (to numbers) that a dump has of itself, which take precedence."""
        own = {normal_name(name): number for name, number in names.items() if name.strip()}
        return replace(self, namespaces={**self.namespaces, **own})


def normal_name(name: str) -> str:
    """Lower-case, with single spaces where MediaWiki takes underscores for spaces."""
    return " ".join(name.replace("_", " ").lower().split())


@cache
def edition(language: str) -> Edition:
    """The edition of a language's code, such as de or zh-min-nan; an unknown one is English."""
    rows = _rows()
    namespaces = dict.fromkeys(PROJECT_NAMES, "4")
    words: dict[str, str] = {}
    languages = tuple(_fallbacks(language))
    chain = [orjson.loads(rows[code]) for code in languages]
    own = chain[0]
    for row in reversed(chain):  # a language's own names take precedence
        for number, names in row.get("namespaces", {}).items():
            namespaces |= {normal_name(name): number for name in names if name}
        for function, names in row.get("words", {}).items():
            words |= {name.replace("_", " "): function for name in names}
    redirects = sorted((w for w, f in words.items() if f == "redirect"), key=len, reverse=True)
    beginning = "|".join(re.escape(word).replace(r"\ ", "[ _]") for word in redirects)
    return Edition(
        languages=languages,
        namespaces=namespaces,
        words=words,
        # As MediaWiki's WikitextContentHandler: the word, perhaps a colon, a link.
        redirect=re.compile(rf"\s*#\s*(?:{beginning})\s*(?::\s*)?\[\[", re.IGNORECASE),
        codes=frozenset(orjson.loads(rows["codes"])),
        group=own.get("group", ","),
        min_group=own.get("min_group", 1),
        months=tuple(own.get("months", ())),
    )


def _fallbacks(language: str) -> Iterator[str]:
    """The language, those that MediaWiki falls back to, and English."""
    rows = _rows()
    language = ALIASES.get(language.lower(), language.lower())
    pending = [language, language.partition("-")[0], "en"]
    seen: set[str] = set()
    while pending:
        code = pending.pop(0)
        if code in rows and code not in seen:
            yield code
            pending = [*orjson.loads(rows[code]).get("fallback", ()), *pending]
        seen.add(code)


@cache
def _rows() -> Mapping[str, str]:
    """The table: a line of JSON for each code."""
    text = (files(__package__) / "editions.yaml").read_text(encoding="utf-8")
    lines = (line.partition(": ") for line in text.splitlines() if not line.startswith("#"))
    return {code.strip('"'): row for code, _, row in lines}
