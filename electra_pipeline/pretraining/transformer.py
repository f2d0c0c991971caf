"""The forward pass of ELECTRA's encoder, over the weights of transformers' modules.

The weights stay in transformers' modules, so that the trained modules are the published ones. The
arithmetic is the same too (a test compares values and gradients), with these differences: dropout
masks are functions of the row; several documents may share a row; activations have the type of the
matrix products; and a layer is one function of tensors, which torch.compile compiles once for all
layers of a model.

Shapes: b rows, l tokens, e embedding size, h hidden size, d size of an attention head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from electra_pipeline.pretraining import attention, dropout, weights
from electra_pipeline.pretraining.weights import Embeddings, Encoder, Layer, Linear, Norm

DROPOUTS_PER_LAYER = 3  # of the attention probabilities and of both residual branches
LAYER_NORM_EPSILON = 1e-12  # of the published configurations (google/electra-*), as in BERT


@dataclass(frozen=True)
class Rows:
    """Layout of the tokens in the rows of a batch."""

    types: Tensor
    """(b, l) int64, segment of each token."""
    positions: Tensor
    """(b, l) int64, position of each token in its document."""
    present: Tensor
    """(b, l) bool, true at tokens that are not padding."""
    starts: Tensor | None
    """(b, l) int64, start of each token's document; None if each row has one document."""
    num_parts: int
    """Most documents and paddings of a row."""

    @cached_property
    def visible(self) -> Tensor:
        """(b, 1, 1 or l, l) bool, true where a token (dimension 2) may attend to (dimension 3)."""
        visible = self.present[:, None, None, :]
        if self.starts is None:
            return visible
        return visible & (self.starts[:, None, :, None] == self.starts[:, None, None, :])

    @cached_property
    def boundaries(self) -> Tensor:
        """(b * num_parts + 1,) int32, first tokens of documents and paddings in all rows."""
        position = torch.arange(self.present.shape[1], device=self.present.device)
        begins = position == (0 if self.starts is None else self.starts)
        return attention.boundaries(
            begins | (position == self.present.sum(dim=1, keepdim=True)), self.num_parts
        )


class LayerMasks(NamedTuple):
    """Masks of a layer's dropouts, from `dropout.keep`; None where nothing is dropped."""

    probabilities: Tensor | None
    """(b, heads * l, l)."""
    projection: Tensor | None
    """(b, l, h)."""
    output: Tensor | None
    """(b, l, h)."""


@dataclass(frozen=True)
class Kernels:
    """The functions that take most of the time, plain, written out for CPUs or compiled."""

    layer: Callable[..., Tensor]
    keep: Callable[..., Tensor]
    recomputes: bool = False
    """Whether the backward pass computes a layer's activations and masks again."""


def embed(table: Embeddings, ids: Tensor, rows: Rows, beneath: Any = None) -> Tensor:
    """Return the normalised sum of word, type and position vectors, (b, l, e) float32.

    beneath: another table whose vectors are added without a gradient (gradient-disentangled
    sharing, He et al. 2021, arXiv:2111.09543, section 3).
    """
    summed = _look_up(table, ids, rows)
    if beneath is not None:
        with torch.no_grad():
            below = _look_up(beneath, ids, rows)
        summed = summed + below
    return layer_norm(summed, table.norm)


def _look_up(table: Embeddings, ids: Tensor, rows: Rows) -> Tensor:
    words = F.embedding(ids, table.words, table.pad, sparse=table.is_sparse)
    types = F.embedding(rows.types, table.types)
    return words + types + F.embedding(rows.positions, table.positions)


