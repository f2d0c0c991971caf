"""The hyper-parameters of a fine-tuning; apart from the loop, so that planning needs no torch."""

import math
from typing import Literal

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.core.schedule import Schedule


class Hyperparameters(Config):
    """All hyper-parameters of a fine-tuning, resolved: no value depends on another one."""

    learning_rate: float = Field(gt=0)
    """Peak of the schedule, before the factor of the layer."""
    layer_decay: float = Field(gt=0, le=1)
    """Factor of the learning rate from each layer to the one below."""
    layer_extra_exponent: int = Field(ge=0)
    """Additional power of layer_decay for all layers but the head."""
    weight_decay: float = Field(ge=0)
    warmup_fraction: float = Field(ge=0, le=1)
    batch_examples: int = Field(ge=1)
    epochs: float = Field(gt=0)
    max_length: int = Field(ge=16)
    loss_reduction: Literal["sum", "mean"]
    adam_bias_correction: bool
    max_gradient_norm: float = Field(gt=0)
    schedule: Schedule = "linear"
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    adam_epsilon: float = Field(default=1e-6, gt=0)

    def num_steps(self, num_features: int) -> int:
        """Return the number of optimizer steps; the last batch of an epoch may be smaller."""
        return max(1, round(self.epochs * math.ceil(num_features / self.batch_examples)))
