"""MediaWiki's rule for runs of apostrophes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.wikitext.apostrophes import remove_bold_and_italic


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("''slanted'' '''bold''' '''''both'''''", "slanted bold both"),
        ("'''''both''' slanted''", "both slanted"),
        ("L''Iliade''", "LIliade"),  # as MediaWiki shows it
        ("L''''Iliade'''", "L'Iliade"),
        ("dans l'''Iliade''", "dans l'Iliade"),  # after a letter alone
        ("dell'''Orlando'' furioso", "dell'Orlando furioso"),  # after a word
        ("il dit '''oui''", "il dit 'oui"),  # after a space
        ("un mot l'''Iliade'' dell'''Orlando'''", "un mot l'Iliade dellOrlando"),
        ("L'\x01'''x''", "L'\x01'x"),  # <nowiki/> between them
        ("a''''''b'''''", "a'b"),
        ("rock 'n' roll isn't", "rock 'n' roll isn't"),
        ("one ''line\nnext'' line '''x''", "one line\nnext line x"),
        ("a ''b", "a b"),
    ],
)
def test_marks_are_removed_and_apostrophes_kept(wikitext: str, text: str) -> None:
    assert remove_bold_and_italic(wikitext) == text


@given(st.lists(st.sampled_from(["'", "''", "'''", "a", " ", "\n", "bc"])).map("".join))
def test_only_apostrophes_are_removed(wikitext: str) -> None:
    assert remove_bold_and_italic(wikitext).replace("'", "") == wikitext.replace("'", "")
