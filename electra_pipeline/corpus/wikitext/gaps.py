"""What is left around a template, note or formula that renders nothing, put in order.

Only what stands beside a GAP changes: an author's own spaces and marks stay as they are, such as
the French space before a colon.
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
# From the first of them on, so that each run is looked at once.
RUN = re.compile(f"(?<![ {SEPARATORS}{GAP}])[ {SEPARATORS}]*{GAP}[ {SEPARATORS}{GAP}]*")
DANGLING = " ,;\u060c\u061b\u3001\uff0c\uff1b"
WITHOUT_SPACE = frozenset(",.\u060c\u3001\uff0c\u3002")  # before them, in any language
MAX_NESTED_BRACKETS = 3


def tidy(text: str) -> str:
    """`text` without GAPs, empty brackets and quotes, doubled commas and spaces around them."""
    if GAP not in text:
        return text
    return "\n".join(_tidy_line(line) if GAP in line else line for line in text.split("\n"))


def _tidy_line(line: str) -> str:
    if not any(map(str.isalnum, line)):
        return ""  # not what punctuation is left of a removed list
    line = GAPS.sub(GAP, line)
    for _ in range(MAX_NESTED_BRACKETS):
        line, num_found = BRACKETS.subn(lambda m: GAP if GAP in m[0] else m[0], line)
        line = GAPS.sub(GAP, QUOTES.sub(GAP, line))
        if not num_found:
            break
    return RUN.sub(_mend, line)


def _mend(match: re.Match[str]) -> str:
    """The spaces and marks that stay of a run of them with gaps."""
    start, stop = match.span()
    before, after = match.string[max(0, start - 1) : start], match.string[stop : stop + 1]
    run = reduce(_joined, match.group().split(GAP))
    if not before or before in OPENING:
        return ""
    return run if after and after not in CLOSING else run.rstrip(DANGLING)


def _joined(left: str, right: str) -> str:
    """What stands on both sides of a gap as one: of two marks, as in "a, , b", the second."""
    mark = right.strip()
    space = " " if right.endswith(" ") or (not mark and left.endswith(" ")) else ""
    if not mark:  # a note after a word, or after its mark
        return (left.strip() if left.strip() in WITHOUT_SPACE else left.rstrip()) + space
    full_stop = "." if left.strip() == "." != mark else ""
    has_own_space = not left.strip() and right.startswith(" ") and mark not in WITHOUT_SPACE
    return f"{full_stop}{' ' if has_own_space else ''}{mark}{space}"
