"""MediaWiki's rule for runs of apostrophes: which are bold or slanted, and which are letters."""

import re
from collections.abc import Sequence

RUNS = re.compile(r"'{2,}")


def without_quotes(text: str) -> str:
    """Take the marks of bold and slanted text out; apostrophes that are text stay.

    As Parser::doQuotes of MediaWiki does, line by line: of four apostrophes the first is text, of
    more than five all but the last five; where a line has both an odd number of bold marks and of
    slanted ones, one bold mark is an apostrophe and a slanted mark, as in l'''Iliade''.
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
    num_slanted = sum(length in (2, 5) for length in runs)
    num_bold = sum(length in (3, 5) for length in runs)
    if num_slanted % 2 and num_bold % 2:
        false_bold = _false_bold(texts, runs)
        if false_bold is not None:
            texts[false_bold] += "'"
    return "".join(texts)


def _false_bold(texts: Sequence[str], runs: Sequence[int]) -> int | None:
    """Which bold mark is an apostrophe: after a letter alone, else after a word, else a space."""
    after_word = after_space = None
    for index, length in enumerate(runs):
        if length != 3:
            continue
        before = texts[index]
        if before[-1:] == " ":
            after_space = index if after_space is None else after_space
        elif before[-2:-1] == " ":
            return index
        else:
            after_word = index if after_word is None else after_word
    return after_space if after_word is None else after_word
