"""The fine-tuning loop: one model, one set of features, one seed."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from electra_pipeline.evaluation.problems.problem import (
    Feature,
    Problem,
    collate,
    scoring_batches,
    training_batches,
)
from electra_pipeline.identity import Config
from electra_pipeline.optim import (
    Adam,
    Schedule,
    clip_gradients,
    layerwise_groups,
    learning_rate,
)


class Hyperparameters(Config):
    """All that shapes one fine-tuning, resolved: no value depends on anything else."""

    learning_rate: float = Field(gt=0)
    """Peak of the schedule, before the layer's factor."""
    layer_decay: float = Field(gt=0, le=1)
    """Factor of the learning rate from each layer to the one below."""
    layer_extra_exponent: int = Field(ge=0)
    """Additional power of layer_decay on everything but the head."""
    weight_decay: float = Field(ge=0)
    warmup_fraction: float = Field(ge=0, le=1)
    batch_examples: int = Field(ge=1)
    epochs: float = Field(gt=0)
    max_length: int = Field(ge=16)
    loss_reduction: Literal["sum", "mean"]
    adam_bias_correction: bool
    max_gradient_norm: float = Field(gt=0)
    schedule: Schedule = "linear"
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    adam_epsilon: float = Field(default=1e-6, gt=0)

    def num_steps(self, num_features: int) -> int:
        """Optimizer steps for so many features; the last batch of an epoch may be smaller."""
        return max(1, round(self.epochs * math.ceil(num_features / self.batch_examples)))


@contextlib.contextmanager
def reproducible(seed: int, num_threads: int) -> Iterator[None]:
    """Seed torch, alone in using global random state here, and fix its threads; undone after.

    On a CPU the same seed and number of threads give the same bits; on a GPU, sums of gradients may
    differ in their last bits.
    """
    threads = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(num_threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def train(
    model: Any,
    problem: Problem[Any, Any],
    features: Sequence[Feature],
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    report: Callable[[int, int, float], None],
) -> dict[str, float]:
    """Train `model` in place on its device; return what happened: steps, examples, last loss.

    `report` is told step, steps and the mean loss of the batch. Raises ValueError when the loss is
    not a finite number any more.
    """
    device = next(model.parameters()).device
    optimizer = Adam(
        layerwise_groups(
            model,
            weight_decay=hyperparameters.weight_decay,
            layer_decay=hyperparameters.layer_decay,
            extra_exponent=hyperparameters.layer_extra_exponent,
        ),
        beta1=hyperparameters.adam_beta1,
        beta2=hyperparameters.adam_beta2,
        epsilon=hyperparameters.adam_epsilon,
        bias_correction=hyperparameters.adam_bias_correction,
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    num_steps = hyperparameters.num_steps(len(features))
    warmup_steps = int(num_steps * hyperparameters.warmup_fraction)
    pad_id = model.config.pad_token_id
    batches = _endless(features, hyperparameters.batch_examples, seed)
    mean_loss = math.nan
    num_examples = 0
    model.train()
    for step in range(num_steps):
        chosen = [features[position] for position in next(batches)]
        inputs, targets = collate(chosen, pad_id)
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        with _autocast(device):
            logits = problem.logits(model(**inputs))
        total, count = problem.loss(logits.float(), targets.to(device))
        mean_loss = float(total.detach() / count)
        if not math.isfinite(mean_loss):
            raise ValueError(
                f"the loss is {mean_loss} at step {step} of {num_steps}; lower "
                "finetune.learning_rate, or look for broken weights in the model"
            )
        loss = total if hyperparameters.loss_reduction == "sum" else total / count
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(parameters, hyperparameters.max_gradient_norm)
        optimizer.set_learning_rate(
            learning_rate(
                step,
                hyperparameters.learning_rate,
                num_steps,
                warmup_steps,
                hyperparameters.schedule,
            )
        )
        optimizer.step()
        num_examples += len(chosen)
        report(step + 1, num_steps, mean_loss)
    return {"steps": num_steps, "features_seen": num_examples, "last_loss": mean_loss}


def _endless(
    features: Sequence[Feature], batch_examples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    lengths = [len(feature.input_ids) for feature in features]
    epoch = 0
    while True:
        yield from training_batches(lengths, batch_examples, seed, epoch)
        epoch += 1


@torch.inference_mode()
def predict(
    model: Any,
    problem: Problem[Any, Any],
    features: Sequence[Feature],
    *,
    batch_examples: int,
) -> list[NDArray[np.float32]]:
    """Logits of each feature, without its padding: (out,) or (length, out)."""
    device = next(model.parameters()).device
    pad_id = model.config.pad_token_id
    found: dict[int, NDArray[np.float32]] = {}
    model.eval()
    for positions in scoring_batches([len(f.input_ids) for f in features], batch_examples):
        chosen = [features[position] for position in positions]
        inputs, _ = collate(chosen, pad_id)
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        with _autocast(device):
            logits = problem.logits(model(**inputs))
        for position, feature, row in zip(
            positions, chosen, logits.float().cpu().numpy(), strict=True
        ):
            found[int(position)] = row[: len(feature.input_ids)] if row.ndim == 2 else row
    return [found[position] for position in range(len(features))]


def _autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()
