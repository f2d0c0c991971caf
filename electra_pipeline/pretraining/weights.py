"""The weights of a step: those of transformers' modules in the form in which they are multiplied.

They are converted to the type of the matrix products once a step, not once a use. Query, key and
value are joined to one matrix, and what scales activations (attention's d ** -0.5, the factors of
dropout) is folded into matrices, which are smaller than what they are multiplied by.

Shapes: v tokens, h hidden size, e embedding size, d size of an attention head; matrices (out, in).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.utils._pytree import tree_leaves, tree_map_only

from electra_pipeline.pretraining import dropout


class Linear(NamedTuple):
    """A linear layer, in the type of the matrix products."""

    matrix: Tensor
    bias: Tensor


class Norm(NamedTuple):
    """A LayerNorm, always in float32: its weights are near 1, where bfloat16 is coarse."""

    scale: Tensor
    shift: Tensor


class Embeddings(NamedTuple):
    """Tables of vectors, (entries, e) float32, and the LayerNorm of their sum."""

    words: Tensor
    positions: Tensor
    types: Tensor
    norm: Norm
    pad: int
    """Id whose vector gets no gradient."""
    is_sparse: bool = False
    """Whether the gradient of `words` is a sparse tensor, of the tokens that occur."""


class Layer(NamedTuple):
    """A layer's weights in the order of their use."""

    joint: Linear
    """(3h, h): query, key and value; queries are scaled by d ** -0.5, values by the dropout."""
    projection: Linear
    """Scaled by the dropout."""
    attention_norm: Norm
    wide: Linear
    narrow: Linear
    """Scaled by the dropout."""
    output_norm: Norm


class Encoder(NamedTuple):
    """Projection from e to h, None where both are equal, and the layers."""

    projection: Linear | None
    layers: tuple[Layer | None, ...]
    """None where a layer is sharded over workers and converted when it is computed."""


class Weights(NamedTuple):
    """All weights of generator and discriminator."""

    generator_embeddings: Embeddings
    generator: Encoder
    generator_dense: Linear
    generator_norm: Norm
    vocabulary: Linear
    """(v, e): the generator's output."""
    discriminator_embeddings: Embeddings
    discriminator: Encoder
    discriminator_dense: Linear
    discriminator_output: Linear
    """(1, h) float32: thousands of tokens would share a logit of eight bits."""


def weights_of(generator: Any, discriminator: Any, dtype: torch.dtype, *, dropped: bool) -> Weights:
    """Return the weights of a `transformers` ElectraForMaskedLM and ElectraForPreTraining.

    dropped: whether the factors of dropout are folded in.
    """
    predictions = discriminator.discriminator_predictions
    return Weights(
        _embeddings(generator.electra.embeddings),
        _encoder(generator.electra, dtype, dropped),
        linear(generator.generator_predictions.dense, dtype),
        norm(generator.generator_predictions.LayerNorm),
        linear(generator.generator_lm_head, dtype),
        _embeddings(discriminator.electra.embeddings),
        _encoder(discriminator.electra, dtype, dropped),
        linear(predictions.dense, dtype),
        linear(predictions.dense_prediction, torch.float32),
    )


def _embeddings(block: Any) -> Embeddings:
    return Embeddings(
        block.word_embeddings.weight,
        block.position_embeddings.weight,
        block.token_type_embeddings.weight,
        norm(block.LayerNorm),
        block.word_embeddings.padding_idx,
    )


def _encoder(model: Any, dtype: torch.dtype, dropped: bool) -> Encoder:
    projection = getattr(model, "embeddings_project", None)
    return Encoder(
        None if projection is None else linear(projection, dtype),
        tuple(
            None if is_sharded(each) else layer_of(each, model.config, dtype, dropped=dropped)
            for each in model.encoder.layer
        ),
    )


def layer_of(layer: Any, config: Any, dtype: torch.dtype, *, dropped: bool) -> Layer:
    """Return the weights of a `transformers` layer; config: its model's; dropped: see above."""
    attention = layer.attention
    head_size = attention.self.attention_head_size
    hidden, probabilities = (
        dropout.scale(fraction if dropped else 0.0)
        for fraction in (config.hidden_dropout_prob, config.attention_probs_dropout_prob)
    )
    parts = (
        linear(attention.self.query, dtype, head_size**-0.5),
        linear(attention.self.key, dtype),
        linear(attention.self.value, dtype, probabilities),
    )
    matrices, biases = zip(*parts, strict=True)
    return Layer(
        Linear(torch.cat(matrices), torch.cat(biases)),
        linear(attention.output.dense, dtype, hidden),
        norm(attention.output.LayerNorm),
        linear(layer.intermediate.dense, dtype),
        linear(layer.output.dense, dtype, hidden),
        norm(layer.output.LayerNorm),
    )


def linear(module: Any, dtype: torch.dtype, factor: float = 1.0) -> Linear:
    """Return the weights of a `torch.nn.Linear`, scaled in their own type and converted."""
    scaled = (each if factor == 1.0 else each * factor for each in (module.weight, module.bias))
    return Linear(*(each.to(dtype) for each in scaled))


def norm(module: Any) -> Norm:
    """Return the weights of a `torch.nn.LayerNorm`."""
    return Norm(module.weight, module.bias)


def detached(weights: Weights) -> Weights:
    """Return the same weights as leaves of a new graph, with sparse gradients of word tables."""
    leaves: Weights = tree_map_only(Tensor, lambda each: each.detach().requires_grad_(), weights)
    return leaves._replace(
        generator_embeddings=leaves.generator_embeddings._replace(is_sparse=True),
        discriminator_embeddings=leaves.discriminator_embeddings._replace(is_sparse=True),
    )


def tensors(weights: Weights) -> list[Tensor]:
    """Return all tensors of the weights, in a fixed order."""
    return [each for each in tree_leaves(weights) if isinstance(each, Tensor)]


def is_sharded(module: Any) -> bool:
    """Return whether a module's parameters are sharded over the workers (`sharding.distribute`)."""
    return isinstance(module, FSDPModule)
