from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.filters.c4 import C4Lines, C4Page
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

LINES = """\
One two three four.
Two words.
Fine line number three here.
No punctuation line
It has javascript here in it.
Another fine line is here.
And a fifth good line now.
We use cookies on this site.
Sixth good line is this one.
Seventh good line is this one."""
GOOD = "This is a line. It has two sentences.\n" * 3


def test_lines_as_in_datatrove() -> None:
    text, removed = C4Lines().edit(TextView(LINES))
    assert text.split("\n") == [LINES.split("\n")[index] for index in (0, 2, 5, 6, 8, 9)]
    assert removed == {
        "lines_of_few_words": 1,
        "lines_without_end": 1,
        "lines_about_javascript": 1,
        "lines_about_policies": 1,
    }
    assert C4Page().reject(TextView(text), "en") is None


def test_lines_are_kept_by_choice() -> None:
    lenient = C4Lines(end_of_sentence=False, min_words=0, javascript=False, policies=False)
    assert lenient.edit(TextView(LINES)) == (LINES, {})


def test_long_words_are_no_words() -> None:
    text = f"A good line it is.\nx{'y' * 1000} is not good.\nx{'y' * 999} is just good."
    edited, removed = C4Lines().edit(TextView(text))
    assert edited.split("\n") == [text.split("\n")[0], text.split("\n")[2]]
    assert removed == {"lines_with_long_word": 1}


def test_sentences_end_in_many_ways() -> None:
    kept = [
        "“We are here,” he said to “them.”",
        "他们赋有理性和良心。",
        "सभी मनुष्यों को अधिकार है।",
        "ሁሉም ሰው ነጻ ሆኖ ይወለዳል።",
        "Are they really all here?",
    ]
    assert C4Lines().edit(TextView("\n".join(kept)))[0].split("\n") == kept
    for removed in ("This line never ends...", "This line has no end,"):
        assert C4Lines().edit(TextView(removed))[0] == ""


def test_paragraphs_stay_apart() -> None:
    text = "The first is good.\n\nMenu\n\nThe second is good.\nIt goes on here."
    assert C4Lines().edit(TextView(text))[0] == text.replace("\n\nMenu", "")


LINE = st.sampled_from([*LINES.split("\n"), "", " ", "x" * 1001, "Menu", "a b c."])


@given(st.lists(LINE).map("\n".join).filter(str.strip))
def test_editing_twice_removes_nothing_more(text: str) -> None:
    once, _ = C4Lines().edit(TextView(text))
    if once:
        assert C4Lines().edit(TextView(once)) == (once, {})


def reason(text: str, rule: C4Page) -> str | None:
    rejection = rule.reject(TextView(text), "en")
    return rejection.reason if rejection else None


def test_each_rule_on_pages_fires_alone() -> None:
    assert reason(GOOD, C4Page()) is None
    assert reason(GOOD + "Lorem Ipsum is here.", C4Page()) == "lorem_ipsum"
    assert reason(GOOD + "function() { return 1 }", C4Page()) == "curly_bracket"
    assert reason("One. Two. Three. Four.", C4Page()) == "few_sentences"
    assert reason("One\nTwo\nThree\nFour\nFive", C4Page()) is None


def test_rules_on_pages_can_be_left_out() -> None:
    lenient = C4Page(lorem_ipsum=False, curly_bracket=False, min_sentences=0)
    assert reason("lorem ipsum {", lenient) is None
