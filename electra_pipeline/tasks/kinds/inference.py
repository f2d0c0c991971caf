"""Model outputs and predictions of a task's examples: the one way for scoring and serving."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.tasks.kinds.batches import collate, scoring_batches
from electra_pipeline.tasks.kinds.kind import Encoded, Example, Feature, Prediction, TaskKind
from electra_pipeline.tasks.kinds.microbatch import MicroBatches

Report = Callable[[int, int], None]
"""Called after each batch with the number of features done and of all."""


def predict(
    model: Any,
    tokenizer: Any,
    kind: TaskKind[Example, Prediction],
    examples: Sequence[Example],
    *,
    max_length: int,
    batch_examples: int,
    report: Report = lambda done, total: None,
) -> tuple[Encoded, list[Prediction]]:
    """Return the model inputs of the examples, and one prediction for each example."""
    encoded = kind.encode(tokenizer, examples, max_length, training=False)
    logits = predict_logits(
        model, kind, encoded.features, batch_examples=batch_examples, report=report
    )
    return encoded, kind.decode(examples, encoded.features, logits)


@torch.inference_mode()
def predict_logits(
    model: Any,
    kind: TaskKind[Any, Any],
    features: Sequence[Feature],
    *,
    batch_examples: int,
    report: Report = lambda done, total: None,
) -> list[NDArray[np.float32]]:
    """Return the logits of each feature, without its padding: (out,) or (length, out).

    When memory runs out, the batches are halved. Raise ValueError if one feature does not fit.
    """
    found: dict[int, NDArray[np.float32]] = {}
    micro_batches = MicroBatches(batch_examples)
    model.eval()
    for positions in scoring_batches([len(f.input_ids) for f in features], batch_examples):
        chosen = [features[position] for position in positions]
        rows = micro_batches.run(partial(_padded_logits, model, kind), chosen)
        for position, feature, row in zip(positions, chosen, rows, strict=True):
            found[int(position)] = row[: len(feature.input_ids)] if row.ndim == 2 else row
        report(len(found), len(features))
    return [found[position] for position in range(len(features))]


def _padded_logits(
    model: Any, kind: TaskKind[Any, Any], parts: Sequence[Sequence[Feature]]
) -> list[NDArray[np.float32]]:
    """Return the logits, padding included, of each feature of all parts."""
    return [row for part in parts for row in forward(model, kind, part)[0].cpu().numpy()]


def forward(
    model: Any, kind: TaskKind[Any, Any], features: Sequence[Feature]
) -> tuple[Tensor, Tensor]:
    """Return the float32 logits of a batch and its targets, on the model's device.

    Matrix products are in float32, or in the type of the caller's `torch.autocast`.
    Padding has the lowest logit: else a softmax over positions would depend on the length of the
    other examples of the batch.
    """
    device = next(model.parameters()).device
    inputs, targets = collate(features, model.config.pad_token_id)
    is_padded = not bool(inputs["attention_mask"].all())
    if not is_padded:  # transformers would check it on the device and wait for the result
        del inputs["attention_mask"]
    inputs = {name: _to_device(tensor, device) for name, tensor in inputs.items()}
    logits = kind.logits(model(**inputs)).float()
    if is_padded and logits.ndim == 3:  # (batch, length, out)
        padding = inputs["attention_mask"].unsqueeze(-1) == 0
        logits = logits.masked_fill(padding, torch.finfo(torch.float32).min)
    return logits, _to_device(targets, device)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device; to a GPU from pinned memory, without waiting."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
