"""The published model sizes, and overrides of their shape."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config

Size = Literal["tiny", "small", "base", "large"]
EmbeddingSharing = Literal["tied", "gdes"]
Kind = Literal["discriminator", "generator"]
# Keys of a `transformers.ElectraConfig` and the fields of `ModelConfig` for the discriminator.
TRANSFORMERS_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "embedding_size": "embedding_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "intermediate_size": "feed_forward_size",
    }
)


class ModelConfig(Config):
    """Shape of the discriminator, and the size of the generator relative to it."""

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
    """Hidden size, heads and feed-forward width of the generator, relative to the discriminator."""
    generator_depth_fraction: float = Field(default=1.0, gt=0, le=1)
    """Layers of the generator, relative to the discriminator."""
    max_positions: int = Field(default=512, ge=8)
    """Rows of the position table: the longest input of the model, in tokens."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Hidden dropout of both models."""
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the attention probabilities of both models."""
    embedding_sharing: EmbeddingSharing = "tied"
    """tied: one embedding block for both models, as published. gdes: the discriminator adds its own
    to the generator's and sends no gradient to it (DeBERTaV3, arXiv:2111.09543, section 3)."""

    @model_validator(mode="after")
    def _check_heads(self) -> "ModelConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        return self

    def transformers_shape(self, kind: Kind) -> dict[str, int]:
        """Return the keys of a `transformers.ElectraConfig` that shape one of the two models.

        The generator has the fraction of the hidden size, a feed-forward width of 4x this, and one
        head for every 64 of it, at least one (run_pretraining.py:338-348).
        """
        if kind == "discriminator":
            return {key: getattr(self, field) for key, field in TRANSFORMERS_KEYS.items()}
        width = round(self.hidden_size * self.generator_width_fraction)
        num_heads = max(1, width // 64)
        return {
            "embedding_size": self.embedding_size,
            "hidden_size": width,
            "num_hidden_layers": max(1, round(self.num_layers * self.generator_depth_fraction)),
            "num_attention_heads": num_heads if width % num_heads == 0 else 1,
            "intermediate_size": 4 * width,
        }


def _override(name: str) -> Any:
    """Return an optional field with the description and bounds of the field of `ModelConfig`."""
    field = ModelConfig.model_fields[name]
    bounds = {type(each).__name__.lower(): each for each in field.metadata}  # Ge, Gt, Le, Lt
    return Field(
        default=None,
        description=field.description,
        **{bound: getattr(each, bound) for bound, each in bounds.items()},
    )


class ModelOverrides(Config):
    """Overrides of `ModelConfig`; null takes the value of the chosen size."""

    embedding_size: int | None = _override("embedding_size")
    hidden_size: int | None = _override("hidden_size")
    num_layers: int | None = _override("num_layers")
    num_heads: int | None = _override("num_heads")
    feed_forward_size: int | None = _override("feed_forward_size")
    generator_width_fraction: float | None = _override("generator_width_fraction")
    generator_depth_fraction: float | None = _override("generator_depth_fraction")
    max_positions: int | None = _override("max_positions")
    dropout: float | None = _override("dropout")
    attention_dropout: float | None = _override("attention_dropout")
    embedding_sharing: EmbeddingSharing | None = _override("embedding_sharing")


# Paper table 6 and configure_pretraining.py. `tiny` has the shape of BERT-Tiny (Turc et al. 2019,
# arXiv:1908.08962) with narrower embeddings, for laptops: few layers learn fastest from little
# text. Its dropout is 0 because so small a model underfits text that it sees a few times.
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
    """Return the shape of a size with overrides. Raises ValueError if they are inconsistent."""
    chosen = {key: value for key, value in overrides.model_dump().items() if value is not None}
    return ModelConfig(**{**SIZES[size].model_dump(), **chosen})
