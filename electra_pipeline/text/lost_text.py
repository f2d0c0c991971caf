"""Warn if a stage loses a notable part of its text."""

import logging

logger = logging.getLogger(__name__)

MAX_LOST_FRACTION = 0.01  # above it, a warning is logged


def warn_of_lost_text(stage: str, reason: str, lost: int, characters: int, remedy: str) -> None:
    """Log a warning if more than 1 % of a stage's characters (without white space) are lost."""
    if lost > MAX_LOST_FRACTION * characters:
        percent = 100 * lost / characters
        logger.warning("%s: %.1f%% of the characters are %s; %s", stage, percent, reason, remedy)
