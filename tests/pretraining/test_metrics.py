import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from electra_pipeline.pretraining.step import Tally, held_out_metrics, prior_entropy


def part(seed: int, num_tokens: int) -> Tally:
    rng = np.random.default_rng(seed)
    labels = rng.random(num_tokens) < 0.2
    scores = (rng.normal(size=num_tokens) + labels).astype(np.float32)
    return Tally(num_tokens * 1.5, num_tokens * 0.3, num_tokens // 5, 7, 5, scores, labels)


def test_metrics_equal_sklearn_over_all_parts_together() -> None:
    parts = [part(0, 500), part(1, 90)]
    labels = np.concatenate([p.labels for p in parts])
    scores = np.concatenate([p.scores for p in parts])
    got = held_out_metrics(parts, 1.0, 50.0)
    assert got["discriminator_auc"] == roc_auc_score(labels, scores)
    assert got["discriminator_precision"] == precision_score(labels, scores > 0)
    assert got["discriminator_recall"] == recall_score(labels, scores > 0)
    assert got["base_rate_accuracy"] == pytest.approx(1 - labels.mean())
    assert got["generator_loss"] == pytest.approx(590 * 1.5 / 118)
    assert got["generator_accuracy"] == pytest.approx(14 / 118)
    assert got["loss"] == pytest.approx(got["generator_loss"] + 50 * got["discriminator_loss"])


def test_prior_entropy() -> None:
    assert prior_entropy(0.138) == pytest.approx(entropy([0.138, 0.862]))
    assert prior_entropy(0.0) == 0.0
    assert prior_entropy(0.5) == pytest.approx(math.log(2))


def test_no_auc_without_both_kinds_of_token() -> None:
    alone = Tally(1.0, 1.0, 1, 0, 0, np.ones(4, np.float32), np.zeros(4, bool))
    assert "discriminator_auc" not in held_out_metrics([alone], 1.0, 50.0)
