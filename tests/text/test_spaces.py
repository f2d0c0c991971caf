"""White space: the fast forms give what the plain ones give."""

import re
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.text.spaces import one_line, single_blank_lines, single_spaces

SPACES = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
TEXTS = st.lists(st.text("aÉ字Σ") | st.text(SPACES, max_size=4)).map("".join)


@settings(deadline=None)
@given(TEXTS)
def test_one_line_is_the_joined_words(text: str) -> None:
    assert one_line(text) == " ".join(text.split())


def test_every_white_space_is_replaced() -> None:
    assert one_line(f"a{'|'.join(SPACES)}b") == f"a{'|'.join(' ' * len(SPACES))}b"


@settings(deadline=None)
@given(TEXTS)
def test_runs_within_lines_become_one_space(text: str) -> None:
    text = "\n".join(text.splitlines())
    assert single_spaces(text) == re.sub(r"[^\S\n]+", " ", text)


@given(st.text("a \n"))
def test_runs_of_blank_lines_become_one(text: str) -> None:
    assert single_blank_lines(text) == re.sub(r"\n{3,}", "\n\n", text)
