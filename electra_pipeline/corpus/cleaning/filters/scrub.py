"""Personal data replaced by what is nobody's, as FineWeb does for e-mail and IP addresses."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Literal

from electra_pipeline.core.identity import Config
from electra_pipeline.corpus.cleaning.filters.prose import Prose

# No start within a run that is no address, or long runs would cost their length squared. A name has
# up to 64 characters (RFC 5321, 4.5.3.1).
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,}")
RESERVED_DOMAIN = re.compile(r"[@.]example\.(?:com|net|org)$", re.IGNORECASE)  # RFC 2606
# What may stand before is asked after the first digit: searching for a digit is quick.
IPV4 = re.compile(r"[0-9](?<![\w.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\.?\w)")
# All global addresses so far begin with 2 or 3 (RFC 4291, 2.4), so that a::b in a program is none.
IPV6 = re.compile(r"[23](?<![\w:.].)[0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}(?!\.?\w|:)")
# The international form alone: a plus sign, a country's code, groups of digits.
PHONE_NUMBER = re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?!\w)")
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 8, 15  # E.164 has the most; shorter ones are not international

# Reserved for documentation or fiction, so that scrubbed text is left alone: RFC 2606, 5737, 3849,
# and the North American plan's 555-01XX.
SOME_EMAIL = "email@example.com"
SOME_IPV4 = "192.0.2.1"
SOME_IPV6 = "2001:db8::1"
SOME_PHONE_NUMBER = "+1 202 555 0100"


class Scrub(Config):
    """Replace personal data. A version number of four parts reads as an address, as in FineWeb."""

    type: Literal["scrub"] = "scrub"
    emails: bool = True
    """Replace e-mail addresses, except at example.com, .net and .org."""
    public_ips: bool = True
    """Replace IP addresses of the public internet; private and reserved ones stay."""
    phone_numbers: bool = False
    """Replace telephone numbers in the international form: +, 8 to 15 digits."""

    def edit(self, prose: Prose) -> tuple[str, Mapping[str, int]]:
        """The text, and the number of replacements of each kind."""
        text, counts = prose.text, {}
        if self.emails and "@" in text:
            text, counts["emails"] = _replace(EMAIL, _is_personal_email, SOME_EMAIL, text)
        if self.public_ips:
            text, num_v4 = _replace(IPV4, _is_public, SOME_IPV4, text)
            text, num_v6 = _replace(IPV6, _is_public, SOME_IPV6, text)
            counts["public_ips"] = num_v4 + num_v6
        if self.phone_numbers and "+" in text:
            text, counts["phone_numbers"] = _replace(
                PHONE_NUMBER, _is_phone_number, SOME_PHONE_NUMBER, text
            )
        return text, {kind: count for kind, count in counts.items() if count}


def _replace(
    pattern: re.Pattern[str], is_meant: Callable[[str], bool], by: str, text: str
) -> tuple[str, int]:
    count = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal count
        if not is_meant(match[0]):
            return match[0]
        count += 1
        return by

    return pattern.sub(replacement, text), count


def _is_personal_email(found: str) -> bool:
    return not RESERVED_DOMAIN.search(found)


def _is_public(found: str) -> bool:
    try:
        return ipaddress.ip_address(found).is_global
    except ValueError:
        return False


def _is_phone_number(found: str) -> bool:
    num_digits = sum(map(str.isdigit, found))
    return MIN_PHONE_DIGITS <= num_digits <= MAX_PHONE_DIGITS and found != SOME_PHONE_NUMBER
