"""What one worker computes in one step: gradients of the global losses, and held-out metrics."""

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

NUM_SUMS = 5  # generator and discriminator loss, right predictions and verdicts, replaced tokens


def compute_dtype(device: torch.device, precision: str) -> torch.dtype:
    """Type of the matrix products; `auto` is bfloat16 on GPUs that have it, else float32."""
    if precision == "auto":
        has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def is_compiled(device: torch.device, choice: bool | None) -> bool:
    """Whether to compile the model's layers: as chosen, else on GPUs alone.

    On a CPU it needs a C++ compiler and a minute, and gains a tenth: worth it in long runs only.
    """
    return device.type == "cuda" if choice is None else choice


@dataclass(frozen=True)
class Step:
    """The objective's numbers and the worker that computes its part of them."""

    worker: Worker
    dtype: torch.dtype
    generator_weight: float
    discriminator_weight: float
    micro_batch_sequences: int | None

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        enabled = self.dtype != torch.float32
        with torch.autocast(self.worker.device.type, dtype=self.dtype, enabled=enabled):
            outputs: dict[str, Tensor] = model(batch)
        return outputs

    def backward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Accumulate gradients of the global mean losses; return this worker's (NUM_SUMS,) sums.

        Sums are divided by the counts of the whole global batch, which every worker knows, and
        multiplied by the number of workers, because DistributedDataParallel averages: unequal
        shares of masked or padded tokens change nothing.
        """
        sums = torch.zeros(NUM_SUMS, dtype=torch.float64, device=self.worker.device)
        parts = list(batch.split(self.micro_batch_sequences))
        for index, part in enumerate(parts):
            # gradients are exchanged once a step, with the last micro-batch
            waits = isinstance(model, DistributedDataParallel) and index < len(parts) - 1
            with model.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                outputs = self.forward(model, part)
                loss = self._loss(
                    outputs["generator_loss_sum"] / batch.num_predictions,
                    outputs["discriminator_loss_sum"] / batch.num_tokens,
                )
                (loss * self.worker.world_size).backward()
            sums += _sums(outputs)
        return sums

    def train_metrics(self, sums: Tensor, batch: Batch) -> dict[str, float]:
        """Metrics of one training batch over all workers; every worker must call it."""
        if self.worker.world_size > 1:
            dist.all_reduce(sums)
        generator, discriminator, predicted, right, replaced = sums.tolist()
        generator /= batch.num_predictions
        discriminator /= batch.num_tokens
        return {
            "loss": self._loss(generator, discriminator),
            "generator_loss": generator,
            "generator_accuracy": predicted / batch.num_predictions,
            "discriminator_loss": discriminator,
            "discriminator_accuracy": right / batch.num_tokens,
            "prior_entropy": prior_entropy(replaced / batch.num_tokens),
        }

    @torch.no_grad()
    def evaluate(self, model: Electra, source: BatchSource, num_rows: int) -> dict[str, float]:
        """Held-out metrics on rank 0, empty on the others; the same rows and noise every time."""
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
            tallies = [one for part in gathered or [] for one in part]
        if not tallies:
            return {}
        return held_out_metrics(tallies, self.generator_weight, self.discriminator_weight)

    def _loss(self, generator: Any, discriminator: Any) -> Any:
        return self.generator_weight * generator + self.discriminator_weight * discriminator


def _sums(outputs: dict[str, Tensor]) -> Tensor:
    """What a log line needs of one forward pass, (NUM_SUMS,) float64, without waiting for it."""
    right = (outputs["discriminator_logits"] > 0) == (outputs["labels"] > 0)
    predicted = (outputs["predicted_ids"] == outputs["original_ids"]) * outputs["weights"]
    return torch.stack(
        [
            outputs["generator_loss_sum"].detach().double(),
            outputs["discriminator_loss_sum"].detach().double(),
            predicted.sum().double(),
            (right & outputs["present"]).sum().double(),
            (outputs["labels"] * outputs["present"]).sum().double(),
        ]
    )
