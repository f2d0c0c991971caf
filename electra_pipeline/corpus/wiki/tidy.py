"""What is left around a template, note or formula that renders nothing, put in order.

Only what stands beside a GAP changes: an author's own spaces and marks stay as they are, such as
the French space before a colon.
"""

import re

from electra_pipeline.corpus.wiki.expansion import GAP

GAPS = re.compile(f"{GAP}(?: ?{GAP})+")
OPENING, CLOSING = "(\uff08[", ")\uff09]"
BRACKETS = re.compile(r"[(\uff08\[][^\w\n()\uff08\uff09\[\]]*[)\uff09\]]")
OPENING_QUOTES = '"\u201c\u201e\u00ab\u2039\u300c\u300e'
CLOSING_QUOTES = '"\u201d\u201c\u00bb\u203a\u300d\u300f'
QUOTES = re.compile(f"(?<!\\w)[{OPENING_QUOTES}] ?{GAP} ?[{CLOSING_QUOTES}]")
SEPARATORS = ",;:.\u060c\u061b\u3001\uff0c\uff1b\uff1a\u3002\u00b7"
# From the first of them on, so that each run is looked at once.
RUN = re.compile(f"(?<![ {SEPARATORS}{GAP}])[ {SEPARATORS}]*{GAP}[ {SEPARATORS}{GAP}]*")
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
    run, line = match.group(), match.string
    start, stop = match.span()
    before, after = line[max(0, start - 1) : start], line[stop : stop + 1]
    left, right = run[: run.index(GAP)], run[run.rindex(GAP) + 1 :]
    mark = right.strip()
    if not before or before in OPENING:
        return ""
    if not after or after in CLOSING:
        return left.rstrip(" ,;:\u060c\u061b\u3001\uff0c\uff1b\uff1a") + mark.strip(",;")
    space = " " if right.endswith(" ") or (not mark and left.endswith(" ")) else ""
    if not mark:  # a note after a word, or after its mark
        return (left.strip() if left.strip() in (",", ".") else left.rstrip()) + space
    if left.strip(" .") or mark in ",.\u060c\u3001\uff0c\u3002":
        # The second of two marks stays, as in "a, , b", but not a full stop before it.
        return ("." if left.strip() == "." else "") + right.strip() + space
    own = " " if right.startswith(" ") else ""
    return ("." if left.strip() == "." else "") + own + mark + space
