"""What the held-out text says about a generator and a discriminator."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score


@dataclass(frozen=True)
class Tally:
    """Raw material of the metrics from some batches of one worker."""

    generator_loss_sum: float
    discriminator_loss_sum: float
    num_predictions: int
    num_predicted: int
    """Masked slots where the generator's best guess was the original."""
    num_sampled: int
    """Masked slots where the generator's sample was the original."""
    scores: np.ndarray
    """(tokens,) float32, the discriminator's logit of every non-padding token."""
    labels: np.ndarray
    """(tokens,) bool, true where the token was replaced."""


def tally(outputs: dict[str, torch.Tensor]) -> Tally:
    """Reduce one forward pass of `model.Electra` to what the metrics need."""
    used = outputs["weights"] > 0
    present = outputs["present"]
    original = outputs["original_ids"]
    return Tally(
        generator_loss_sum=outputs["generator_loss_sum"].item(),
        discriminator_loss_sum=outputs["discriminator_loss_sum"].item(),
        num_predictions=int(used.sum()),
        num_predicted=int(((outputs["predicted_ids"] == original) & used).sum()),
        num_sampled=int(((outputs["sampled_ids"] == original) & used).sum()),
        scores=outputs["discriminator_logits"][present].float().cpu().numpy(),
        labels=outputs["labels"][present].bool().cpu().numpy(),
    )


def prior_entropy(rate: float) -> float:
    """Cross-entropy in nats of a guess that knows only the rate of replaced tokens."""
    if rate in (0.0, 1.0):
        return 0.0
    return -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))


def held_out_metrics(
    tallies: Sequence[Tally], generator_weight: float, discriminator_weight: float
) -> dict[str, float]:
    """Metrics over all tallies together; non-padding tokens only.

    `base_rate_accuracy` is what the guess "all original" gets and `prior_entropy` the loss of a
    guess that knows the rate alone: a discriminator no better than both has learnt nothing yet.
    AUC is left out while only one kind of token is there.
    """
    labels = np.concatenate([part.labels for part in tallies])
    scores = np.concatenate([part.scores for part in tallies])
    num_predictions = sum(part.num_predictions for part in tallies)
    guesses = scores > 0  # a logit of 0 is a probability of one half
    hits = int((guesses & labels).sum())
    generator_loss = sum(part.generator_loss_sum for part in tallies) / num_predictions
    discriminator_loss = sum(part.discriminator_loss_sum for part in tallies) / len(labels)
    rate = float(labels.mean())
    metrics = {
        "loss": generator_weight * generator_loss + discriminator_weight * discriminator_loss,
        "generator_loss": generator_loss,
        "generator_accuracy": sum(part.num_predicted for part in tallies) / num_predictions,
        "sampled_accuracy": sum(part.num_sampled for part in tallies) / num_predictions,
        "discriminator_loss": discriminator_loss,
        "discriminator_accuracy": float((guesses == labels).mean()),
        "discriminator_precision": hits / max(1, int(guesses.sum())),
        "discriminator_recall": hits / max(1, int(labels.sum())),
        "base_rate_accuracy": 1.0 - rate,
        "prior_entropy": prior_entropy(rate),
    }
    if 0.0 < rate < 1.0:
        metrics["discriminator_auc"] = float(roc_auc_score(labels, scores))
    return metrics
