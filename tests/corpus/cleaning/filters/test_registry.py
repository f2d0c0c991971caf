import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from electra_pipeline.corpus.cleaning.filters.blocklist import Blocklist
from electra_pipeline.corpus.cleaning.filters.c4 import C4Lines, C4Page
from electra_pipeline.corpus.cleaning.filters.gopher import GopherQuality
from electra_pipeline.corpus.cleaning.filters.language_thresholds import thresholds_by_language
from electra_pipeline.corpus.cleaning.filters.registry import (
    PRESETS,
    AnyFilter,
    Filters,
    apply,
    identity,
)
from electra_pipeline.corpus.cleaning.filters.scrub import Scrub
from electra_pipeline.corpus.cleaning.language_id import supported_languages

CONFIG: TypeAdapter[Filters] = TypeAdapter(Filters)
PAGE = "Menu\nThis is the first line, by a@b.com.\nThis is the second of the lines."


def test_filters_run_in_their_order() -> None:
    few = GopherQuality(min_words=15)
    assert apply([few, C4Lines()], PAGE, None, "en").rejection is None
    after = apply([C4Lines(), few], PAGE, None, "en")
    assert after.rejection == ("few_words", "14")
    assert after.text == PAGE.removeprefix("Menu\n")
    assert after.edits == {"lines_without_end": 1}


def test_edits_add_up_until_the_first_rejection() -> None:
    filtered = apply([C4Lines(), Scrub()], PAGE, None, "en")
    assert filtered.rejection is None
    assert filtered.text == PAGE.removeprefix("Menu\n").replace("a@b.com", "email@example.com")
    assert filtered.edits == {"lines_without_end": 1, "emails": 1}
    first = apply([C4Page(min_sentences=9), Scrub()], PAGE, None, "en")
    assert first.rejection == ("few_sentences", "3")
    assert (first.text, first.edits) == (PAGE, {})


def test_a_document_left_empty_by_edits_is_dropped() -> None:
    filtered = apply([C4Lines(), C4Page()], "Menu\nHome", None, "en")
    assert filtered == ("", ("nothing_left", "c4_lines"), {"lines_without_end": 2})


def test_the_url_is_checked() -> None:
    rules = [Blocklist(domains=("spam.com",))]
    assert apply(rules, PAGE, "https://www.spam.com", None).rejection == (
        "blocked_domain",
        "spam.com",
    )
    assert apply(rules, PAGE, "https://spam.org", None).rejection is None


@pytest.mark.parametrize("text", ["", " ", "\n\n \t\n"])
@pytest.mark.parametrize("name", PRESETS)
def test_blank_texts_are_returned_unchanged(name: str, text: str) -> None:
    assert apply(PRESETS[name], text, None, "en") == (text, None, {})


PARTS = [
    "Menu",
    "This is a line.",
    "a@b.com",
    "8.8.8.8",
    "{",
    "人人。",
    "...",
    "-",
    "#",
    "\n",
    "\n\n",
]


@settings(deadline=None)
@given(
    st.text() | st.lists(st.sampled_from(PARTS)).map(" ".join),
    st.sampled_from([None, "en", "de", "zh", "la"]),
    st.sampled_from([*PRESETS["web"], C4Lines(), GopherQuality(min_words=0)]),
)
def test_any_text_is_processed_and_edits_are_counted(
    text: str, language: str | None, rule: AnyFilter
) -> None:
    filtered = apply([rule], text, None, language)
    assert (filtered.text == text) == (not filtered.edits)


def test_presets_are_configurations() -> None:
    for name, rules in PRESETS.items():
        assert CONFIG.validate_python(name) == rules
        assert CONFIG.validate_python([rule.model_dump(mode="json") for rule in rules]) == rules


def test_a_list_of_filters_is_a_configuration() -> None:
    given = [{"type": "gopher_quality", "min_words": 20}, {"type": "scrub"}]
    assert CONFIG.validate_python(given) == (GopherQuality(min_words=20), Scrub())


def test_invalid_filters_are_refused() -> None:
    with pytest.raises(ValidationError, match="no filters are named 'wbe'; choose web, wikipedia"):
        CONFIG.validate_python("wbe")
    with pytest.raises(ValidationError, match=r"gopher_quality\.min_wrods"):
        CONFIG.validate_python([{"type": "gopher_quality", "min_wrods": 20}])
    with pytest.raises(ValidationError, match=r"'gopher'.*'gopher_quality'"):
        CONFIG.validate_python([{"type": "gopher"}])


def test_identity_depends_on_thresholds_and_order() -> None:
    rules = [GopherQuality(), Scrub()]
    assert identity(rules) == identity([GopherQuality(), Scrub()])
    assert identity(rules) != identity([GopherQuality(min_words=20), Scrub()])
    assert identity(rules) != identity(rules[::-1])


def test_languages_with_thresholds_can_be_identified() -> None:
    assert len(thresholds_by_language()) > 60
    assert thresholds_by_language().keys() <= set(supported_languages())
