"""Chunk tags in the notations of published data sets, and the chunks that they mark.

Notations: `B-PER` (CoNLL, also IOB1, BIOES, BILOU, BMES), `b-per`, `PER-B`, each also with another
separator (`B_PER`), and a bare `B` where all chunks are of one type. A word outside of chunks has
one of `OUTSIDES`. Brackets (`(PER*`) are not supported.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

OUTSIDES = ("O", "o", "_", "-")
# BILOU's last and unit, BMES's middle, BMEWO's whole: what BIOES calls end, single and inside.
_PREFIXES = {"L": "E", "U": "S", "M": "I", "W": "S"}
_NOTATIONS = (
    *(re.compile(rf"(?P<prefix>[BIESLUMW])\{separator}(?P<type>.*)") for separator in "-_:./"),
    *(re.compile(rf"(?P<prefix>[bieslumw])\{separator}(?P<type>.*)") for separator in "-_:./"),
    *(re.compile(rf"(?P<type>.*)\{separator}(?P<prefix>[BIESLUMW])") for separator in "-_:./"),
    re.compile(r"(?P<prefix>[BIESLUMW])(?P<type>)"),
)
_BRACKETS = re.compile(r"\(.+\*\)?|\*\)+")  # CoNLL-2005 and 2012: `(PER*`, `*`, `*)`
_CONLL = 0  # the first notation: it alone needs no B- to be recognized, as IOB1 has few


@dataclass(frozen=True)
class ChunkTag:
    """A tag: the number of its notation, its prefix (B, I, E or S), its type."""

    notation: int
    prefix: str
    type: str


def read_tag(tag: str) -> ChunkTag | None:
    """Parse a tag in the first notation that fits; None if none does, or outside of chunks."""
    if tag in OUTSIDES:
        return None
    for number, notation in enumerate(_NOTATIONS):
        if match := notation.fullmatch(tag):
            prefix = match["prefix"].upper()
            return ChunkTag(number, _PREFIXES.get(prefix, prefix), match["type"])
    return None


@lru_cache(maxsize=4096)  # a task has few tags, and a split many of each
def conll_tag(tag: str) -> str:
    """Return a tag in conlleval's notation: `B_PER` as `B-PER`, a bare `B` as `B-_`."""
    if tag in OUTSIDES:
        return "O"
    read = read_tag(tag)
    return tag if read is None else f"{read.prefix}-{read.type or '_'}"


def chunks(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return the type, first and last word of each chunk of a sentence, in any notation.

    The rules of conlleval (Tjong Kim Sang 2000): a chunk also begins at an I or E after a word
    outside of chunks, after the end of a chunk, or after a word of another type.
    """
    found = []
    start, previous, previous_type = 0, "O", ""
    for position, tag in enumerate([*map(conll_tag, tags), "O"]):
        prefix, _, type_ = tag.partition("-")
        begins = prefix in ("B", "S") or (
            prefix != "O" and (previous in ("O", "E", "S") or type_ != previous_type)
        )
        if previous != "O" and (begins or prefix == "O"):
            found.append((previous_type, start, position - 1))
        if begins:
            start = position
        previous, previous_type = prefix, type_
    return found


def are_chunks(tags: Iterable[str]) -> bool:
    """Return whether a task's tags mark chunks: all in one notation, with one tag for outside."""
    given = set(tags)
    inside = given - set(OUTSIDES)
    read = [read_tag(tag) for tag in inside]
    found = [each for each in read if each is not None]
    if not found or len(found) < len(read) or len(given) - len(inside) > 1:
        return False
    if len({each.notation for each in found}) > 1:
        return False
    has_begin = any(each.prefix == "B" for each in found)
    return _has_evidence(found) or (has_begin and bool(given & set("Oo")))


def odd_tags(tags: Sequence[str]) -> list[str]:
    """Return the tags that do not fit the notation of the others; none if no tag marks a chunk."""
    if are_chunks(tags):
        return []
    if brackets := [tag for tag in tags if _BRACKETS.fullmatch(tag)]:
        return brackets
    read = {tag: found for tag in tags if (found := read_tag(tag)) is not None}
    for notation in range(len(_NOTATIONS) - 1):  # a bare B may be a part of speech
        alike = [found for found in read.values() if found.notation == notation]
        if alike and _has_evidence(alike):
            fitting = {tag for tag, found in read.items() if found.notation == notation}
            first_outside = [tag for tag in OUTSIDES if tag in tags][:1]
            return [tag for tag in tags if tag not in fitting and tag not in first_outside]
    return []


def _has_evidence(found: Sequence[ChunkTag]) -> bool:
    """Return whether tags of one notation cannot be anything else, such as parts of speech.

    `I---------` is a part of speech (UD_Arabic-PADT).
    """
    if found[0].notation == _CONLL:
        return any(each.prefix in "BIS" and each.type.strip("-") for each in found)
    begun = {each.type for each in found if each.prefix == "B"}
    return bool(begun & {each.type for each in found if each.prefix in "IE"})
