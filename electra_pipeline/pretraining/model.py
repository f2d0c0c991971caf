"""Generator and discriminator: transformers' ELECTRA modules, tied and initialised as published."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
import transformers
from pydantic import Field, model_validator
from torch import Tensor, nn

from electra_pipeline.identity import Config
from electra_pipeline.pretraining import objective
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.objective import SpecialIds

Size = Literal["tiny", "small", "base", "large"]

INITIALIZER_STANDARD_DEVIATION = 0.02  # truncated at two deviations; model/modeling.py of the code


class ModelConfig(Config):
    """Shape of the discriminator, and how much smaller the generator is."""

    embedding_size: int = Field(ge=1)
    """Width of the token embeddings that generator and discriminator share."""
    hidden_size: int = Field(ge=1)
    """Width of the discriminator."""
    num_layers: int = Field(ge=1)
    """Transformer layers of the discriminator."""
    num_heads: int = Field(ge=1)
    """Attention heads of the discriminator."""
    feed_forward_size: int = Field(ge=1)
    """Width of the discriminator's feed-forward layers."""
    generator_width_fraction: float = Field(gt=0, le=1)
    """Generator's hidden size, heads and feed-forward width over the discriminator's."""
    generator_depth_fraction: float = Field(default=1.0, gt=0, le=1)
    """Generator's layers over the discriminator's."""
    max_positions: int = Field(default=512, ge=8)
    """Rows of the position table: the longest input the model will ever read."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Hidden dropout of both models."""
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the attention probabilities of both models."""

    @model_validator(mode="after")
    def _check_heads(self) -> "ModelConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        return self

    @property
    def generator_num_layers(self) -> int:
        return max(1, round(self.num_layers * self.generator_depth_fraction))

    @property
    def generator_hidden_size(self) -> int:
        """The fraction of the hidden size (run_pretraining.py:338-348); its feed-forward is 4x."""
        return round(self.hidden_size * self.generator_width_fraction)

    @property
    def generator_num_heads(self) -> int:
        """One head for every 64 of the generator's width, at least one (run_pretraining.py:345)."""
        heads = max(1, self.generator_hidden_size // 64)
        return heads if self.generator_hidden_size % heads == 0 else 1


class ModelOverrides(Config):
    """Any field of `ModelConfig`; null takes the value of the chosen size."""

    embedding_size: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    feed_forward_size: int | None = None
    generator_width_fraction: float | None = None
    generator_depth_fraction: float | None = None
    max_positions: int | None = None
    dropout: float | None = None
    attention_dropout: float | None = None


# Paper table 6 and configure_pretraining.py. `tiny` has the shape of BERT-Tiny (Turc et al. 2019,
# arXiv:1908.08962) with narrower embeddings, for laptops: few layers learn soonest from little
# text. Its dropout is 0 because so small a model underfits what it sees a few times.
SIZES: Mapping[str, ModelConfig] = MappingProxyType(
    {
        "tiny": ModelConfig(
            embedding_size=64,
            hidden_size=128,
            num_layers=2,
            num_heads=2,
            feed_forward_size=512,
            generator_width_fraction=1 / 2,
            dropout=0.0,
            attention_dropout=0.0,
        ),
        "small": ModelConfig(
            embedding_size=128,
            hidden_size=256,
            num_layers=12,
            num_heads=4,
            feed_forward_size=1024,
            generator_width_fraction=1 / 4,
        ),
        "base": ModelConfig(
            embedding_size=768,
            hidden_size=768,
            num_layers=12,
            num_heads=12,
            feed_forward_size=3072,
            generator_width_fraction=1 / 3,
        ),
        "large": ModelConfig(
            embedding_size=1024,
            hidden_size=1024,
            num_layers=24,
            num_heads=16,
            feed_forward_size=4096,
            generator_width_fraction=1 / 4,
        ),
    }
)


def model_config(size: Size, overrides: ModelOverrides) -> ModelConfig:
    """The shape of a size with some fields replaced. Raises ValueError if they do not fit."""
    chosen = {key: value for key, value in overrides.model_dump().items() if value is not None}
    return ModelConfig(**{**SIZES[size].model_dump(), **chosen})


def _electra_config(
    config: ModelConfig, vocab_size: int, pad_id: int, **shape: int
) -> transformers.ElectraConfig:
    return transformers.ElectraConfig(
        vocab_size=vocab_size,
        embedding_size=config.embedding_size,
        max_position_embeddings=config.max_positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        initializer_range=INITIALIZER_STANDARD_DEVIATION,
        pad_token_id=pad_id,
        **shape,
    )


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Weights from a normal truncated at two deviations, biases 0, LayerNorm 1 and 0."""
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
    """Generator and discriminator with one embedding block, trained by one backward pass.

    The block (word, position and type tables and their LayerNorm) and the generator's output
    matrix are the discriminator's own modules, as in the published code (modeling.py:187-218; the
    paper's text shares token and position embeddings only).
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        special: SpecialIds,
        seed: int,
        initial_replaced_fraction: float = 0.5,
    ) -> None:
        super().__init__()
        self.special = special
        self.discriminator = transformers.ElectraForPreTraining(
            _electra_config(
                config,
                vocab_size,
                special.pad,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.feed_forward_size,
            )
        )
        self.generator = transformers.ElectraForMaskedLM(
            _electra_config(
                config,
                vocab_size,
                special.pad,
                hidden_size=config.generator_hidden_size,
                num_hidden_layers=config.generator_num_layers,
                num_attention_heads=config.generator_num_heads,
                intermediate_size=4 * config.generator_hidden_size,
            )
        )
        self.generator.electra.embeddings = self.discriminator.electra.embeddings
        # transformers ties the output to the table that it built itself: tie it to the shared one
        self.generator.generator_lm_head.weight = self.word_embeddings
        _initialise(self, torch.Generator().manual_seed(seed))
        log_odds = math.log(initial_replaced_fraction / (1 - initial_replaced_fraction))
        nn.init.constant_(
            self.discriminator.discriminator_predictions.dense_prediction.bias, log_odds
        )

    @property
    def word_embeddings(self) -> nn.Parameter:
        """The token table, (v, embedding_size), that three places share."""
        table: nn.Parameter = self.discriminator.electra.embeddings.word_embeddings.weight
        return table

    def generator_logits(self, masked: objective.Masked, present: Tensor, types: Tensor) -> Tensor:
        """Vocabulary logits at the masked slots only, (b, n, v).

        All other positions have no loss; leaving them out is most of the speed of a small model.
        """
        hidden = self.generator.electra(
            input_ids=masked.input_ids, attention_mask=present, token_type_ids=types
        ).last_hidden_state
        slots = masked.positions[..., None].expand(-1, -1, hidden.shape[-1])
        head = self.generator.generator_predictions(hidden.gather(1, slots))
        logits: Tensor = self.generator.generator_lm_head(head)
        return logits

    def discriminator_logits(self, input_ids: Tensor, present: Tensor, types: Tensor) -> Tensor:
        """One logit a token, positive for "replaced", (b, l)."""
        logits: Tensor = self.discriminator(
            input_ids=input_ids, attention_mask=present, token_type_ids=types
        ).logits
        return logits

    def forward(self, batch: Batch, mask_fraction: float) -> dict[str, Tensor]:
        """Loss sums over this worker's rows, and what the metrics need, all without averaging.

        Keys: generator_loss_sum, discriminator_loss_sum (with gradient); sampled_ids,
        predicted_ids (b, n), discriminator_logits (b, l), labels (b, l), present (b, l), weights,
        original_ids (b, n).
        """
        length = batch.input_ids.shape[1]
        present = objective.attention_mask(batch.lengths, length)
        types = objective.token_type_ids(batch.segment_b, batch.lengths, length)
        masked = objective.mask_tokens(
            batch.input_ids, batch.lengths, batch.noise, self.special, mask_fraction
        )
        generator_logits = self.generator_logits(masked, present, types)
        sampled_ids = objective.sample(generator_logits.detach(), batch.noise[..., 2])
        corrupted, labels = objective.corrupt(batch.input_ids, masked, sampled_ids)
        discriminator_logits = self.discriminator_logits(corrupted, present, types)
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


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers, a shared tensor once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
