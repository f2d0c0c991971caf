"""Format numbers and dates as in an edition."""

import re

from electra_pipeline.corpus.wikitext.editions import Edition

PLAIN = re.compile(r"([-+\u2212]?)(\d{4,})((?:\.\d+)?)")
# Between day, month and year; other editions have only spaces.
OF = {"es": " de ", "pt": " de ", "ca": " de ", "gl": " de "}


def group_digits(number: str, edition: Edition) -> str:
    """Return a plain number with its digits in groups of three; other text unchanged."""
    match = PLAIN.fullmatch(number)
    if match is None or len(match[2]) < 3 + edition.min_group:
        return number
    sign, digits, fraction = match.groups()
    first = len(digits) % 3
    groups = [digits[:first], *(digits[at : at + 3] for at in range(first, len(digits), 3))]
    mark = "." if edition.group == "," else ","
    return sign + edition.group.join(filter(None, groups)) + fraction.replace(".", mark)


def format_date(numbers: tuple[int, ...], edition: Edition, *, day_first: bool) -> str:
    """Return a date of (year, month, day), or of the first of these, in words."""
    year, *rest = numbers
    if not rest or not 1 <= rest[0] <= 12:
        return str(year)
    if not edition.months:
        return "-".join(str(number).zfill(2) for number in numbers)
    month, language = edition.months[rest[0] - 1], edition.languages[0]
    if language.startswith(("ja", "zh")):
        return f"{year}年{rest[0]}月" + (f"{rest[1]}日" if rest[1:] else "")
    if language == "ko":
        return f"{year}년 {rest[0]}월" + (f" {rest[1]}일" if rest[1:] else "")
    if not rest[1:]:
        return f"{month} {year}"
    if language == "en" and not day_first:
        return f"{month} {rest[1]}, {year}"
    day = f"{rest[1]}." if language in ("de", "da", "no", "nb", "fi", "cs", "sk") else rest[1]
    of = OF.get(language, " ")
    return f"{day}{of}{month}{of}{year}"
