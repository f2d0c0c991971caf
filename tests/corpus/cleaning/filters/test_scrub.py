import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.filters.scrub import Scrub
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

ALL = Scrub(phone_numbers=True)


@pytest.mark.parametrize(
    ("text", "scrubbed", "edits"),
    [
        ("Write to a.b@c.com.", "Write to email@example.com.", {"emails": 1}),
        ("<j+x@sub.host.org>, n@x.de", "<email@example.com>, email@example.com", {"emails": 2}),
        ("The host 8.8.8.8.", "The host 192.0.2.1.", {"public_ips": 1}),
        ("At 2606:4700:4700::1111, too", "At 2001:db8::1, too", {"public_ips": 1}),
        ("Call +49 (30) 1234567 now", "Call +1 202 555 0100 now", {"phone_numbers": 1}),
        ("Call +442079460958.", "Call +1 202 555 0100.", {"phone_numbers": 1}),
    ],
)
def test_personal_data_is_replaced(text: str, scrubbed: str, edits: dict[str, int]) -> None:
    assert ALL.edit(TextView(text)) == (scrubbed, edits)
    assert ALL.edit(TextView(scrubbed)) == (scrubbed, {})


@pytest.mark.parametrize(
    "text",
    [
        "192.168.0.1, 10.0.0.1, 127.0.0.1 and fe80::1 are private",
        "someone@example.com, me@mail.example.org",
        "user@localhost and @mention and a @ b",
        "1.2.3 and 1.2.3.4.5 and 999.1.1.1 and x1.2.3.4",
        "std::vector, 12:30:45, a::b, 2001:db8::5",
        "+1 202 555 0100 and 2 + 3 and +5 and +12 34 and a+123456789",
        "+1234567890123456 has 16 digits",
    ],
)
def test_reserved_addresses_are_kept(text: str) -> None:
    assert ALL.edit(TextView(text)) == (text, {})


def test_each_kind_is_a_choice() -> None:
    text = "a@b.com 8.8.8.8 +442079460958"
    assert Scrub(emails=False, public_ips=False).edit(TextView(text)) == (text, {})
    assert Scrub().edit(TextView(text)) == (
        "email@example.com 192.0.2.1 +442079460958",
        {"emails": 1, "public_ips": 1},
    )


PARTS = ["a@b.com", "8.8.8.8", "2606:4700::1", "+44", "2079460958", " ", ".", ":", "(1)", "-", "@"]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    once, _ = ALL.edit(TextView(text))
    assert ALL.edit(TextView(once))[0] == once


def test_long_runs_take_linear_time() -> None:
    text = "a" * 300_000 + "@ " + "1" * 300_000 + " " + "2001:" * 60_000  # squared: hours
    assert Scrub().edit(TextView(text)) == (text, {})
