"""What a template renders: by the table of an edition, else by its arguments and its place."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from electra_pipeline.corpus.wiki.editions import TEMPLATE, Edition, normal_name
from electra_pipeline.corpus.wiki.expansion import Place, Render
from electra_pipeline.corpus.wiki.functions import render_function
from electra_pipeline.corpus.wiki.numbers import grouped, written_date
from electra_pipeline.corpus.wiki.patterns import Pattern, parse_pattern

Handler = Callable[[Mapping[str, str], Edition], str]

SUBSTITUTION = re.compile(r"\s*(?:safesubst|subst|msgnw|msg|raw):", re.IGNORECASE)
NUMBER = re.compile(r"[-+\u2212]?[\d.,\u00a0 ]*\d(?:\+\d+)?(?:/{1,2}\d+)?")
KEY = re.compile(r"[\w .-]*")  # what else stands before an equals sign is text
DIGITS = re.compile(r"\d{1,4}")
# A language's code, or the short name of a style, is no text where another argument is.
CODE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]+)*")
UNIT = re.compile(r"[^\W\d_]{1,3}(?:[/\u00b2\u00b3][^\W\d_]?)*|%")
# No text that a reader sees within a sentence.
NO_TEXT = re.compile(
    r"https?:|\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|mp[34]|pdf|html?)$|^#[0-9a-f]{3,6}$|^Q\d+$",
    re.IGNORECASE,
)
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
UNITS = {"C": "\u00b0C", "F": "\u00b0F", "C-change": "\u00b0C", "F-change": "\u00b0F"}
UNITS |= {"sqmi": "sq mi", "sqft": "sq ft", "sqkm": "km\u00b2", "cuft": "cu ft", "cumi": "cu mi"}
POWER = re.compile(r"e([369])(?=[^\W\d])")
POWERS = {"3": "thousand ", "6": "million ", "9": "billion "}
CUBIC = re.compile(r"(?<=m)([23])\b")
RANGE_WORDS = {"-": "\u2013", "to": " to ", "to(-)": "\u2013", "and": " and ", "or": " or "}
RANGE_WORDS |= {"\u2013": "\u2013", "x": " \u00d7 ", "by": " by ", "\u00d7": " \u00d7 "}
RANGE_WORDS |= {"+/-": " \u00b1 ", "\u00b1": " \u00b1 ", "&": " and ", "and(-)": " and "}
BEFORE_FOOTNOTE = frozenset('.,;:!?)]}>"\u201d\u00bb\u3002\u3001\uff0c\uff09\x01')


class _Rules(NamedTuple):
    """The rows of the table that hold for an edition."""

    by_name: Mapping[str, str]
    by_beginning: Sequence[tuple[str, str]]
    by_end: Sequence[tuple[str, str]]

    def find(self, name: str) -> str | None:
        """The pattern of a template; None if the table does not have it."""
        if (pattern := self.by_name.get(name)) is not None:
            return pattern
        for beginning, pattern in self.by_beginning:
            if name.startswith(beginning):
                return pattern
        return next((pattern for end, pattern in self.by_end if name.endswith(end)), None)


def renderer(edition: Edition, title: str) -> Render:
    """What `expand` needs to render the templates of the page `title`."""
    rules = _rules(edition.languages)

    def render(pieces: Sequence[str], place: Place) -> str:
        first = pieces[0]
        while substitution := SUBSTITUTION.match(first):
            first = first[substitution.end() :]
        function = render_function(first, pieces[1:], edition, title)
        if function is not None:
            return function
        name = normal_name(first)
        prefix, colon, rest = name.partition(":")
        if colon and edition.namespaces.get(prefix.strip()) == TEMPLATE:
            name = rest.strip()
        pattern = rules.find(name)
        if pattern == "":
            return ""
        arguments = _arguments(pieces[1:])
        if pattern is None:
            return _unknown(name, arguments, place)
        if handler := HANDLERS.get(pattern):
            return handler(arguments, edition)
        text = parse_pattern(pattern).fill(arguments, lambda number: grouped(number, edition))
        # A name of the table may be of another template in this edition.
        return text or (_unknown(name, arguments, place) if arguments else "")

    return render


def _arguments(pieces: Sequence[str]) -> Mapping[str, str]:
    arguments: dict[str, str] = {}
    number = 0
    for piece in pieces:
        key, equals, value = piece.partition("=")
        if not equals or not KEY.fullmatch(key):
            number += 1
            key, value = str(number), piece
        arguments[key.strip().lower()] = value.strip()
    return arguments


def _unknown(name: str, arguments: Mapping[str, str], place: Place) -> str:
    """What an unknown template may render: nothing as a block or footnote, else its text."""
    if place.is_line or name.startswith(":") or _is_footnote(place):
        return ""
    return _text(arguments)


def _text(arguments: Mapping[str, str], edition: Edition | None = None) -> str:
    """The first argument that reads as text."""
    values = [value for value in _numbered(arguments) if _is_text(value)]
    if len(values) > 1 and NUMBER.fullmatch(values[0]) and UNIT.fullmatch(values[1]):
        return f"{values[0]} {values[1]}"
    others = [value for value in values if not CODE.fullmatch(value)]
    return (others or values[1:] or values or [""])[0]


def _is_footnote(place: Place) -> bool:
    """Whether it is joined to the end of a word or sentence and nothing is joined to it."""
    if place.after.isalnum() or not place.before:
        return False
    return place.before in BEFORE_FOOTNOTE or (
        place.before.isalnum() and not _has_no_spaces(place.before)
    )


def _has_no_spaces(character: str) -> bool:
    """Whether the script has no spaces between words."""
    return unicodedata.name(character, "").startswith(WITHOUT_SPACES)


def _is_text(value: str) -> bool:
    return (
        any(map(str.isalnum, value))
        and not NO_TEXT.search(value)
        and not ("\n" in value and "|" in value)
    )


def _convert(arguments: Mapping[str, str], edition: Edition) -> str:
    """The quantity as it was put in: the conversion into other units is not the author's."""
    text, is_unit = "", False
    values = list(_numbered(arguments))
    for index, value in enumerate(values):
        if value in RANGE_WORDS and not is_unit and index:
            text += RANGE_WORDS[value]
        elif NUMBER.fullmatch(value) and not is_unit:
            text += grouped(value, edition).replace("+", " ").replace("//", "/")
        elif is_unit or not index:  # what follows the unit is another one, or a second quantity
            follows = values[index + 1 : index + 2]
            if not (NUMBER.fullmatch(value) and follows and UNIT.fullmatch(follows[0])):
                break
            text, is_unit = f"{text} {value}", False
        else:
            text, is_unit = f"{text} {_unit(value)}", True
    return text


