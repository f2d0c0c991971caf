"""The forward pass of ELECTRA's encoder, over the weights of transformers' modules.

The weights stay in transformers' modules, so that the trained modules are the published ones. The
arithmetic is the same too (a test compares values and gradients), with these differences: dropout
masks are functions of the row; several documents may share a row; activations have the type of the
matrix products; and a layer is one function of tensors, which torch.compile compiles once for all
layers of a model.

Weights are converted once a step (`layer_weights`), and what scales activations is folded into
them: it is cheaper to scale a matrix than what it is multiplied by.

Shapes: b rows, l tokens, e embedding size, h hidden size, d size of an attention head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from electra_pipeline.pretraining import dropout

DROPOUTS_PER_LAYER = 3  # of the attention probabilities and of both residual branches
LAYER_NORM_EPSILON = 1e-12  # of the published configurations (google/electra-*), as in BERT


@dataclass(frozen=True)
class Rows:
    """Layout of the tokens in the rows of a batch."""

    types: Tensor
    """(b, l) int64, segment of each token."""
    positions: Tensor
    """(b, l) int64, position of each token in its document."""
    visible: Tensor
    """(b, 1, 1 or l, l) bool, true where a token (dimension 2) may attend to one (dimension 3)."""


class LayerMasks(NamedTuple):
    """Masks of a layer's dropouts, from `dropout.keep`; None where nothing is dropped."""

    probabilities: Tensor | None
    """(b, heads * l, l)."""
    projection: Tensor | None
    """(b, l, h)."""
    output: Tensor | None
    """(b, l, h)."""


class LayerWeights(NamedTuple):
    """Weights of a layer in the order of their use; matrices (out, in) in the products' type."""

    joint: Tensor
    """(3h, h): query, key and value; queries are scaled by d ** -0.5, values by the dropout."""
    joint_bias: Tensor
    projection: Tensor
    """(h, h), scaled by the dropout."""
    projection_bias: Tensor
    attention_scale: Tensor
    """(h,) float32, as the other weights of the LayerNorms."""
    attention_shift: Tensor
    wide: Tensor
    wide_bias: Tensor
    narrow: Tensor
    """(h, feed-forward width), scaled by the dropout."""
    narrow_bias: Tensor
    output_scale: Tensor
    output_shift: Tensor


@dataclass(frozen=True)
class Kernels:
    """The functions that take most of the time, plain or compiled."""

    layer: Callable[..., Tensor]
    keep: Callable[..., Tensor]


def kernels(compiled: bool) -> Kernels:
    """Return the kernels of training; their first use compiles them in half a minute or more."""
    if not compiled:
        return PLAIN
    return Kernels(torch.compile(layer, dynamic=False), torch.compile(dropout.keep, dynamic=False))


def embed(embeddings: Any, input_ids: Tensor, rows: Rows, beneath: Any = None) -> Tensor:
    """Return the normalised sum of word, type and position vectors, (b, l, e).

    embeddings: a `transformers` embedding block; beneath: another one whose vectors are added
    without a gradient (gradient-disentangled sharing, He et al. 2021, arXiv:2111.09543, section 3).
    """
    summed = _look_up(embeddings, input_ids, rows)
    if beneath is not None:
        with torch.no_grad():
            below = _look_up(beneath, input_ids, rows)
        summed = summed + below
    normalised: Tensor = embeddings.LayerNorm(summed)
    return normalised


def _look_up(embeddings: Any, input_ids: Tensor, rows: Rows) -> Tensor:
    vectors: Tensor = (
        embeddings.word_embeddings(input_ids)
        + embeddings.token_type_embeddings(rows.types)
        + embeddings.position_embeddings(rows.positions)
    )
    return vectors


def encode(
    model: Any,
    embedded: Tensor,
    visible: Tensor,
    row_keys: Tensor | None,
    dtype: torch.dtype,
    using: Kernels,
) -> Tensor:
    """Return the last hidden states, (b, l, h) in `dtype`, of a `transformers.ElectraModel`.

    embedded: (b, l, e); visible: as in `Rows`; row_keys: (b,) int64, or None for no dropout.
    """
    config = model.config
    length = embedded.shape[1]
    width, num_heads = config.hidden_size, config.num_attention_heads
    num_dropouts = DROPOUTS_PER_LAYER * config.num_hidden_layers + 1
    hidden_fraction = attention_fraction = 0.0
    if row_keys is not None:
        hidden_fraction = config.hidden_dropout_prob
        attention_fraction = config.attention_probs_dropout_prob
        widest = max(width, length, embedded.shape[-1])
        factors = dropout.factors(row_keys, num_dropouts, num_heads * length, widest)

    def mask(index: int, fraction: float, lines: int, columns: int) -> Tensor | None:
        if not fraction:
            return None
        of_lines, of_groups = factors.lines[index, :, :lines], factors.groups[index]
        return using.keep(of_lines, of_groups, columns, fraction, dtype)

    bias = attention_bias(visible, dtype)
    hidden = drop(embedded, mask(num_dropouts - 1, hidden_fraction, *embedded.shape[1:]))
    hidden = hidden.to(dtype) * _scale(hidden_fraction)
    if embedded.shape[-1] != width:
        hidden = linear(hidden, model.embeddings_project)
    for index, module in enumerate(model.encoder.layer):
        first = DROPOUTS_PER_LAYER * index
        masks = LayerMasks(
            mask(first, attention_fraction, num_heads * length, length),
            mask(first + 1, hidden_fraction, length, width),
            mask(first + 2, hidden_fraction, length, width),
        )
        weights = layer_weights(module, _scale(attention_fraction), _scale(hidden_fraction), dtype)
        hidden = using.layer(hidden, bias, masks, weights, num_heads)
    return hidden


