"""Render templates that need code: quantities, dates, fractions, and unknown templates."""

import re
from collections.abc import Callable, Mapping

from electra_pipeline.corpus.wikitext.editions import Edition
from electra_pipeline.corpus.wikitext.numbers import format_date, group_digits

Handler = Callable[[Mapping[str, str], Edition], str]
"""Renders a template from its arguments by name or number."""

NUMBER = re.compile(r"[-+\u2212]?[\d.,\u00a0 ]*\d(?:\+\d+)?(?:/{1,2}\d+)?")
DIGITS = re.compile(r"\d{1,4}")
# A language code or the short name of a style is not text if there is another argument.
CODE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]+)*")
UNIT = re.compile(r"[^\W\d_]{1,3}(?:[/\u00b2\u00b3][^\W\d_]?)*|%")
# Arguments that a reader does not see as text.
NO_TEXT = re.compile(
    r"https?:|\.(?:jpe?g|png|svg|gif|tiff?|webp|og[agv]|mp[34]|pdf|html?)$|^#[0-9a-f]{3,6}$|^Q\d+$",
    re.IGNORECASE,
)
UNITS = {"C": "\u00b0C", "F": "\u00b0F", "C-change": "\u00b0C", "F-change": "\u00b0F"}
UNITS |= {"sqmi": "sq mi", "sqft": "sq ft", "sqkm": "km\u00b2", "cuft": "cu ft", "cumi": "cu mi"}
POWER = re.compile(r"e([369])(?=[^\W\d])")
POWERS = {"3": "thousand ", "6": "million ", "9": "billion "}
CUBIC = re.compile(r"(?<=m)([23])\b")
RANGE_WORDS = {"-": "\u2013", "to": " to ", "to(-)": "\u2013", "and": " and ", "or": " or "}
RANGE_WORDS |= {"\u2013": "\u2013", "x": " \u00d7 ", "by": " by ", "\u00d7": " \u00d7 "}
RANGE_WORDS |= {"+/-": " \u00b1 ", "\u00b1": " \u00b1 ", "&": " and ", "and(-)": " and "}


def first_text(arguments: Mapping[str, str], edition: Edition | None = None) -> str:
    """Return the first argument that is text for readers."""
    values = [value for value in _numbered(arguments) if _is_text(value)]
    if len(values) > 1 and NUMBER.fullmatch(values[0]) and UNIT.fullmatch(values[1]):
        return f"{values[0]} {values[1]}"
    others = [value for value in values if not CODE.fullmatch(value)]
    return (others or values[1:] or values or [""])[0]


def _is_text(value: str) -> bool:
    return (
        any(map(str.isalnum, value))
        and not NO_TEXT.search(value)
        and not ("\n" in value and "|" in value)
    )


def _convert(arguments: Mapping[str, str], edition: Edition) -> str:
    """Return the quantity as entered, without the conversion into other units."""
    text, is_unit = "", False
    values = _numbered(arguments)
    for index, value in enumerate(values):
        if value in RANGE_WORDS and not is_unit and index:
            text += RANGE_WORDS[value]
        elif NUMBER.fullmatch(value) and not is_unit:
            text += group_digits(value, edition).replace("+", " ").replace("//", "/")
        elif is_unit or not index:  # after the unit: another unit, or a second quantity
            follows = values[index + 1 : index + 2]
            if not (NUMBER.fullmatch(value) and follows and UNIT.fullmatch(follows[0])):
                break
            text, is_unit = f"{text} {value}", False
        else:
            text, is_unit = f"{text} {_unit(value)}", True
    return text


def _unit(code: str) -> str:
    """Return the written form of a unit code of {{convert}}."""
    code = POWER.sub(lambda match: POWERS[match[1]], code)
    return UNITS.get(code, CUBIC.sub(lambda m: "\u00b2" if m[1] == "2" else "\u00b3", code))


def _fraction(arguments: Mapping[str, str], edition: Edition) -> str:
    match values := _numbered(arguments):
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
    return format_date(tuple(numbers), edition, day_first=day_first)


def _as_of(arguments: Mapping[str, str], edition: Edition) -> str:
    if alt := arguments.get("alt"):
        return alt
    date = _date(arguments, edition)
    beginning = "since" if arguments.get("since") else "as of"
    is_lower = bool(arguments.get("lc"))
    return f"{beginning if is_lower else beginning.capitalize()} {date}" if date else ""


def _numbered(arguments: Mapping[str, str]) -> list[str]:
    return [value for key, value in arguments.items() if key.isdecimal()]


HANDLERS: Mapping[str, Handler] = {
    "!convert": _convert,
    "!fraction": _fraction,
    "!date": _date,
    "!as_of": _as_of,
    "!text": first_text,
}
