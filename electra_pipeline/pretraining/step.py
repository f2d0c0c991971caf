"""One step of one worker: gradients of the global losses, training metrics, evaluation."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.core.precision import matrix_dtype
from electra_pipeline.pretraining.batches import Batch, BatchSource
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.kernels import is_compiled
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.row_threads import RowThreads

# Loss sums of generator and discriminator, correct predictions of each, replaced tokens.
NUM_SUMS = 5


@dataclass(frozen=True)
class Step:
    """Computes a worker's part of a global batch."""

    worker: Worker
    config: PretrainConfig
    scale: Scale

    @cached_property
    def dtype(self) -> torch.dtype:
        """Type of matrix products."""
        return matrix_dtype(self.scale.precision, self.worker.device)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs of `Electra.forward`, with matrix products in `dtype`."""
        outputs: dict[str, Tensor] = model(batch, self.dtype)
        return outputs

    def backward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Accumulate gradients of the global mean losses; return this worker's (NUM_SUMS,) sums.

        Loss sums are divided by the token counts of the global batch, which every worker has, and
        multiplied by the number of workers, because DistributedDataParallel averages. So the result
        does not depend on how masked and padded tokens are distributed over workers.
        """
        most_rows = self.scale.micro_batch_sequences
        if self._row_threads is not None:
            assert isinstance(model, Electra)
            return self._row_threads.backward(
                model,
                batch,
                most_rows,
                self.dtype,
                lambda out: (self._mean_loss(out, batch), _sums(out)),
            )
        sums = torch.zeros(NUM_SUMS, dtype=torch.float64, device=self.worker.device)
        micro_batches = list(batch.split(most_rows))
        for index, micro_batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            # Whole models exchange gradients once a step, with the last micro-batch; sharded ones
            # in each, because no worker has memory for all gradients.
            no_sync = isinstance(model, DistributedDataParallel) and not is_last
            with model.no_sync() if no_sync else contextlib.nullcontext():  # type: ignore[operator]
                outputs = self.forward(model, micro_batch)
                loss = self._mean_loss(outputs, batch) * self.worker.world_size
                loss.backward()  # type: ignore[no-untyped-call]
            sums += _sums(outputs)
        return sums

    @cached_property
    def _row_threads(self) -> RowThreads | None:
        """Threads of a CPU worker that trains alone; compiled layers are called from one thread."""
        worker = self.worker
        if worker.device.type != "cpu" or worker.world_size > 1:
            return None
        return None if is_compiled(worker.device, self.scale) else RowThreads(worker.num_threads)

    def _mean_loss(self, outputs: dict[str, Tensor], batch: Batch) -> Tensor:
        """Return the part of the global batch's loss that `outputs` contribute."""
        loss: Tensor = self._loss(
            outputs["generator_loss_sum"] / batch.num_predictions,
            outputs["discriminator_loss_sum"] / batch.num_tokens,
        )
        return loss

    def train_metrics(self, sums: Tensor, batch: Batch) -> dict[str, float]:
        """Return the metrics of a training batch over all workers; every worker must call it."""
        if self.worker.world_size > 1:
            dist.all_reduce(sums)
        generator, discriminator, predicted, detected, replaced = sums.tolist()
        generator /= batch.num_predictions
        discriminator /= batch.num_tokens
        return {
            "loss": self._loss(generator, discriminator),
            "generator_loss": generator,
            "generator_accuracy": predicted / batch.num_predictions,
            "discriminator_loss": discriminator,
            "discriminator_accuracy": detected / batch.num_tokens,
            "prior_entropy": prior_entropy(replaced / batch.num_tokens),
        }

    @torch.no_grad()
    def evaluate(self, model: Electra, source: BatchSource, num_rows: int) -> dict[str, float]:
        """Return held-out metrics, the same on all workers; rows and noise never change."""
        model.eval()
        tallies: list[Tally] = []
        for index in range(math.ceil(num_rows / source.batch_sequences)):
            batch = source.held_out_batch(index, num_rows).to(self.worker.device)
            tallies.append(tally(self.forward(model, batch)))
        model.train()
        if self.worker.world_size > 1:
            of_workers: list[Any] = [None] * self.worker.world_size
            dist.all_gather_object(of_workers, tallies)
            tallies = [each for of_worker in of_workers for each in of_worker]
        if not tallies:
            return {}
        return held_out_metrics(
            tallies, self.config.generator_weight, self.config.discriminator_weight
        )

    def _loss(self, generator: Any, discriminator: Any) -> Any:
        config = self.config
        return config.generator_weight * generator + config.discriminator_weight * discriminator


def _sums(outputs: dict[str, Tensor]) -> Tensor:
    """Return the sums for a log line, (NUM_SUMS,) float64, without waiting for the device."""
    detected = (outputs["discriminator_logits"] > 0) == (outputs["labels"] > 0)
    predicted = outputs["predicted"] * outputs["weights"]
    return torch.stack(
        [
            outputs["generator_loss_sum"].detach().double(),
            outputs["discriminator_loss_sum"].detach().double(),
            predicted.sum().double(),
            (detected & outputs["present"]).sum().double(),
            (outputs["labels"] * outputs["present"]).sum().double(),
        ]
    )


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
        num_predicted=int((outputs["predicted"] & used).sum()),
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
        from sklearn.metrics import roc_auc_score  # takes half a second, and only workers need it

        metrics["discriminator_auc"] = float(roc_auc_score(labels, scores))
    return metrics
