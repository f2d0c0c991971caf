"""What shapes a pre-training: every value is identity, with its published default and source."""

from typing import Literal

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.core.optim import Schedule
from electra_pipeline.pretraining.initial_models import InitialModels
from electra_pipeline.pretraining.sizes import ModelOverrides, Size


class PretrainConfig(Config):
    """The objective and its optimization. Defaults are ELECTRA-Small's (paper table 6)."""

    size: Size = "small"
    """Published sizes small, base and large; tiny is for laptops and tests."""
    model: ModelOverrides = ModelOverrides()
    """Fields of the size to replace."""
    recipe: Literal["google", "clean"] = "google"
    """google: the published code's rules, quirks included. clean: masked positions are distinct, so
    that mask_fraction is what is masked, and Adam corrects its moments; goes with sequences.layout
    packed."""
    initialize_from: str | InitialModels | None = None
    """A trained pair to continue from: a published artifact, or any folder or URI with
    `discriminator/` and `generator/`; a name on the hub without its ending -discriminator; or
    {discriminator: ..., generator: ...}. Its shape must be the configured one; its vocabulary may
    be another. What its files hold is identity, where they lie is not."""
    steps: int = Field(default=1_000_000, ge=1)
    """Optimizer steps."""
    batch_sequences: int = Field(default=128, ge=1)
    """Sequences in one optimizer step, over all workers."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule before the decay's share (paper table 6)."""
    warmup_steps: int = Field(default=10_000, ge=0)
    """Steps of linear warm-up (paper table 6)."""
    schedule: Schedule = "linear"
    """How the rate falls: linear to zero at the last step (published), cosine, or constant."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of Adam's mean of gradients (paper table 6)."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of Adam's mean of squared gradients (paper table 6)."""
    adam_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the root of the squared mean (paper table 6)."""
    adam_bias_correction: bool | None = None
    """Whether Adam's first steps are corrected for moments that start at 0; null is the recipe's:
    google does not (optimization.py:114-133), clean does (Kingma and Ba 2015, arXiv:1412.6980)."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of all but LayerNorms and biases (paper table 6)."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of all gradients together (optimization.py:63)."""
    mask_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Tokens that the generator predicts (paper table 6: 0.15, large 0.25)."""
    generator_weight: float = Field(default=1.0, ge=0)
    """Weight of the generator's loss (configure_pretraining.py:38)."""
    discriminator_weight: float = Field(default=50.0, ge=0)
    """Weight of the discriminator's loss: lambda of the paper, section 3.1."""
    initial_replaced_fraction: float = Field(default=0.5, gt=0, lt=1)
    """What the untrained discriminator takes for the share of replaced tokens, through its output
    bias. Published: 0.5, a bias of 0. Near the true share (about mask_fraction * 0.9), a short run
    does not bend all its weights to learn the prior first."""
    initial_token_bias: Literal["zero", "frequency"] = "zero"
    """Output bias of the untrained generator. zero: as published. frequency: the logarithms of the
    pieces' frequencies, so that a short run does not bend the embeddings, which the output shares,
    to learn these first: Adam moves a bias by little more than the learning rate a step."""
    seed: int = Field(default=0, ge=0)
    """Seed of weights, order of the data, masks, samples and dropout."""
    log_every_steps: int = Field(default=100, ge=1)
    """Steps that one line of training metrics averages over."""
    evaluate_every_steps: int = Field(default=10_000, ge=1)
    """Steps between two evaluations on held-out sequences."""
    held_out_sequences: int = Field(default=1024, ge=1)
    """Held-out sequences that each evaluation reads, at most."""

    @property
    def has_bias_correction(self) -> bool:
        chosen = self.adam_bias_correction
        return self.recipe == "clean" if chosen is None else chosen
