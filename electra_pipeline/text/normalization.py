"""Normalize text: Unicode NFC, without invisible characters."""

import re
import unicodedata

from electra_pipeline.text.characters import (
    INVISIBLE,
    JOINERS,
    JOINING,
    WITH_ZERO_WIDTH_SPACE,
    ZERO_WIDTH_SPACE,
)

# `re` and Oniguruma interpret these patterns alike. A zero-width space is a word boundary in some
# scripts, and a joiner is part of the spelling in some scripts and in emoji; elsewhere both are
# removed, and so is a second joiner.
ALWAYS_REMOVED = f"[{INVISIBLE}]"
STRAY = (
    f"{ZERO_WIDTH_SPACE}(?<![{WITH_ZERO_WIDTH_SPACE}]{ZERO_WIDTH_SPACE})"
    f"(?![{WITH_ZERO_WIDTH_SPACE}])"
    f"|[{JOINERS}](?<![{JOINING}][{JOINERS}])"
)
MAYBE_STRAY = ZERO_WIDTH_SPACE + JOINERS
_ALWAYS_REMOVED, _STRAY = re.compile(ALWAYS_REMOVED), re.compile(STRAY)


def normalize(text: str) -> str:
    """Return the text as corpus and tokenizer spell it; white space is unchanged."""
    text = _ALWAYS_REMOVED.sub("", text)
    if text.isascii():
        return text
    # First NFC orders the marks; again, since removing may bring a letter and its accent together.
    text = unicodedata.normalize("NFC", text)
    if not any(character in text for character in MAYBE_STRAY):
        return text
    return unicodedata.normalize("NFC", _STRAY.sub("", text))
