"""The filter `scrub`: replace personal data, as FineWeb does for e-mail and IP addresses."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Literal

from electra_pipeline.corpus.cleaning.filters.filter import Filter
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

# A match cannot start within a run of these characters, or long runs would take time quadratic in
# their length. The local part has up to 64 characters (RFC 5321, 4.5.3.1).
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,}")
RESERVED_DOMAIN = re.compile(r"[@.]example\.(?:com|net|org)$", re.IGNORECASE)  # RFC 2606
# The lookbehind follows the first digit, as searching for a digit is fast.
IPV4 = re.compile(r"[0-9](?<![\w.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\.?\w)")
# All global addresses so far begin with 2 or 3 (RFC 4291, 2.4); a::b in a program does not match.
IPV6 = re.compile(r"[23](?<![\w:.].)[0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}(?!\.?\w|:)")
# Parts of these addresses that most texts lack, and that are found faster.
IN_IPV4, IN_IPV6 = re.compile(r"\.[0-9]{1,3}\.[0-9]"), re.compile(":[0-9a-fA-F:]{2}")
# The international form only: a plus sign, a country code, groups of digits.
PHONE_NUMBER = re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?!\w)")
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 8, 15  # E.164 has the most; shorter ones are not international

# Reserved for documentation or fiction, so that scrubbed text does not change again: RFC 2606,
# 5737, 3849 and the North American plan's 555-01XX.
EXAMPLE_EMAIL = "email@example.com"
EXAMPLE_IPV4 = "192.0.2.1"
EXAMPLE_IPV6 = "2001:db8::1"
EXAMPLE_PHONE_NUMBER = "+1 202 555 0100"


class Scrub(Filter):
    """Replace personal data. A version number of four parts counts as an address, as in FineWeb."""

    type: Literal["scrub"] = "scrub"
    emails: bool = True
    """Replace e-mail addresses, except at example.com, .net and .org."""
    public_ips: bool = True
    """Replace IP addresses of the public internet; private and reserved ones stay."""
    phone_numbers: bool = False
    """Replace telephone numbers in the international form: +, 8 to 15 digits."""

    def edit(self, view: TextView) -> tuple[str, Mapping[str, int]]:
        """Return the text and the number of replacements of each kind."""
        text, counts = view.text, {}
        if self.emails and "@" in text:
            text, counts["emails"] = _replace(EMAIL, _is_personal_email, EXAMPLE_EMAIL, text)
        if self.public_ips:
            num_v4 = num_v6 = 0
            if IN_IPV4.search(text):
                text, num_v4 = _replace(IPV4, _is_public, EXAMPLE_IPV4, text)
            if IN_IPV6.search(text):
                text, num_v6 = _replace(IPV6, _is_public, EXAMPLE_IPV6, text)
            counts["public_ips"] = num_v4 + num_v6
        if self.phone_numbers and "+" in text:
            text, counts["phone_numbers"] = _replace(
                PHONE_NUMBER, _is_phone_number, EXAMPLE_PHONE_NUMBER, text
            )
        return text, {kind: count for kind, count in counts.items() if count}


def _replace(
    pattern: re.Pattern[str], matches: Callable[[str], bool], replacement: str, text: str
) -> tuple[str, int]:
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        if not matches(match[0]):
            return match[0]
        count += 1
        return replacement

    return pattern.sub(replace, text), count


def _is_personal_email(found: str) -> bool:
    return not RESERVED_DOMAIN.search(found)


def _is_public(found: str) -> bool:
    try:
        return ipaddress.ip_address(found).is_global
    except ValueError:
        return False


def _is_phone_number(found: str) -> bool:
    num_digits = sum(map(str.isdigit, found))
    return MIN_PHONE_DIGITS <= num_digits <= MAX_PHONE_DIGITS and found != EXAMPLE_PHONE_NUMBER
