"""Documents that are cleaned together, and rules that are decided early, have the same results."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.document import (
    DocumentRules,
    clean_document,
    clean_documents,
)
from electra_pipeline.corpus.cleaning.filters import c4, scrub
from electra_pipeline.corpus.cleaning.filters.text_view import TextView
from electra_pipeline.corpus.sources.documents import RawDocument

LINE = "This is a sentence about the weather, and that is all there is to be said of it."


def test_documents_cleaned_together_are_those_cleaned_alone() -> None:
    rules = DocumentRules(language="en", filters="web", min_characters=20)
    texts = [LINE * 8, "", "short", f"{LINE} Isnâ€™t it? " * 6, "Das ist ein deutscher Satz. " * 9]
    raws = [RawDocument(text, None) for text in texts] + [RawDocument("", "u", "redirect")]
    documents = clean_documents(raws, rules)
    assert documents == [clean_document(raw, rules) for raw in raws]
    reasons = [document.reason for document in documents]
    assert reasons[1:3] + reasons[4:] == ["empty", "too_short", "language", "redirect"]


@given(st.text("123.:af ", max_size=60))
def test_texts_without_a_part_of_an_address_have_none(text: str) -> None:
    assert scrub.IN_IPV4.search(text) or not scrub.IPV4.search(text)
    assert scrub.IN_IPV6.search(text) or not scrub.IPV6.search(text)


@pytest.mark.parametrize("num_lines", [1, 4, 5, 7])
def test_a_line_is_at_least_one_sentence(num_lines: int) -> None:
    view = TextView("\n".join([LINE] * num_lines))
    assert c4._count_sentences(view, "en", 5) == min(5, num_lines)