def _unit(code: str) -> str:
    """How the codes of {{convert}} for units are written."""
    code = POWER.sub(lambda match: POWERS[match[1]], code)
    return UNITS.get(code, CUBIC.sub(lambda m: "\u00b2" if m[1] == "2" else "\u00b3", code))


def _fraction(arguments: Mapping[str, str], edition: Edition) -> str:
    values = list(_numbered(arguments))
    match values:
        case []:
            return "\u2044"
        case [denominator]:
            return f"1/{denominator}"
        case [numerator, denominator]:
            return f"{numerator}/{denominator}"
    return f"{values[0]} {values[1]}/{values[2]}"


def _date(arguments: Mapping[str, str], edition: Edition) -> str:
    values = [value for value in _numbered(arguments) if value]
    numbers = [int(value) for value in values[:3] if DIGITS.fullmatch(value)]
    if not numbers or not DIGITS.fullmatch(values[0]):
        return values[0] if values else ""
    if numbers[0] <= 31 and len(numbers) == 3 and numbers[2] > 31:  # day, month, year
        numbers.reverse()
    day_first = arguments.get("df", "").lower() in ("y", "yes", "1", "true")
    return written_date(tuple(numbers), edition, day_first=day_first)


def _as_of(arguments: Mapping[str, str], edition: Edition) -> str:
    if alt := arguments.get("alt"):
        return alt
    date = _date(arguments, edition)
    beginning = "since" if arguments.get("since") else "as of"
    is_lower = bool(arguments.get("lc"))
    return f"{beginning if is_lower else beginning.capitalize()} {date}" if date else ""


def _numbered(arguments: Mapping[str, str]) -> Iterator[str]:
    return (value for key, value in arguments.items() if key.isdecimal())


HANDLERS: Mapping[str, Handler] = {
    "!convert": _convert,
    "!fraction": _fraction,
    "!date": _date,
    "!as_of": _as_of,
    "!text": _text,
}


@cache
def _rules(languages: Sequence[str]) -> _Rules:
    names: dict[str, str] = {}
    table = _table()
    own = next((table[language] for language in languages if language in table), {})
    for section in (table["all"], own):
        for pattern, entries in section.items():
            names |= dict.fromkeys(entries.split("; "), pattern)
    return _Rules(
        {name: pattern for name, pattern in names.items() if "*" not in name or len(name) == 1},
        _with_star(names, lambda name: name[:-1] if name.endswith("*") else ""),
        _with_star(names, lambda name: name[1:] if name.startswith("*") else ""),
    )


def _with_star(
    names: Mapping[str, str], without_star: Callable[[str], str]
) -> Sequence[tuple[str, str]]:
    """The longest parts of names first."""
    parts = [(part, pattern) for name, pattern in names.items() if (part := without_star(name))]
    return sorted(parts, key=lambda item: -len(item[0]))


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    text = (files(__package__) / "templates.yaml").read_text(encoding="utf-8")
    table: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return table


def check_table() -> Sequence[tuple[str, Pattern]]:
    """All patterns of the table with their languages. Raises ValueError for one that is wrong."""
    return [
        (language, parse_pattern(pattern))
        for language, section in _table().items()
        for pattern in section
        if not pattern.startswith("!")
    ]