def encode(
    model: Any,
    encoder: Encoder,
    embedded: Tensor,
    rows: Rows,
    row_keys: Tensor | None,
    dtype: torch.dtype,
    using: Kernels,
) -> Tensor:
    """Return the last hidden states, (b, l, h) in `dtype`, of a `transformers.ElectraModel`.

    encoder: weights of the model; embedded: (b, l, e); row_keys: (b,) int64, or None for no
    dropout, in which case the weights are without its factors.
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

    def apply_layer(index: int, hidden: Tensor) -> Tensor:
        first = DROPOUTS_PER_LAYER * index
        masks = LayerMasks(
            mask(first, attention_fraction, num_heads * length, length),
            mask(first + 1, hidden_fraction, length, width),
            mask(first + 2, hidden_fraction, length, width),
        )
        layer = encoder.layers[index]
        if layer is None:
            module = model.encoder.layer[index]
            layer = weights.layer_of(module, config, dtype, dropped=row_keys is not None)
        return using.layer(hidden, visible, masks, layer, num_heads)

    if not attention_fraction and attention.is_fused(embedded.device, dtype, width // num_heads):
        visible = rows.boundaries
    else:
        visible = attention_bias(rows.visible, dtype)
    hidden = embedded
    if hidden_fraction:
        dropped = mask(num_dropouts - 1, hidden_fraction, length, embedded.shape[-1])
        hidden = drop(embedded, dropped) * dropout.scale(hidden_fraction)
    hidden = hidden.to(dtype)
    if encoder.projection is not None:
        hidden = linear(hidden, encoder.projection)
    for index, module in enumerate(model.encoder.layer):
        apply = partial(apply_layer, index)
        if using.recomputes:  # exact: the masks are a function of the keys
            apply = partial(checkpoint, apply, use_reentrant=False, preserve_rng_state=False)
        # a sharded module gathers its weights before the call and frees them afterwards
        hidden = module(apply, hidden) if weights.is_sharded(module) else apply(hidden)
    return hidden


def attention_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to attention scores, (b, 1, 1 or l, l): 0, or the lowest number."""
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill_(~visible, torch.finfo(dtype).min)


def layer(hidden: Tensor, visible: Tensor, masks: LayerMasks, w: Layer, num_heads: int) -> Tensor:
    """Apply attention and feed-forward, each with dropout, residual and LayerNorm; (b, l, h).

    hidden: (b, l, h); visible: `attention_bias` or, on a GPU, `Rows.boundaries`; w: with the
    factors of dropout folded in.
    """
    mixed = attend(linear(hidden, w.joint), visible, masks.probabilities, num_heads)
    hidden = hidden + drop(linear(mixed, w.projection), masks.projection)
    hidden = layer_norm(hidden, w.attention_norm)
    narrowed = linear(F.gelu(linear(hidden, w.wide)), w.narrow)
    return layer_norm(hidden + drop(narrowed, masks.output), w.output_norm)


def attend(joint: Tensor, visible: Tensor, mask: Tensor | None, num_heads: int) -> Tensor:
    """Return attention with scaled queries, (b, l, h).

    joint: (b, l, 3h), queries, keys and values; visible: `attention_bias`, or `Rows.boundaries`
    where nothing is dropped; mask: of the dropout of the probabilities, or None.
    """
    if visible.dtype == torch.int32:
        return attention.attend_documents(joint, visible, num_heads, scale=1.0)
    heads = joint.view(*joint.shape[:2], 3, num_heads, -1)
    queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind(0)
    if mask is None and joint.is_cuda:
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible, scale=1.0)
    else:
        scores = queries @ keys.transpose(-1, -2) + visible
        probabilities = torch.softmax(scores, dim=-1)
        mixed = drop(probabilities, None if mask is None else mask.view_as(scores)) @ values
    return mixed.transpose(1, 2).flatten(2)


def drop(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return values times a mask of `dropout.keep`; the caller's weights make up for its scale."""
    return values if mask is None else values * mask


def linear(values: Tensor, w: Linear) -> Tensor:
    """Apply a linear layer to (..., in)."""
    return F.linear(values, w.matrix, w.bias)


def layer_norm(values: Tensor, w: Norm) -> Tensor:
    """Return LayerNorm of (..., h) in the type of `values`, with float32 weights and sums."""
    if values.is_cuda and values.dtype != torch.float32:
        # torch's kernel for CPUs takes weights of another type, that for GPUs does not
        return layer_norm(values.float(), w).to(values.dtype)
    return F.layer_norm(values, w.scale.shape, w.scale, w.shift, LAYER_NORM_EPSILON)


PLAIN = Kernels(layer, dropout.keep)
