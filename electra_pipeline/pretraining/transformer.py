"""The forward pass of ELECTRA's encoder, over the weights of transformers' modules.

The weights stay in transformers' modules, so that what is trained is what is published. The
arithmetic is theirs too (a test compares values and gradients), with three liberties: dropout
belongs to the row, several documents may share a row, and a layer is one function of tensors, which
torch.compile fuses once for all layers of a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from electra_pipeline.pretraining.dropout import drop, keep, keys_at

PLACES_PER_LAYER = 3  # where a layer drops: attention probabilities, and both residual branches
LAYER_NORM_EPSILON = 1e-12  # of the published configurations (google/electra-*), as in BERT


@dataclass(frozen=True)
class Rows:
    """How the tokens of a batch stand in their rows."""

    types: Tensor
    """(b, l) int64, segment of each token."""
    positions: Tensor
    """(b, l) int64, place of each token in its document."""
    visible: Tensor
    """(b, 1, 1 or l, l) bool, true where a token (second last) may look at another (last)."""


@dataclass(frozen=True)
class Kernels:
    """The functions that take the time, as they are or compiled."""

    transform: Callable[..., Tensor]
    keep: Callable[..., Tensor]


def kernels(compiled: bool) -> Kernels:
    """The kernels of training; compiling takes half a minute or more when they are first used.

    Shapes stay fixed: with dynamic ones, torch 2.13 compiles `keep` for CPUs to wrong masks.
    """
    if not compiled:
        return PLAIN
    return Kernels(torch.compile(transform, dynamic=False), torch.compile(keep, dynamic=False))


def embed(embeddings: Any, input_ids: Tensor, rows: Rows, beneath: Any = None) -> Tensor:
    """Sum and normalisation of word, type and position vectors, (b, l, e).

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
    """Last hidden states, (b, l, h), of a `transformers.ElectraModel` on embedded tokens.

    embedded: (b, l, e); visible: as in `Rows`; row_keys: (b,) int64, or None to drop nothing.
    """
    config = model.config
    length = embedded.shape[1]
    num_places = PLACES_PER_LAYER * config.num_hidden_layers + 1
    keys = None if row_keys is None else keys_at(row_keys, num_places)

    def kept(place: int, fraction: float, *shape: int) -> Tensor | None:
        return None if keys is None or not fraction else using.keep(keys[place], shape, fraction)

    hidden_fraction = config.hidden_dropout_prob
    attention_fraction = config.attention_probs_dropout_prob
    width, num_heads = config.hidden_size, config.num_attention_heads
    hidden = drop(
        embedded, kept(num_places - 1, hidden_fraction, *embedded.shape[1:]), hidden_fraction
    )
    if embedded.shape[-1] != width:
        hidden = model.embeddings_project(hidden)
    for index, layer in enumerate(model.encoder.layer):
        place = PLACES_PER_LAYER * index
        hidden = using.transform(
            hidden,
            visible,
            kept(place, attention_fraction, num_heads, length, length),
            kept(place + 1, hidden_fraction, length, width),
            kept(place + 2, hidden_fraction, length, width),
            _parameters(layer),
            num_heads,
            attention_fraction,
            hidden_fraction,
        )
    return hidden


def _parameters(layer: Any) -> tuple[Tensor, ...]:
    """Weight and bias of each part of a `transformers` layer, in the order of their use."""
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


def transform(
    hidden: Tensor,
    visible: Tensor,
    kept_probabilities: Tensor | None,
    kept_projection: Tensor | None,
    kept_output: Tensor | None,
    parameters: tuple[Tensor, ...],
    num_heads: int,
    attention_fraction: float,
    hidden_fraction: float,
) -> Tensor:
    """One layer: attention and feed-forward, each with dropout, residual and LayerNorm; (b, l, h).

    The kept masks come from `dropout.keep`, (b, heads, l, l) and twice (b, l, h).
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
    mixed = attend(heads, visible, kept_probabilities, attention_fraction)
    projected = F.linear(mixed.transpose(1, 2).flatten(2), projection, projection_bias)
    hidden = hidden + drop(projected, kept_projection, hidden_fraction)
    hidden = F.layer_norm(hidden, (width,), attention_scale, attention_shift, LAYER_NORM_EPSILON)
    narrowed = F.linear(F.gelu(F.linear(hidden, wide, wide_bias)), narrow, narrow_bias)
    hidden = hidden + drop(narrowed, kept_output, hidden_fraction)
    return F.layer_norm(hidden, (width,), output_scale, output_shift, LAYER_NORM_EPSILON)


def attend(heads: Tensor, visible: Tensor, kept: Tensor | None, fraction: float) -> Tensor:
    """Scaled dot-product attention of (3, b, heads, l, d) queries, keys and values.

    torch's fused attention draws its dropout from a device's generator, so it serves only where
    nothing is dropped.
    """
    queries, keys, values = heads.unbind(0)
    if kept is None:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    hidden_from = torch.zeros_like(visible, dtype=scores.dtype)
    scores = scores + hidden_from.masked_fill(~visible, torch.finfo(scores.dtype).min)
    return drop(torch.softmax(scores, dim=-1), kept, fraction).to(values.dtype) @ values


PLAIN = Kernels(transform, keep)
