"""The fine-tuning loop: one model, one set of features, one seed."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from electra_pipeline.core.identity import Config
from electra_pipeline.core.optim import (
    Adam,
    Schedule,
    clip_gradients,
    layerwise_groups,
    learning_rate,
)
from electra_pipeline.finetuning.microbatch import LateLosses, Parts
from electra_pipeline.tasks.kinds.kind import (
    Feature,
    TaskKind,
    collate,
    scoring_batches,
    training_batches,
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
    kind: TaskKind[Any, Any],
    features: Sequence[Feature],
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    report: Callable[[int, int, float], None],
) -> dict[str, float]:
    """Train `model` in place on its device; return what happened: steps, examples, last loss.

    `report` is told step, steps and the mean loss of the batch. Where memory runs out, batches go
    through the model in halves from then on, to the same gradient; `micro_batch_examples` is how
    many examples went through it at once in the end. Other parts draw other dropout. Raises
    ValueError when the loss is not a finite number any more, or one example alone does not fit.
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
    batches = _endless(features, hyperparameters.batch_examples, seed)
    parts = Parts(hyperparameters.batch_examples)
    losses = LateLosses(device)
    last_loss = math.nan
    num_examples = 0

    def look(found: Iterable[tuple[int, float]]) -> None:
        nonlocal last_loss
        for step, last_loss in found:
            if not math.isfinite(last_loss):
                raise ValueError(
                    f"the loss is {last_loss} at step {step} of {num_steps}; lower "
                    "finetune.learning_rate, or look for broken weights in the model"
                )
            report(step + 1, num_steps, last_loss)

    model.train()
    for step in range(num_steps):
        chosen = [features[position] for position in next(batches)]
        mean_loss = parts.run(
            partial(backward, model, kind, reduction=hyperparameters.loss_reduction), chosen
        )
        look(losses.add(step, mean_loss))
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
    look(losses.rest())
    return {
        "steps": num_steps,
        "features_seen": num_examples,
        "last_loss": last_loss,
        "micro_batch_examples": parts.num_examples,
    }


def backward(
    model: Any,
    kind: TaskKind[Any, Any],
    parts: Sequence[Sequence[Feature]],
    *,
    reduction: Literal["sum", "mean"],
) -> Tensor:
    """Leave the gradient of a batch's loss in the model, and return its mean loss, of shape ().

    The parts of the batch go through the model one after another. Their gradients are those of the
    whole batch, up to the order of summation: a mean is over all things that the batch counts.
    """
    model.zero_grad(set_to_none=True)
    totals, counts = [], []
    for part in parts:
        logits, targets = _forward(model, kind, part)
        total, count = kind.loss(logits, targets)
        divided = reduction == "mean" and len(parts) == 1
        loss = total / count if divided else total
        loss.backward()  # type: ignore[no-untyped-call]
        totals.append(total.detach())
        counts.append(count)
    num_counted = torch.stack(counts).sum()
    if reduction == "mean" and len(parts) > 1:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, num_counted.float())
    return torch.stack(totals).sum() / num_counted


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
    kind: TaskKind[Any, Any],
    features: Sequence[Feature],
    *,
    batch_examples: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[NDArray[np.float32]]:
    """Logits of each feature, without its padding: (out,) or (length, out).

    `report` is called after each batch with the features done and their number. Where memory
    runs out, the batches are halved. Raises ValueError if one feature does not fit.
    """
    found: dict[int, NDArray[np.float32]] = {}
    parts = Parts(batch_examples)
    model.eval()
    for positions in scoring_batches([len(f.input_ids) for f in features], batch_examples):
        chosen = [features[position] for position in positions]
        rows = parts.run(partial(_logits, model, kind), chosen)
        for position, feature, row in zip(positions, chosen, rows, strict=True):
            found[int(position)] = row[: len(feature.input_ids)] if row.ndim == 2 else row
        report(len(found), len(features))
    return [found[position] for position in range(len(features))]


def _logits(
    model: Any, kind: TaskKind[Any, Any], parts: Sequence[Sequence[Feature]]
) -> list[NDArray[np.float32]]:
    """A row of logits, padding included, for each feature of all parts."""
    return [row for part in parts for row in _forward(model, kind, part)[0].cpu().numpy()]


def _forward(
    model: Any, kind: TaskKind[Any, Any], features: Sequence[Feature]
) -> tuple[Tensor, Tensor]:
    """The logits of a batch, in float32, and its targets, on the model's device.

    Padding has the lowest logit: a softmax over positions would else depend on what stands beside
    an example in its batch.
    """
    device = next(model.parameters()).device
    inputs, targets = collate(features, model.config.pad_token_id)
    is_padded = not bool(inputs["attention_mask"].all())
    if not is_padded:  # transformers would look for itself, on the device, and wait for it
        del inputs["attention_mask"]
    inputs = {name: _moved(tensor, device) for name, tensor in inputs.items()}
    with _autocast(device):
        logits = kind.logits(model(**inputs)).float()
    if is_padded and logits.ndim == 3:  # (batch, length, out)
        padding = inputs["attention_mask"].unsqueeze(-1) == 0
        logits = logits.masked_fill(padding, torch.finfo(torch.float32).min)
    return logits, _moved(targets, device)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a GPU copies from pinned memory, for which nothing waits."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()
