"""Generator and discriminator: transformers' ELECTRA modules, tied and initialised as published.

Shapes: b rows, l tokens, n masked slots, v tokens in the vocabulary, h hidden size.
"""

import copy
import math
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from electra_pipeline.pretraining import generator_head, objective, transformer
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import Kind, ModelConfig
from electra_pipeline.pretraining.transformer import Kernels, Rows
from electra_pipeline.pretraining.weights import Weights, weights_of

INITIALIZER_STANDARD_DEVIATION = 0.02  # truncated at two deviations; model/modeling.py of the code


def _electra_config(
    config: ModelConfig, kind: Kind, vocab_size: int, pad_id: int
) -> transformers.ElectraConfig:
    return transformers.ElectraConfig(
        vocab_size=vocab_size,
        max_position_embeddings=config.max_positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        initializer_range=INITIALIZER_STANDARD_DEVIATION,
        pad_token_id=pad_id,
        **config.transformers_shape(kind),
    )


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw weights from a normal truncated at two deviations; biases 0, LayerNorm 1 and 0."""
    limit = 2 * INITIALIZER_STANDARD_DEVIATION
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(
                child.weight,
                std=INITIALIZER_STANDARD_DEVIATION,
                a=-limit,
                b=limit,
                generator=generator,
            )
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
        if isinstance(child, nn.Linear | nn.LayerNorm) and child.bias is not None:
            nn.init.zeros_(child.bias)


class Electra(nn.Module):
    """Generator and discriminator, trained by one backward pass.

    With tied embeddings, both models share the discriminator's embedding block (word, position and
    type tables and their LayerNorm), and its word table is the generator's output matrix, as in the
    published code (modeling.py:187-218; the paper's text shares token and position embeddings
    only). With gdes the generator has its own block, and the discriminator adds its own tables,
    initially 0, to the generator's.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        masking: Masking,
        seed: int,
        initial_replaced_fraction: float = 0.5,
        kernels: Kernels = transformer.PLAIN,
    ) -> None:
        super().__init__()
        self.masking = masking
        self.kernels = kernels
        pad_id = masking.special.pad
        self.discriminator = transformers.ElectraForPreTraining(
            _electra_config(config, "discriminator", vocab_size, pad_id)
        )
        self.generator = transformers.ElectraForMaskedLM(
            _electra_config(config, "generator", vocab_size, pad_id)
        )
        self.is_tied = config.embedding_sharing == "tied"
        if self.is_tied:
            self.generator.electra.embeddings = self.discriminator.electra.embeddings
        # transformers ties the output to the table that it has built: tie it to the one in use
        self.generator.generator_lm_head.weight = self.word_embeddings
        _initialise(self, torch.Generator().manual_seed(seed))
        if not self.is_tied:
            for table in _tables(self.discriminator):
                nn.init.zeros_(table)
        log_odds = math.log(initial_replaced_fraction / (1 - initial_replaced_fraction))
        nn.init.constant_(
            self.discriminator.discriminator_predictions.dense_prediction.bias, log_odds
        )

    @torch.no_grad()
    def set_token_bias(self, log_frequencies: Tensor) -> None:
        """Let the untrained generator predict tokens by their log frequencies, (v,) float32."""
        self.generator.generator_lm_head.bias.copy_(log_frequencies)

    @property
    def word_embeddings(self) -> nn.Parameter:
        """The generator's word table, (v, embedding_size), both input and output."""
        table: nn.Parameter = self.generator.electra.embeddings.word_embeddings.weight
        return table

    @property
    def _using(self) -> Kernels:
        """Plain kernels in evaluation: it has other shapes, takes little time and memory."""
        return self.kernels if self.training else transformer.PLAIN

    def weights(self, dtype: torch.dtype) -> Weights:
        """Return the weights of a step as functions of the parameters; matrices in `dtype`."""
        return weights_of(self.generator, self.discriminator, dtype, dropped=self.training)

    def generator_states(
        self, w: Weights, masked: objective.Masked, rows: Rows, dropout_keys: Tensor | None = None
    ) -> Tensor:
        """Return the input of the generator's output matrix at the masked slots only, (b, n, e).

        Other positions have no loss; leaving them out makes small models several times faster.
        """
        model, dtype = self.generator.electra, w.vocabulary.matrix.dtype
        embedded = transformer.embed(w.generator_embeddings, masked.input_ids, rows)
        hidden = transformer.encode(
            model, w.generator, embedded, rows, dropout_keys, dtype, self._using
        )
        slots = masked.positions[..., None].expand(-1, -1, hidden.shape[-1])
        states = F.gelu(transformer.linear(hidden.gather(1, slots), w.generator_dense))
        return transformer.layer_norm(states, w.generator_norm)

    def discriminator_logits(
        self, w: Weights, input_ids: Tensor, rows: Rows, dropout_keys: Tensor | None = None
    ) -> Tensor:
        """Return one logit per token, positive for "replaced", (b, l) float32."""
        model, dtype = self.discriminator.electra, w.vocabulary.matrix.dtype
        beneath = None if self.is_tied else w.generator_embeddings
        embedded = transformer.embed(w.discriminator_embeddings, input_ids, rows, beneath)
        hidden = transformer.encode(
            model, w.discriminator, embedded, rows, dropout_keys, dtype, self._using
        )
        states = F.gelu(transformer.linear(hidden, w.discriminator_dense))
        return transformer.linear(states.float(), w.discriminator_output).squeeze(-1)

    def forward(
        self, batch: Batch, dtype: torch.dtype = torch.float32, weights: Weights | None = None
    ) -> dict[str, Tensor]:
        """Return loss sums over this worker's rows and the inputs of the metrics.

        dtype: type of matrix products and activations; losses are in float32. weights: those of
        this step, if they were converted already.
        Keys: generator_loss_sum, discriminator_loss_sum, () with gradient; predicted (whether the
        generator's most likely token is the original), sampled_ids, original_ids, weights, (b, n);
        discriminator_logits, labels, present, (b, l).
        """
        w = self.weights(dtype) if weights is None else weights
        rows = layout(batch, self.masking.special.cls)
        generator_keys, discriminator_keys = (
            batch.dropout_keys.unbind(1) if self.training else (None, None)
        )
        masked = objective.mask_tokens(
            batch.input_ids,
            batch.lengths,
            batch.counts,
            batch.position_noise,
            batch.slot_noise[..., 0],
            self.masking,
        )
        predictions = generator_head.predict(
            self.generator_states(w, masked, rows, generator_keys),
            w.vocabulary,
            masked,
            batch.slot_noise[..., 1],
        )
        corrupted, labels = objective.corrupt(batch.input_ids, masked, predictions.sampled_ids)
        discriminator_logits = self.discriminator_logits(w, corrupted, rows, discriminator_keys)
        present = objective.attention_mask(batch.lengths, batch.input_ids.shape[1])
        return {
            "generator_loss_sum": predictions.loss_sum,
            "discriminator_loss_sum": objective.discriminator_loss_sum(
                discriminator_logits, labels, present
            ),
            "predicted": predictions.is_original,
            "sampled_ids": predictions.sampled_ids,
            "original_ids": masked.original_ids,
            "weights": masked.weights,
            "discriminator_logits": discriminator_logits.detach(),
            "labels": labels,
            "present": present,
        }

    @torch.no_grad()
    def published(self) -> tuple[Any, Any]:
        """Return generator and discriminator for transformers, with the tables of gdes added up."""
        if self.is_tied:
            return self.generator, self.discriminator
        discriminator = copy.deepcopy(self.discriminator)
        for table, beneath in zip(_tables(discriminator), _tables(self.generator), strict=True):
            table.add_(beneath)
        return self.generator, discriminator


def _tables(part: Any) -> tuple[nn.Parameter, ...]:
    """Return the word, position and type tables of one of the two models."""
    embeddings = part.electra.embeddings
    return (
        embeddings.word_embeddings.weight,
        embeddings.position_embeddings.weight,
        embeddings.token_type_embeddings.weight,
    )


def layout(batch: Batch, cls: int) -> Rows:
    """Return types, positions and documents of a batch's tokens, the same for both models."""
    length = batch.input_ids.shape[1]
    present = objective.attention_mask(batch.lengths, length)
    types = objective.token_type_ids(batch.segment_b, batch.lengths, length)
    positions = torch.arange(length, device=batch.input_ids.device).expand_as(batch.input_ids)
    if not batch.is_packed:
        return Rows(types, positions, present, None, batch.num_parts)
    starts = objective.document_starts(batch.input_ids, cls)
    return Rows(types, positions - starts, present, starts, batch.num_parts)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters, counting a shared tensor once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
