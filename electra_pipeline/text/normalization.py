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

# What is removed, one after the other: `re` and Oniguruma read these patterns alike. A zero-width
# space is a word boundary in some scripts, else debris; a joiner is spelling in some scripts and in
# emoji, else debris, and so is a second one.
REMOVED = (
    f"[{INVISIBLE}]",
    f"{ZERO_WIDTH_SPACE}(?<![{WITH_ZERO_WIDTH_SPACE}]{ZERO_WIDTH_SPACE})"
    f"(?![{WITH_ZERO_WIDTH_SPACE}])",
    f"[{JOINERS}](?<![{JOINING}][{JOINERS}])",
)
_REMOVED = tuple(map(re.compile, REMOVED))


def remove_invisible(text: str) -> str:
    """`text` without invisible characters, but for those that its script is spelled with."""
    for pattern in _REMOVED[:1] if text.isascii() else _REMOVED:
        text = pattern.sub("", text)
    return text


def normalize(text: str) -> str:
    """The spelling that corpus and tokenizer share, white space aside."""
    # NFC last, as removing what stood between a letter and its accent lets them compose.
    return unicodedata.normalize("NFC", remove_invisible(text))
