"""Text that a stage loses, in characters that are not white space."""

import logging

logger = logging.getLogger(__name__)

MAX_UNMENTIONED = 0.01


def warn_of_lost_text(stage: str, what: str, lost: int, characters: int, remedy: str) -> None:
    """Log `remedy` if more than a hundredth of a stage's characters are lost as `what` names."""
    if lost > MAX_UNMENTIONED * characters:
        share = lost / characters
        logger.warning("%s: %.1f%% of the characters are %s; %s", stage, 100 * share, what, remedy)
