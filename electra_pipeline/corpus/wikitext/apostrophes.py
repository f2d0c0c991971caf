"""Remove bold and italic marks by MediaWiki's rule, and keep apostrophes."""

import re
from collections.abc import Sequence

RUNS = re.compile(r"'{2,}")


def remove_bold_and_italic(text: str) -> str:
    """Remove the marks of bold and italic text; apostrophes that are text are kept.

    As in MediaWiki's Parser::doQuotes, line by line: of four apostrophes the first is text, of more
    than five all but the last five. If a line has odd numbers of both bold and italic marks, one
    bold mark is an apostrophe and an italic mark, as in l'''Iliade''.
    """
    if "''" not in text:
        return text
    return "\n".join(_line(line) if "''" in line else line for line in text.split("\n"))


def _line(line: str) -> str:
    texts = RUNS.split(line)
    runs = [len(match.group()) for match in RUNS.finditer(line)]
    for index, length in enumerate(runs):
        if length == 4 or length > 5:
            marks = 3 if length == 4 else 5
            texts[index] += "'" * (length - marks)
            runs[index] = marks
    num_italic = sum(length in (2, 5) for length in runs)
    num_bold = sum(length in (3, 5) for length in runs)
    if num_italic % 2 and num_bold % 2:
        false_bold = _false_bold(texts, runs)
        if false_bold is not None:
            texts[false_bold] += "'"
    return "".join(texts)


def _false_bold(texts: Sequence[str], runs: Sequence[int]) -> int | None:
    """Return which bold mark is an apostrophe: after a single letter, else a word, else a space."""

    def rank(index: int) -> int:
        before = texts[index]
        if before[-1:] == " ":
            return 2
        return 0 if before[-2:-1] == " " else 1

    return min((index for index, length in enumerate(runs) if length == 3), key=rank, default=None)
