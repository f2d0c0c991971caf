"""MediaWiki's names of namespaces, redirects and functions in each language (editions.yaml)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import orjson

ARTICLES = "0"
MEDIA, FILE, TEMPLATE, CATEGORY = "-2", "6", "10", "14"  # numbers are equal in all editions
# Names of the project namespace: by default that of the site, as on Wikimedia's servers.
PROJECT_NAMES = ("project", "wikipedia", "wikinews", "wiktionary", "wikisource", "wikibooks")

ALIASES = {"no": "nb", "als": "gsw", "zh-yue": "yue", "be-x-old": "be-tarask"}  # old codes in use


@dataclass(frozen=True)
class Edition:
    """The names of one wiki, in lower case and with spaces instead of underscores."""

    languages: tuple[str, ...]
    """Code of its language and of MediaWiki's fallbacks; the last is English."""
    namespaces: Mapping[str, str]
    """Numbers of namespaces by name and alias."""
    words: Mapping[str, str]
    """English names of functions and variables by their names in the language."""
    redirect: re.Pattern[str]
    """Matches the beginning of a redirect page."""
    codes: frozenset[str]
    """Prefixes of links to other editions."""
    group: str
    """Separator of groups of three digits."""
    min_group: int
    """Least number of digits before the first separator."""
    months: tuple[str, ...]
    """Names of the months within a date."""

    def namespace(self, title: str) -> str:
        """Return the number of the namespace of a page by its title; articles have no prefix."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(normal_name(prefix), ARTICLES) if colon else ARTICLES

    def with_namespaces(self, names: Mapping[str, str]) -> "Edition":
        """Return a copy with the names (to numbers) that a dump declares, which take precedence."""
        own = {normal_name(name): number for name, number in names.items() if name.strip()}
        return replace(self, namespaces={**self.namespaces, **own})


def normal_name(name: str) -> str:
    """Return a name in lower case with single spaces; MediaWiki treats underscores as spaces."""
    return " ".join(name.replace("_", " ").lower().split())


@cache
def edition(language: str) -> Edition:
    """Return the edition of a language code, such as de or zh-min-nan; English if unknown."""
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
    """Yield the language, MediaWiki's fallbacks, and English."""
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
    """Return the table: a line of JSON for each code."""
    text = (files(__package__) / "editions.yaml").read_text(encoding="utf-8")
    lines = (line.partition(": ") for line in text.splitlines() if not line.startswith("#"))
    return {code.strip('"'): row for code, _, row in lines}
