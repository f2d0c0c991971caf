"""One spelling for texts that read alike: Unicode's NFC, without characters that nobody sees."""

import re
import unicodedata

from electra_pipeline.text.characters import (
    INVISIBLE,
    JOINERS,
    JOINING,
    WITH_ZERO_WIDTH_SPACE,
    ZERO_WIDTH_SPACE,
)

# `re` and Oniguruma read these patterns alike. A zero-width space is a word boundary in some
# scripts, else debris; a joiner is spelling in some scripts and in emoji, else debris, and so is a
# second one.
ALWAYS_REMOVED = f"[{INVISIBLE}]"
STRAY = (
    f"{ZERO_WIDTH_SPACE}(?<![{WITH_ZERO_WIDTH_SPACE}]{ZERO_WIDTH_SPACE})"
    f"(?![{WITH_ZERO_WIDTH_SPACE}])"
    f"|[{JOINERS}](?<![{JOINING}][{JOINERS}])"
)
_ALWAYS_REMOVED, _STRAY = re.compile(ALWAYS_REMOVED), re.compile(STRAY)


def normalize(text: str) -> str:
    """The spelling that corpus and tokenizer share, white space aside."""
    text = _ALWAYS_REMOVED.sub("", text)
    if text.isascii():
        return text
    # NFC comes first, as it orders marks, and last, as letter and accent may have met.
    text = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", _STRAY.sub("", text))
