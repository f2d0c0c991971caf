"""Compare a discriminator with a constant predictor of the replacement rate."""

from collections.abc import Mapping

MIN_AUC = 0.55  # below it a discriminator is of no more use than chance (0.5)
# Minimum relative improvement over the baseline's loss. By chance alone a loss differs from it by
# about this much on 60,000 tokens, which are 1,024 held-out sequences of 64: the standard deviation
# of a token's loss is near twice its mean.
MIN_IMPROVEMENT = 0.01


def no_better_than_prior(held_out: Mapping[str, float]) -> str | None:
    """Return one sentence, with the numbers, if a discriminator is not better than the baseline.

    That is the case if its held-out loss is not `MIN_IMPROVEMENT` below the entropy of the
    replacement rate (the best loss of a constant prediction), or its AUC is not above `MIN_AUC`.
    Returns None if it is better, or if these metrics were not measured.
    """
    loss, prior = held_out.get("discriminator_loss"), held_out.get("prior_entropy")
    auc = held_out.get("discriminator_auc")
    if loss is None or prior is None or auc is None:
        return None
    if loss <= prior * (1 - MIN_IMPROVEMENT) and auc > MIN_AUC:
        return None
    return (
        f"the discriminator has only learnt the prior: its held-out loss is {loss:.4f}, predicting "
        f"the same replacement rate for every token gives {prior:.4f}; its AUC is {auc:.3f}, "
        "chance is 0.5"
    )
