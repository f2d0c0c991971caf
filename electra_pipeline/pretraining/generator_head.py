"""The generator's output layer: its loss, its gradient and its samples in one pass.

The vocabulary is the widest layer by far. Computed one after another, logits in float32, their
log-softmax, softmax, cumulative sum, largest entry and gradient are seven matrices of all slots and
tokens. Here a few slots at a time are computed while they stay in a core's cache, and only the
gradient is kept. `objective.generator_loss_sum` and `objective.sample` are the plain forms; tests
compare.

Shapes: b sequences, n masked slots, v tokens in the vocabulary, e embedding size, m = b * n.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from electra_pipeline.pretraining.layer_on_cpu import linear
from electra_pipeline.pretraining.objective import Masked
from electra_pipeline.pretraining.weights import Linear

CHUNK = 2**19  # logits that are computed at once on a CPU: one megabyte of float32
BLOCK = 128  # tokens whose probabilities are summed before one of them is sampled


class Predictions(NamedTuple):
    """What the generator predicts at the masked slots."""

    loss_sum: Tensor
    """() float32 with gradient, cross-entropy summed over the slots in use."""
    sampled_ids: Tensor
    """(b, n) int64, drawn from the generator's distribution."""
    is_original: Tensor
    """(b, n) bool, true where no token is more likely than the original."""


def predict(states: Tensor, vocabulary: Linear, masked: Masked, uniforms: Tensor) -> Predictions:
    """Return loss, samples and hits of the logits of a linear layer of (v, e).

    states: (b, n, e); uniforms: (b, n) in [0, 1), one for each sample.
    """
    loss_sum, sampled_ids, is_original = _Head.apply(  # type: ignore[no-untyped-call]
        states.flatten(0, 1),
        *vocabulary,
        masked.original_ids.flatten(),
        masked.weights.flatten(),
        uniforms.flatten(),
    )
    shape = masked.positions.shape
    return Predictions(loss_sum, sampled_ids.view(shape), is_original.view(shape))


class _Head(torch.autograd.Function):
    """Computes the gradient of the logits together with the loss, whose factor is a scalar."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        table: Tensor,
        bias: Tensor,
        targets: Tensor,
        weights: Tensor,
        uniforms: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """states: (m, e); targets, weights, uniforms: (m,)."""
        logits = linear(states, Linear(table, bias))
        step = max(1, CHUNK // len(table)) if states.device.type == "cpu" else len(states)
        losses, sampled_ids, is_original = [], [], []
        of_bias = torch.zeros_like(bias, dtype=torch.float32)
        for start in range(0, len(states), step):
            rows = slice(start, start + step)
            target, weight = targets[rows, None], weights[rows, None]
            values = logits[rows].float()
            highest = values.amax(dim=1, keepdim=True)
            of_target = values.gather(1, target)
            exponentials = values.sub_(highest).exp_()
            block_sums = sums_of_blocks(exponentials)
            total = block_sums.sum(dim=1, keepdim=True)
            losses.append(((total.log() + highest - of_target) * weight).sum())
            sampled_ids.append(sample(exponentials, block_sums, uniforms[rows]))
            is_original.append((of_target == highest).squeeze(1))
            # the gradient of the sum: (probability - 1 at the target) * weight
            gradient = exponentials.mul_(weight / total).scatter_add_(1, target, -weight)
            of_bias += gradient.sum(0)
            logits[rows] = gradient
        ctx.save_for_backward(states, table, logits, of_bias)
        ctx.mark_non_differentiable(*(found := (torch.cat(sampled_ids), torch.cat(is_original))))
        return torch.stack(losses).sum(), *found

    @staticmethod
    def backward(ctx: Any, factor: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        states, table, gradient, of_bias = ctx.saved_tensors
        factor = factor.to(states.dtype)
        return (
            (gradient @ table) * factor,
            gradient.t() @ (states * factor),
            (of_bias * factor).to(states.dtype),
            None,
            None,
            None,
        )


def sums_of_blocks(values: Tensor) -> Tensor:
    """Return sums of BLOCK neighbouring columns, (m, ceil(v / BLOCK)); values: (m, v)."""
    whole = values.shape[1] // BLOCK * BLOCK
    sums = values[:, :whole].reshape(len(values), -1, BLOCK).sum(dim=2)
    if whole == values.shape[1]:
        return sums
    return torch.cat([sums, values[:, whole:].sum(dim=1, keepdim=True)], dim=1)


def sample(values: Tensor, block_sums: Tensor, uniforms: Tensor) -> Tensor:
    """Draw a column of each row with probabilities in proportion to `values`; return (m,) int64.

    values: (m, v), not negative; block_sums: from `sums_of_blocks`; uniforms: (m,) in [0, 1). The
    cumulative distribution is inverted, first over blocks, then inside one: the first column at
    which the sum of all columns up to it exceeds the uniform number times the total.
    """
    cumulative = block_sums.cumsum(dim=1)
    threshold = uniforms[:, None] * cumulative[:, -1:]
    last = cumulative.shape[1] - 1
    block = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=last)
    below = (cumulative - block_sums).gather(1, block)
    columns = block * BLOCK + torch.arange(BLOCK, device=values.device)
    exists = columns < values.shape[1]
    inside = values.gather(1, columns.clamp(max=values.shape[1] - 1)) * exists
    offset = torch.searchsorted(inside.cumsum(dim=1), threshold - below, right=True)
    # rounding may put the threshold above the last sum: then the last column with a probability
    offset = offset.minimum((inside > 0).long().cumsum(1).argmax(1, keepdim=True))
    return (block * BLOCK + offset).squeeze(1)
