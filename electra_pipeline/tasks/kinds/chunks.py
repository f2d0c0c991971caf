"""Chunk tags in the notations that data sets use, read as the prefixes that conlleval knows.

Notations: `B-PER` (CoNLL, also IOB1, BIOES, BILOU, BMES), `b-per`, `PER-B`, each also with another
separator (`B_PER`), and a bare `B` where all chunks are of one type. A word outside of chunks has
one of `OUTSIDES`. Brackets (`(PER*`) are not read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

OUTSIDES = ("O", "o", "_", "-")
# BILOU's last and unit, BMES's middle, BMEWO's whole: what BIOES calls end, single and inside.
_PLACES = {"L": "E", "U": "S", "M": "I", "W": "S"}
_NOTATIONS = (
    *(re.compile(rf"(?P<place>[BIESLUMW])\{separator}(?P<type>.*)") for separator in "-_:./"),
    *(re.compile(rf"(?P<place>[bieslumw])\{separator}(?P<type>.*)") for separator in "-_:./"),
    *(re.compile(rf"(?P<type>.*)\{separator}(?P<place>[BIESLUMW])") for separator in "-_:./"),
    re.compile(r"(?P<place>[BIESLUMW])(?P<type>)"),
)
_BRACKETS = re.compile(r"\(.+\*\)?|\*\)+")  # CoNLL-2005 and 2012: `(PER*`, `*`, `*)`
_CONLL = 0  # the first notation: it alone needs no B- to be recognized, as IOB1 has few


@dataclass(frozen=True)
class ChunkTag:
    """One tag: the number of its notation, its place in the chunk (B, I, E, S), its type."""

    notation: int
    place: str
    type: str


def read_tag(tag: str) -> ChunkTag | None:
    """A tag in the first notation that fits; None for any other, and outside of chunks."""
    if tag in OUTSIDES:
        return None
    for number, notation in enumerate(_NOTATIONS):
        if match := notation.fullmatch(tag):
            place = match["place"].upper()
            return ChunkTag(number, _PLACES.get(place, place), match["type"])
    return None


@lru_cache(maxsize=4096)  # a task has few tags, and a split many of each
def conll_tag(tag: str) -> str:
    """A tag as conlleval and seqeval read it: `B_PER` is `B-PER`, a bare `B` is `B-_`."""
    if tag in OUTSIDES:
        return "O"
    read = read_tag(tag)
    return tag if read is None else f"{read.place}-{read.type or '_'}"


def are_chunks(tags: Iterable[str]) -> bool:
    """Whether the tags of a task mark chunks: all in one notation, with one tag for outside."""
    given = set(tags)
    inside = given - set(OUTSIDES)
    read = [read_tag(tag) for tag in inside]
    found = [each for each in read if each is not None]
    if not found or len(found) < len(read) or len(given) - len(inside) > 1:
        return False
    if len({each.notation for each in found}) > 1:
        return False
    has_begin = any(each.place == "B" for each in found)
    return _has_evidence(found) or (has_begin and bool(given & set("Oo")))


def odd_tags(tags: Sequence[str]) -> list[str]:
    """Of tags that look like chunks but cannot all be read so: those that cannot, else none."""
    if are_chunks(tags):
        return []
    if brackets := [tag for tag in tags if _BRACKETS.fullmatch(tag)]:
        return brackets
    read = {tag: found for tag in tags if (found := read_tag(tag)) is not None}
    for notation in range(len(_NOTATIONS) - 1):  # a bare B may well be a part of speech
        alike = [found for found in read.values() if found.notation == notation]
        if alike and _has_evidence(alike):
            fitting = {tag for tag, found in read.items() if found.notation == notation}
            first_outside = [tag for tag in OUTSIDES if tag in tags][:1]
            return [tag for tag in tags if tag not in fitting and tag not in first_outside]
    return []


def _has_evidence(found: Sequence[ChunkTag]) -> bool:
    """Whether tags of one notation can only be chunks and not, say, parts of speech.

    `I---------` is one of those (UD_Arabic-PADT).
    """
    if found[0].notation == _CONLL:
        return any(each.place in "BIS" and each.type.strip("-") for each in found)
    begun = {each.type for each in found if each.place == "B"}
    return bool(begun & {each.type for each in found if each.place in "IE"})
