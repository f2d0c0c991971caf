import pytest

from electra_pipeline.corpus.cleaning.filters.fineweb import FineWeb
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

LINE = "This is line number {} and it is long enough to count as one."
GOOD = "\n".join(LINE.format(number) for number in range(10))
UNENDED = GOOD.replace(".", "")


def reason(text: str, language: str | None = "en", **values: object) -> str | None:
    rejection = FineWeb.model_validate(values).reject(TextView(text), language)
    return rejection.reason if rejection else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, None),
        (UNENDED, "unended_lines"),
        ("\n".join(f"It is line {number}." for number in range(10)), "short_lines"),
        (f"{GOOD}\n{LINE.format(0)}", "repeated_lines"),
        ("\n\n\n\n".join(f"Word{n} oneverylongwordthatfillsit{n}." for n in range(9)), "newlines"),
    ],
)
def test_each_rule_fires_alone(text: str, expected: str | None) -> None:
    assert reason(text) == expected


def test_as_in_datatrove() -> None:
    assert reason("hi.\nbye.\nok.\nno.\nyes.") == "short_lines"
    # datatrove: line_punct_ratio, as it looks for the full stop behind the space.
    assert reason("\n".join(f"{LINE.format(number)} " for number in range(2))) is None


def test_other_languages_have_their_own_values() -> None:
    assert reason(UNENDED, "th") is None  # Thai sentences end in no mark
    assert reason(UNENDED, "es") == "unended_lines"
    assert reason(UNENDED, "th", per_language=False) == "unended_lines"
    one_in_twelve = f"{GOOD}\n{LINE.format(11)}\n{LINE.format(0)}"
    assert reason(one_in_twelve, "es") is None
    assert reason(one_in_twelve, "en") == "repeated_lines"
    assert reason(f"{GOOD}\n{GOOD}", "es") == "repeated_lines"
    assert (
        reason("\n".join(f"Es la línea {n}, una de diez de las que hay." for n in range(10)), "es")
        is None
    )


def test_languages_without_an_entry_ignore_ended_lines() -> None:
    assert reason(UNENDED, "la") is None
    assert reason(UNENDED, None) is None
    assert reason(f"{GOOD}\n{GOOD}", "la") == "repeated_lines"
