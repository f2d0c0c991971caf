"""A layer's forward and backward pass written out, for CPUs.

Autograd keeps one kernel an operation, with a copy between most of them. Written out, gradients are
added where they are (`addmm_`, `mul_`), heads are separated and joined by one copy each, and what
dropout keeps is applied together with the residual. The values and gradients are those of
`transformer.layer`, with which a test compares them; torch's fused attention takes ten times as
long as these products in bfloat16 (benchmarks/LOG.md).

Shapes: b rows, l tokens, h hidden size, d size of an attention head, f feed-forward width.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from electra_pipeline.pretraining.transformer import LAYER_NORM_EPSILON, LayerMasks
from electra_pipeline.pretraining.weights import Layer, Linear, Norm

aten = torch.ops.aten


def layer(hidden: Tensor, bias: Tensor, masks: LayerMasks, w: Layer, num_heads: int) -> Tensor:
    """Return the same as `transformer.layer`, (b, l, h)."""
    flat = (tensor for part in w for tensor in part)
    result: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
        hidden, bias, num_heads, *masks, *flat
    )
    return result


def _weights(flat: Sequence[Any]) -> Layer:
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
    joint, projection, attention_norm, wide, narrow, output_norm = pairs
    return Layer(
        Linear(*joint), Linear(*projection), Norm(*attention_norm),
        Linear(*wide), Linear(*narrow), Norm(*output_norm),
    )  # fmt: skip


def linear(values: Tensor, w: Linear) -> Tensor:
    """Return the same as `transformer.linear`, without a gradient.

    On CPUs torch first writes the bias into the result; oneDNN adds it itself, in registers.
    """
    is_onednn = values.dtype == torch.bfloat16 and values.device.type == "cpu"
    if not (is_onednn and _has_bfloat16_in_onednn()):
        return F.linear(values, w.matrix, w.bias)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(values, *w, "none", [], "")
    return result


@cache
def _has_bfloat16_in_onednn() -> bool:
    """Return whether oneDNN is built in and takes bfloat16 here: not with AVX2 alone."""
    return torch.backends.mkldnn.is_available() and bool(  # type: ignore[no-untyped-call]
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        bias: Tensor,
        num_heads: int,
        *masks_and_weights: Tensor | None,
    ) -> Tensor:
        masks, w = LayerMasks(*masks_and_weights[:3]), _weights(masks_and_weights[3:])
        rows, length, width = hidden.shape
        inputs = hidden.flatten(0, 1)
        joint = linear(inputs, w.joint)
        heads = joint.view(rows, length, 3, num_heads, -1).permute(2, 0, 3, 1, 4).contiguous()
        queries, keys, values = heads.flatten(1, 2)
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(rows, num_heads, length, length)
        probabilities = torch.softmax(scores.add_(bias), dim=-1).flatten(0, 1)
        kept = _masked(probabilities, masks.probabilities)
        mixed = torch.bmm(kept, values)
        mixed = mixed.view(rows, num_heads, length, -1).transpose(1, 2).reshape(-1, width)
        projected = linear(mixed, w.projection)
        attended = _residual(inputs, projected, masks.projection)
        middle, *moments = _normalise(attended, w.attention_norm)
        widened = linear(middle, w.wide)
        activated = F.gelu(widened)
        narrowed = linear(activated, w.narrow)
        summed = _residual(middle, narrowed, masks.output)
        output, *last_moments = _normalise(summed, w.output_norm)
        ctx.save_for_backward(
            inputs, heads, probabilities, kept, mixed, attended, *moments,
            middle, widened, activated, summed, *last_moments, *masks_and_weights,
        )  # fmt: skip
        return output.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (
            inputs, heads, probabilities, kept, mixed, attended, mean, deviation,
            middle, widened, activated, summed, last_mean, last_deviation, *masks_and_weights,
        ) = ctx.saved_tensors  # fmt: skip
        masks, w = LayerMasks(*masks_and_weights[:3]), _weights(masks_and_weights[3:])
        rows, length, width = gradient.shape
        queries, keys, values = heads.flatten(1, 2)

        # feed-forward; `of_middle` collects both paths into it
        of_middle, *of_output_norm = _normalise_backward(
            gradient.reshape(-1, width), summed, last_mean, last_deviation, w.output_norm
        )
        of_narrowed = _masked(of_middle, masks.output)
        of_narrow = _weight_gradient(of_narrowed, activated)
        of_widened = aten.gelu_backward(of_narrowed @ w.narrow.matrix, widened)
        of_wide = _weight_gradient(of_widened, middle)
        of_middle.addmm_(of_widened, w.wide.matrix)

        # attention
        of_inputs, *of_attention_norm = _normalise_backward(
            of_middle, attended, mean, deviation, w.attention_norm
        )
        of_projected = _masked(of_inputs, masks.projection)
        of_projection = _weight_gradient(of_projected, mixed)
        of_mixed = (of_projected @ w.projection.matrix).view(rows, length, heads.shape[2], -1)
        of_mixed = of_mixed.transpose(1, 2).reshape(values.shape)
        of_heads = torch.empty_like(heads)
        of_queries, of_keys, of_values = of_heads.flatten(1, 2)
        torch.bmm(kept.transpose(1, 2), of_mixed, out=of_values)
        of_probabilities = torch.bmm(of_mixed, values.transpose(1, 2))
        if masks.probabilities is not None:
            of_probabilities.mul_(masks.probabilities.view_as(of_probabilities))
        of_scores = aten._softmax_backward_data(of_probabilities, probabilities, -1, keys.dtype)
        torch.bmm(of_scores, keys, out=of_queries)
        torch.bmm(of_scores.transpose(1, 2), queries, out=of_keys)
        of_joint = of_heads.permute(1, 3, 0, 2, 4).reshape(rows * length, -1)
        of_joint_weights = _weight_gradient(of_joint, inputs)
        of_inputs.addmm_(of_joint, w.joint.matrix)
        return (
            of_inputs.view_as(gradient), None, None, None, None, None,
            *of_joint_weights, *of_projection, *of_attention_norm,
            *of_wide, *of_narrow, *of_output_norm,
        )  # fmt: skip


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return new values times a mask of as many elements; without one, the same values."""
    return values if mask is None else values * mask.view_as(values)


def _residual(values: Tensor, added: Tensor, mask: Tensor | None) -> Tensor:
    """Return values + added * mask, written into `added` if there is no mask."""
    return added.add_(values) if mask is None else torch.addcmul(values, added, mask.view_as(added))


def _normalise(values: Tensor, w: Norm) -> tuple[Tensor, Tensor, Tensor]:
    """Return LayerNorm of values, their means and the inverse of their deviations."""
    result: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(
        values, w.scale.shape, *w, LAYER_NORM_EPSILON
    )
    return result


def _normalise_backward(
    gradient: Tensor, values: Tensor, mean: Tensor, deviation: Tensor, w: Norm
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of values, scale and shift."""
    result: tuple[Tensor, Tensor, Tensor] = aten.native_layer_norm_backward(
        gradient, values, w.scale.shape, mean, deviation, *w, [True, True, True]
    )
    return result


def _weight_gradient(outputs: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of weight and bias of a linear layer from those of its outputs."""
    transposed = outputs.t()
    if outputs.shape[1] < inputs.shape[1]:  # oneDNN transposes slower than torch
        transposed = transposed.contiguous()
    return transposed @ inputs, outputs.sum(0)