def attention_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to attention scores, (b, 1, 1 or l, l): 0, or the lowest number."""
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill_(~visible, torch.finfo(dtype).min)


def linear(values: Tensor, module: Any) -> Tensor:
    """Apply a `torch.nn.Linear` in the type of `values`."""
    return F.linear(values, module.weight.to(values.dtype), module.bias.to(values.dtype))


def _scale(fraction: float) -> float:
    return dropout.scale(fraction) if fraction else 1.0


def layer_weights(
    layer: Any, attention_scale: float, hidden_scale: float, dtype: torch.dtype
) -> LayerWeights:
    """Return the weights of a `transformers` layer, scaled in float32 and converted to `dtype`.

    attention_scale, hidden_scale: `dropout.scale` of the dropouts, or 1 without them.
    """
    attention = layer.attention
    query, key, value = attention.self.query, attention.self.key, attention.self.value
    query_scale = attention.self.attention_head_size**-0.5

    def scaled(module: Any, factor: float) -> tuple[Tensor, Tensor]:
        if factor == 1.0:
            return module.weight.to(dtype), module.bias.to(dtype)
        return (module.weight * factor).to(dtype), (module.bias * factor).to(dtype)

    joint = zip(
        scaled(query, query_scale), scaled(key, 1.0), scaled(value, attention_scale), strict=True
    )
    return LayerWeights(
        *(torch.cat(parts) for parts in joint),
        *scaled(attention.output.dense, hidden_scale),
        attention.output.LayerNorm.weight,
        attention.output.LayerNorm.bias,
        *scaled(layer.intermediate.dense, 1.0),
        *scaled(layer.output.dense, hidden_scale),
        layer.output.LayerNorm.weight,
        layer.output.LayerNorm.bias,
    )


def layer(
    hidden: Tensor, bias: Tensor, masks: LayerMasks, weights: LayerWeights, num_heads: int
) -> Tensor:
    """Apply attention and feed-forward, each with dropout, residual and LayerNorm; (b, l, h).

    hidden: (b, l, h); bias: as from `attention_bias`.
    """
    joint = F.linear(hidden, weights.joint, weights.joint_bias)
    mixed = attend(joint, bias, masks.probabilities, num_heads)
    projected = F.linear(mixed, weights.projection, weights.projection_bias)
    hidden = hidden + drop(projected, masks.projection)
    hidden = layer_norm(hidden, weights.attention_scale, weights.attention_shift)
    widened = F.gelu(F.linear(hidden, weights.wide, weights.wide_bias))
    narrowed = F.linear(widened, weights.narrow, weights.narrow_bias)
    hidden = hidden + drop(narrowed, masks.output)
    return layer_norm(hidden, weights.output_scale, weights.output_shift)


def drop(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return values times a mask of `dropout.keep`; the caller's weights make up for its scale."""
    return values if mask is None else values * mask


def layer_norm(hidden: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return LayerNorm of (..., h) in the type of `hidden`, with float32 weights and sums."""
    if hidden.is_cuda:  # torch's kernel for CPUs takes two types, that for GPUs does not
        return F.layer_norm(hidden.float(), scale.shape, scale, shift, LAYER_NORM_EPSILON).to(
            hidden.dtype
        )
    return F.layer_norm(hidden, scale.shape, scale, shift, LAYER_NORM_EPSILON)


def attend(joint: Tensor, bias: Tensor, mask: Tensor | None, num_heads: int) -> Tensor:
    """Return attention with scaled queries, (b, l, h).

    joint: (b, l, 3h), queries, keys and values; bias: as from `attention_bias`; mask: of the
    dropout of the probabilities, or None.
    """
    heads = joint.view(*joint.shape[:2], 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = heads.unbind(0)
    if mask is None and joint.is_cuda:
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
    else:
        scores = queries @ keys.transpose(-1, -2) + bias
        probabilities = torch.softmax(scores, dim=-1)
        if mask is not None:
            probabilities = probabilities * mask.view_as(probabilities)
        mixed = probabilities @ values
    return mixed.transpose(1, 2).flatten(2)


PLAIN = Kernels(layer, dropout.keep)
