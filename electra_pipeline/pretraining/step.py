"""One step of one worker: gradients of the global losses, training metrics, evaluation."""

import contextlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from electra_pipeline.pretraining.weights import detached, tensors

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
        if self._has_own_rows:
            assert isinstance(model, Electra)
            return self._backward_in_threads(model, batch)
        sums = torch.zeros(NUM_SUMS, dtype=torch.float64, device=self.worker.device)
        micro_batches = list(batch.split(self.scale.micro_batch_sequences))
        for index, micro_batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            # Whole models exchange gradients once a step, with the last micro-batch; sharded ones
            # in each, because no worker has memory for all gradients.
            no_sync = isinstance(model, DistributedDataParallel) and not is_last
            with model.no_sync() if no_sync else contextlib.nullcontext():  # type: ignore[operator]
                outputs = self.forward(model, micro_batch)
                (self._mean_loss(outputs, batch) * self.worker.world_size).backward()  # type: ignore[no-untyped-call]
            sums += _sums(outputs)
        return sums

    @property
    def _has_own_rows(self) -> bool:
        """Whether each thread computes rows of its own, and not a part of each operation."""
        worker = self.worker
        return (
            worker.device.type == "cpu"
            and worker.world_size == 1
            and not is_compiled(worker.device, self.scale)
        )

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self.worker.num_threads,
            thread_name_prefix="rows",
            initializer=torch.set_num_threads,
            initargs=(1,),
        )

    def _backward_in_threads(self, model: Electra, batch: Batch) -> Tensor:
        """Do the same as `backward` on a CPU: each thread computes a part of the rows.

        Most operations are too short to be divided: on two cores ELECTRA-Small gains 1.4 times from
        threads in each operation, 1.6 to 1.8 times from threads with rows of their own. The parts
        are always the same and added up in the same order. All threads use the same converted
        weights, whose gradients are passed on to the parameters together.
        """
        num_threads = self.worker.num_threads
        size = math.ceil(len(batch) / num_threads)
        parts = list(batch.split(min(size, self.scale.micro_batch_sequences or size)))
        converted = model.weights(self.dtype)
        weights = detached(converted)
        leaves = tensors(weights)
        # two parts are added in the type of the products; more could vanish in a sum in bfloat16
        gradient_dtype = None if len(parts) <= 2 else torch.float32

        def compute(thread: int) -> tuple[list[Tensor], Tensor]:
            gradients: list[Tensor] = []
            sums = torch.zeros(NUM_SUMS, dtype=torch.float64)
            for part in parts[thread::num_threads]:
                outputs = model(part, self.dtype, weights)
                found = torch.autograd.grad(self._mean_loss(outputs, batch), leaves)
                gradients = added(gradients, found, gradient_dtype)
                sums += _sums(outputs)
            return gradients, sums

        computed = list(self._threads.map(compute, range(min(num_threads, len(parts)))))
        torch.set_num_threads(num_threads)  # new threads lower it for the process
        total, sums = computed[0]
        for gradients, others in computed[1:]:
            total = added(total, gradients, gradient_dtype)
            sums += others
        pass_on(tensors(converted), total)
        return sums

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


def added(
    total: list[Tensor], gradients: Sequence[Tensor], dtype: torch.dtype | None
) -> list[Tensor]:
    """Return the sums of two lists of gradients, dense or sparse; the first may be empty.

    dtype: of dense sums, or None for the gradients' own.
    """
    if not total:
        return [each if each.is_sparse else each.to(dtype or each.dtype) for each in gradients]
    for index, each in enumerate(gradients):
        total[index] = total[index] + each if each.is_sparse else total[index].add_(each)
    return total


def pass_on(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Accumulate the gradients of converted weights in the parameters; tables may have sparse ones.

    gradients: as from `added`.
    """
    pairs = list(zip(weights, gradients, strict=True))
    dense = [(weight, each) for weight, each in pairs if not each.is_sparse]
    torch.autograd.backward(
        [weight for weight, _ in dense], [each.to(weight.dtype) for weight, each in dense]
    )
    for weight, each in pairs:
        if each.is_sparse:
            weight.grad = each.to_dense() if weight.grad is None else weight.grad.add_(each)


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
