"""Metrics of a generator and a discriminator on held-out text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score


@dataclass(frozen=True)
class Tally:
    """Sums and scores of one evaluation batch of one worker, from which metrics are computed."""

    generator_loss_sum: float
    discriminator_loss_sum: float
    num_predictions: int
    num_predicted: int
    """Masked slots where the generator's most likely token is the original."""
    num_sampled: int
    """Masked slots where the generator's sampled token is the original."""
    scores: np.ndarray
    """(tokens,) float32, logits of the discriminator at non-padding tokens."""
    labels: np.ndarray
    """(tokens,) bool, true where the token is replaced."""


def tally(outputs: dict[str, torch.Tensor]) -> Tally:
    """Reduce the outputs of `model.Electra` for one batch to a `Tally`."""
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
    """Return the cross-entropy in nats of always predicting the rate of replaced tokens."""
    if rate in (0.0, 1.0):
        return 0.0
    return -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))


def held_out_metrics(
    tallies: Sequence[Tally], generator_weight: float, discriminator_weight: float
) -> dict[str, float]:
    """Return metrics over all tallies together; non-padding tokens only.

    `base_rate_accuracy` is the accuracy of predicting "original" for all tokens, `prior_entropy`
    the loss of always predicting the rate of replaced tokens: a discriminator no better than both
    has learnt nothing yet. AUC is left out if all tokens have the same label.
    """
    labels = np.concatenate([part.labels for part in tallies])
    scores = np.concatenate([part.scores for part in tallies])
    num_predictions = sum(part.num_predictions for part in tallies)
    predicted = scores > 0  # a logit of 0 is a probability of one half
    hits = int((predicted & labels).sum())
    generator_loss = sum(part.generator_loss_sum for part in tallies) / num_predictions
    discriminator_loss = sum(part.discriminator_loss_sum for part in tallies) / len(labels)
    rate = float(labels.mean())
    metrics = {
        "loss": generator_weight * generator_loss + discriminator_weight * discriminator_loss,
        "generator_loss": generator_loss,
        "generator_accuracy": sum(part.num_predicted for part in tallies) / num_predictions,
        "sampled_accuracy": sum(part.num_sampled for part in tallies) / num_predictions,
        "discriminator_loss": discriminator_loss,
        "discriminator_accuracy": float((predicted == labels).mean()),
        "discriminator_precision": hits / max(1, int(predicted.sum())),
        "discriminator_recall": hits / max(1, int(labels.sum())),
        "base_rate_accuracy": 1.0 - rate,
        "prior_entropy": prior_entropy(rate),
    }
    if 0.0 < rate < 1.0:
        metrics["discriminator_auc"] = float(roc_auc_score(labels, scores))
    return metrics
