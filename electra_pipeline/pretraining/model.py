"""Generator and discriminator: transformers' ELECTRA modules, tied and initialised as published.

Shapes: b rows, l tokens, n masked slots, v tokens in the vocabulary, h hidden size.
"""

import copy
import math
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from electra_pipeline.pretraining import objective, transformer
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import Kind, ModelConfig
from electra_pipeline.pretraining.transformer import Rows

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
        kernels: transformer.Kernels = transformer.PLAIN,
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
    def _using(self) -> transformer.Kernels:
        """Plain kernels in evaluation: it has other shapes, takes little time and memory."""
        return self.kernels if self.training else transformer.PLAIN

    def generator_logits(
        self, masked: objective.Masked, rows: Rows, dropout_keys: Tensor | None
    ) -> Tensor:
        """Return vocabulary logits at the masked slots only, (b, n, v).

        Other positions have no loss; leaving them out makes small models several times faster.
        """
        model = self.generator.electra
        embedded = transformer.embed(model.embeddings, masked.input_ids, rows)
        hidden = transformer.encode(model, embedded, rows.visible, dropout_keys, self._using)
        slots = masked.positions[..., None].expand(-1, -1, hidden.shape[-1])
        head = self.generator.generator_predictions(hidden.gather(1, slots))
        logits: Tensor = self.generator.generator_lm_head(head)
        return logits

    def discriminator_logits(
        self, input_ids: Tensor, rows: Rows, dropout_keys: Tensor | None
    ) -> Tensor:
        """Return one logit per token, positive for "replaced", (b, l)."""
        model = self.discriminator.electra
        beneath = None if self.is_tied else self.generator.electra.embeddings
        embedded = transformer.embed(model.embeddings, input_ids, rows, beneath)
        hidden = transformer.encode(model, embedded, rows.visible, dropout_keys, self._using)
        logits: Tensor = self.discriminator.discriminator_predictions(hidden)
        return logits

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return loss sums over this worker's rows and the inputs of the metrics.

        Keys: generator_loss_sum, discriminator_loss_sum, () with gradient; predicted_ids,
        sampled_ids, original_ids, weights, (b, n); discriminator_logits, labels, present, (b, l).
        """
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
        generator_logits = self.generator_logits(masked, rows, generator_keys)
        sampled_ids = objective.sample(generator_logits.detach(), batch.slot_noise[..., 1])
        corrupted, labels = objective.corrupt(batch.input_ids, masked, sampled_ids)
        discriminator_logits = self.discriminator_logits(corrupted, rows, discriminator_keys)
        present = objective.attention_mask(batch.lengths, batch.input_ids.shape[1])
        return {
            "generator_loss_sum": objective.generator_loss_sum(generator_logits, masked),
            "discriminator_loss_sum": objective.discriminator_loss_sum(
                discriminator_logits, labels, present
            ),
            "predicted_ids": generator_logits.detach().argmax(dim=-1),
            "sampled_ids": sampled_ids,
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
    """Return types, positions and visibility of a batch's tokens, the same for both models."""
    length = batch.input_ids.shape[1]
    present = objective.attention_mask(batch.lengths, length)
    types = objective.token_type_ids(batch.segment_b, batch.lengths, length)
    positions = torch.arange(length, device=batch.input_ids.device).expand_as(batch.input_ids)
    visible = present[:, None, None, :]
    if not batch.is_packed:
        return Rows(types, positions, visible)
    starts = objective.document_starts(batch.input_ids, cls)
    same_document = starts[:, None, :, None] == starts[:, None, None, :]
    return Rows(types, positions - starts, visible & same_document)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters, counting a shared tensor once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
