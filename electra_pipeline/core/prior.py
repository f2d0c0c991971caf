"""Whether a discriminator learnt from the text, or only how many tokens are replaced."""

from collections.abc import Mapping

LEARNT_AUC = 0.55  # below it is no better than chance (0.5) for any use
# Of the prior's loss. By chance alone a loss lies about as far from it on 60,000 tokens, which are
# 1,024 held-out sequences of 64: a token's loss has a standard deviation near twice its mean.
LEARNT_MARGIN = 0.01


def only_the_prior(held_out: Mapping[str, float]) -> str | None:
    """One sentence, with the numbers, if held-out metrics show a discriminator of no use yet.

    It is of no use if its loss is not `LEARNT_MARGIN` better than that of a guess that knows only
    the share of replaced tokens, or its AUC not above `LEARNT_AUC`. None where it has learnt more,
    or where nothing was measured.
    """
    loss, prior = held_out.get("discriminator_loss"), held_out.get("prior_entropy")
    auc = held_out.get("discriminator_auc")
    if loss is None or prior is None or auc is None:
        return None
    if loss <= prior * (1 - LEARNT_MARGIN) and auc > LEARNT_AUC:
        return None
    return (
        f"the discriminator has only learnt the prior: its held-out loss is {loss:.4f}, a guess "
        f"that knows only how often tokens are replaced gets {prior:.4f}; its AUC is {auc:.3f}, "
        "chance is 0.5"
    )
