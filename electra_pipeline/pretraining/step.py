"""One step of one worker: gradients of the global losses, training metrics, evaluation."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from electra_pipeline.core.execution import Worker
from electra_pipeline.pretraining.batches import Batch, BatchSource
from electra_pipeline.pretraining.metrics import Tally, held_out_metrics, prior_entropy, tally
from electra_pipeline.pretraining.model import Electra

# Loss sums of generator and discriminator, correct predictions of each, replaced tokens.
NUM_SUMS = 5


def compute_dtype(device: torch.device, precision: str) -> torch.dtype:
    """Return the type of matrix products; `auto` is bfloat16 on GPUs with support, else float32."""
    if precision == "auto":
        has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def is_compiled(device: torch.device, choice: bool | None) -> bool:
    """Return whether to compile the model's layers; without a choice, on GPUs only.

    On a CPU, compiling needs a C++ compiler and a minute, and gains a tenth: useful for long runs.
    """
    return device.type == "cuda" if choice is None else choice


@dataclass(frozen=True)
class Step:
    """Computes a worker's part of a global batch."""

    worker: Worker
    dtype: torch.dtype
    generator_weight: float
    discriminator_weight: float
    micro_batch_sequences: int | None

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs of `Electra.forward`, with matrix products in `dtype`."""
        enabled = self.dtype != torch.float32
        with torch.autocast(self.worker.device.type, dtype=self.dtype, enabled=enabled):
            outputs: dict[str, Tensor] = model(batch)
        return outputs

    def backward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Accumulate gradients of the global mean losses; return this worker's (NUM_SUMS,) sums.

        Loss sums are divided by the token counts of the global batch, which every worker has, and
        multiplied by the number of workers, because DistributedDataParallel averages. So the result
        does not depend on how masked and padded tokens are distributed over workers.
        """
        sums = torch.zeros(NUM_SUMS, dtype=torch.float64, device=self.worker.device)
        micro_batches = list(batch.split(self.micro_batch_sequences))
        for index, micro_batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            # workers exchange gradients once a step, with the last micro-batch
            no_sync = isinstance(model, DistributedDataParallel) and not is_last
            with model.no_sync() if no_sync else contextlib.nullcontext():  # type: ignore[operator]
                outputs = self.forward(model, micro_batch)
                loss = self._loss(
                    outputs["generator_loss_sum"] / batch.num_predictions,
                    outputs["discriminator_loss_sum"] / batch.num_tokens,
                )
                (loss * self.worker.world_size).backward()
            sums += _sums(outputs)
        return sums

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
        """Return held-out metrics on rank 0, none on others; rows and noise are always the same."""
        model.eval()
        tallies: list[Tally] = []
        for index in range(math.ceil(num_rows / source.batch_sequences)):
            batch = source.held_out_batch(index, num_rows).to(self.worker.device)
            if len(batch):
                tallies.append(tally(self.forward(model, batch)))
        model.train()
        if self.worker.world_size > 1:
            is_first = self.worker.rank == 0
            gathered: list[Any] | None = [None] * self.worker.world_size if is_first else None
            dist.gather_object(tallies, gathered)
            tallies = [each for of_worker in gathered or [] for each in of_worker]
        if not tallies:
            return {}
        return held_out_metrics(tallies, self.generator_weight, self.discriminator_weight)

    def _loss(self, generator: Any, discriminator: Any) -> Any:
        return self.generator_weight * generator + self.discriminator_weight * discriminator


def _sums(outputs: dict[str, Tensor]) -> Tensor:
    """Return the sums for a log line, (NUM_SUMS,) float64, without waiting for the device."""
    detected = (outputs["discriminator_logits"] > 0) == (outputs["labels"] > 0)
    predicted = (outputs["predicted_ids"] == outputs["original_ids"]) * outputs["weights"]
    return torch.stack(
        [
            outputs["generator_loss_sum"].detach().double(),
            outputs["discriminator_loss_sum"].detach().double(),
            predicted.sum().double(),
            (detected & outputs["present"]).sum().double(),
            (outputs["labels"] * outputs["present"]).sum().double(),
        ]
    )
