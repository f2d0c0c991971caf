"""The forward pass of ELECTRA's encoder, over the weights of transformers' modules.

The weights stay in transformers' modules, so that the trained modules are the published ones. The
arithmetic is the same too (a test compares values and gradients), with three differences: dropout
masks are functions of the row, several documents may share a row, and a layer is one function of
tensors, which torch.compile compiles once for all layers of a model.

Shapes: b rows, l tokens, e embedding size, h hidden size, d size of an attention head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from electra_pipeline.pretraining.dropout import drop, keep, keys_at

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
    """Elements that a layer's dropout keeps, from `dropout.keep`; None where nothing is dropped."""

    probabilities: Tensor | None
    """(b, heads, l, l) bool."""
    projection: Tensor | None
    """(b, l, h) bool."""
    output: Tensor | None
    """(b, l, h) bool."""


@dataclass(frozen=True)
class Kernels:
    """The functions that take most of the time, plain or compiled."""

    layer: Callable[..., Tensor]
    keep: Callable[..., Tensor]
    recomputes: bool = False
    """Whether the backward pass computes a layer's activations and masks again."""


def kernels(compiled: bool, recomputes: bool = False) -> Kernels:
    """Return the kernels of training; with `compiled`, their first use takes half a minute or more.

    Shapes are static: with dynamic ones, torch 2.13 compiles `keep` for CPUs to wrong masks.
    """
    if not compiled:
        return Kernels(layer, keep, recomputes)
    compile_static = partial(torch.compile, dynamic=False)
    return Kernels(compile_static(layer), compile_static(keep), recomputes)


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
    model: Any, embedded: Tensor, visible: Tensor, row_keys: Tensor | None, using: Kernels
) -> Tensor:
    """Return the last hidden states, (b, l, h), of a `transformers.ElectraModel`.

    embedded: (b, l, e); visible: as in `Rows`; row_keys: (b,) int64, or None for no dropout.
    """
    config = model.config
    length = embedded.shape[1]
    num_dropouts = DROPOUTS_PER_LAYER * config.num_hidden_layers + 1
    keys = None if row_keys is None else keys_at(row_keys, num_dropouts)

    def kept(dropout: int, fraction: float, *shape: int) -> Tensor | None:
        return None if keys is None or not fraction else using.keep(keys[dropout], shape, fraction)

    hidden_fraction = config.hidden_dropout_prob
    attention_fraction = config.attention_probs_dropout_prob
    width, num_heads = config.hidden_size, config.num_attention_heads
    hidden = drop(
        embedded, kept(num_dropouts - 1, hidden_fraction, *embedded.shape[1:]), hidden_fraction
    )
    if embedded.shape[-1] != width:
        hidden = model.embeddings_project(hidden)

    def apply_layer(module: Any, first: int, hidden: Tensor) -> Tensor:
        masks = LayerMasks(
            kept(first, attention_fraction, num_heads, length, length),
            kept(first + 1, hidden_fraction, length, width),
            kept(first + 2, hidden_fraction, length, width),
        )
        return using.layer(
            hidden,
            visible,
            masks,
            _parameters(module),
            num_heads,
            attention_fraction,
            hidden_fraction,
        )

    for index, module in enumerate(model.encoder.layer):
        apply = partial(apply_layer, module, DROPOUTS_PER_LAYER * index)
        if using.recomputes:  # exact: the masks are a function of the keys
            apply = partial(checkpoint, apply, use_reentrant=False, preserve_rng_state=False)
        # a sharded module gathers its weights before the call and frees them afterwards
        hidden = module(apply, hidden) if is_sharded(module) else apply(hidden)
    return hidden


def is_sharded(module: Any) -> bool:
    """Return whether a module's parameters are sharded over the workers (`sharding.distribute`)."""
    return isinstance(module, FSDPModule)


def _parameters(layer: Any) -> tuple[Tensor, ...]:
    """Return weight and bias of each part of a `transformers` layer, in the order of their use."""
    attention = layer.attention
    parts = (
        attention.self.query,
        attention.self.key,
        attention.self.value,
        attention.output.dense,
        attention.output.LayerNorm,
        layer.intermediate.dense,
        layer.output.dense,
        layer.output.LayerNorm,
    )
    return tuple(parameter for part in parts for parameter in (part.weight, part.bias))


def layer(
    hidden: Tensor,
    visible: Tensor,
    masks: LayerMasks,
    parameters: tuple[Tensor, ...],
    num_heads: int,
    attention_fraction: float,
    hidden_fraction: float,
) -> Tensor:
    """Apply attention and feed-forward, each with dropout, residual and LayerNorm; (b, l, h).

    hidden: (b, l, h); visible: as in `Rows`; parameters: as from `_parameters`.
    """
    (
        query, query_bias, key, key_bias, value, value_bias,
        projection, projection_bias, attention_scale, attention_shift,
        wide, wide_bias, narrow, narrow_bias, output_scale, output_shift,
    ) = parameters  # fmt: skip
    width = hidden.shape[-1]
    joint = F.linear(
        hidden, torch.cat([query, key, value]), torch.cat([query_bias, key_bias, value_bias])
    )
    heads = joint.view(*hidden.shape[:2], 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    mixed = attend(heads, visible, masks.probabilities, attention_fraction)
    projected = F.linear(mixed.transpose(1, 2).flatten(2), projection, projection_bias)
    hidden = hidden + drop(projected, masks.projection, hidden_fraction)
    hidden = F.layer_norm(hidden, (width,), attention_scale, attention_shift, LAYER_NORM_EPSILON)
    narrowed = F.linear(F.gelu(F.linear(hidden, wide, wide_bias)), narrow, narrow_bias)
    hidden = hidden + drop(narrowed, masks.output, hidden_fraction)
    return F.layer_norm(hidden, (width,), output_scale, output_shift, LAYER_NORM_EPSILON)


def attend(heads: Tensor, visible: Tensor, kept: Tensor | None, fraction: float) -> Tensor:
    """Return scaled dot-product attention, (b, heads, l, d).

    heads: (3, b, heads, l, d), queries, keys and values; kept: (b, heads, l, l) bool, or None for
    no dropout. torch's fused attention draws its dropout from a device's generator, so it is used
    only without dropout.
    """
    queries, keys, values = heads.unbind(0)
    if kept is None:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    hidden_from = torch.zeros_like(visible, dtype=scores.dtype)
    scores = scores + hidden_from.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return drop(torch.softmax(scores, dim=-1), kept, fraction).to(values.dtype) @ values


PLAIN = Kernels(layer, keep)
