"""Repair spaces, brackets and punctuation around templates, notes and formulas without text.

Only text beside a GAP changes: the author's own spaces and punctuation are kept, such as the French
space before a colon.
"""

import re
from functools import reduce

from electra_pipeline.corpus.wikitext.template_expansion import GAP

GAPS = re.compile(f"{GAP}(?: ?{GAP})+")
OPENING, CLOSING = "(\uff08[", ")\uff09]"
BRACKETS = re.compile(r"[(\uff08\[][^\w\n()\uff08\uff09\[\]]*[)\uff09\]]")
OPENING_QUOTES = '"\u201c\u201e\u00ab\u2039\u300c\u300e'
CLOSING_QUOTES = '"\u201d\u201c\u00bb\u203a\u300d\u300f'
QUOTES = re.compile(f"(?<!\\w)[{OPENING_QUOTES}] ?{GAP} ?[{CLOSING_QUOTES}]")
SEPARATORS = ",;:.\u060c\u061b\u3001\uff0c\uff1b\uff1a\u3002\u00b7"
# Matches only from the first character, so that each run is searched once.
RUN = re.compile(f"(?<![ {SEPARATORS}{GAP}])[ {SEPARATORS}]*{GAP}[ {SEPARATORS}{GAP}]*")
DANGLING = " ,;\u060c\u061b\u3001\uff0c\uff1b"
WITHOUT_SPACE = frozenset(",.\u060c\u3001\uff0c\u3002")  # no space before them, in any language
MAX_NESTED_BRACKETS = 3


def close_gaps(text: str) -> str:
    """Remove GAPs with the empty brackets, quotes, doubled commas and spaces around them."""
    if GAP not in text:
        return text
    return "\n".join(_close_line(line) if GAP in line else line for line in text.split("\n"))


def _close_line(line: str) -> str:
    if not any(map(str.isalnum, line)):
        return ""  # only punctuation of a removed list
    line = GAPS.sub(GAP, line)
    for _ in range(MAX_NESTED_BRACKETS):
        line, num_found = BRACKETS.subn(lambda m: GAP if GAP in m[0] else m[0], line)
        line = GAPS.sub(GAP, QUOTES.sub(GAP, line))
        if not num_found:
            break
    return RUN.sub(_repair, line)


def _repair(match: re.Match[str]) -> str:
    """Return the spaces and punctuation that are kept of a run of them with gaps."""
    start, stop = match.span()
    before, after = match.string[max(0, start - 1) : start], match.string[stop : stop + 1]
    run = reduce(_joined, match.group().split(GAP))
    if not before or before in OPENING:
        return ""
    return run if after and after not in CLOSING else run.rstrip(DANGLING)


def _joined(left: str, right: str) -> str:
    """Join the texts beside a gap; of two punctuation marks, as in "a, , b", the second is kept."""
    mark = right.strip()
    space = " " if right.endswith(" ") or (not mark and left.endswith(" ")) else ""
    if not mark:  # a note after a word, or after its punctuation
        return (left.strip() if left.strip() in WITHOUT_SPACE else left.rstrip()) + space
    full_stop = "." if left.strip() == "." != mark else ""
    has_own_space = not left.strip() and right.startswith(" ") and mark not in WITHOUT_SPACE
    return f"{full_stop}{' ' if has_own_space else ''}{mark}{space}"
