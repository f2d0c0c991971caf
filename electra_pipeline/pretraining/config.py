"""Configuration of sequences and pre-training: all values are identity, with their sources."""

from typing import Literal

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.core.schedule import Schedule
from electra_pipeline.pretraining.initial_models import InitialModels
from electra_pipeline.pretraining.rows import Layout
from electra_pipeline.pretraining.sizes import ModelOverrides, Size
from electra_pipeline.pretraining.text_encoding import Split

STAGE = "pretrain"


class SequencesConfig(Config):
    """How documents become sequences."""

    length: int = Field(default=128, ge=8, le=65535)
    """Tokens in a sequence, including [CLS], [SEP] and padding (paper table 6: small 128, base
    512)."""
    layout: Layout = "google"
    """google: the published pairs of segments A and B, padded; text that is too long is discarded.
    packed: all text, in subsequences of one document each; several fill a row and do not attend to
    each other."""
    split: Split = "sentences"
    """Units between which documents are preferably cut: sentences, or lines as in the published
    code."""
    seed: int = Field(default=0, ge=0)
    """Seed of the random choices of the google layout; each document derives its own from it."""


class PretrainConfig(Config):
    """The objective and its optimization. Defaults are ELECTRA-Small's (paper table 6)."""

    size: Size = "small"
    """Published sizes small, base and large; tiny is for laptops and tests."""
    model: ModelOverrides = ModelOverrides()
    """Overrides of the shape of `size`."""
    recipe: Literal["google", "clean"] = "google"
    """google: the published code's rules, quirks included. clean: masked positions are distinct, so
    that exactly mask_fraction is masked, and Adam corrects its moments; meant for sequences.layout
    packed."""
    initialize_from: str | InitialModels | None = None
    """A trained pair of models to initialize from: a published artifact, or any folder or URI with
    `discriminator/` and `generator/`; a name on the hub without its ending -discriminator; or
    {discriminator: ..., generator: ...}. Its shape must be the configured one; its vocabulary may
    differ. The content of its files is identity, their path is not."""
    steps: int = Field(default=1_000_000, ge=1)
    """Optimizer steps."""
    batch_sequences: int = Field(default=128, ge=1)
    """Sequences in one optimizer step, over all workers."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule without the decay (paper table 6)."""
    warmup_steps: int = Field(default=10_000, ge=0)
    """Steps of linear warm-up (paper table 6)."""
    schedule: Schedule = "linear"
    """Decay of the learning rate: linear to zero at the last step (published), cosine, constant."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of Adam's mean of gradients (paper table 6)."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of Adam's mean of squared gradients (paper table 6)."""
    adam_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the root of the squared mean (paper table 6)."""
    adam_bias_correction: bool | None = None
    """Whether Adam's first steps are corrected for moments that start at 0. null follows the
    recipe: google does not (optimization.py:114-133), clean does (Kingma and Ba 2015,
    arXiv:1412.6980)."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay of all parameters but LayerNorms and biases (paper table 6)."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Maximum global norm of the gradients (optimization.py:63)."""
    mask_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Fraction of tokens that the generator predicts (paper table 6: 0.15, large 0.25)."""
    generator_weight: float = Field(default=1.0, ge=0)
    """Weight of the generator's loss (configure_pretraining.py:38)."""
    discriminator_weight: float = Field(default=50.0, ge=0)
    """Weight of the discriminator's loss: lambda of the paper, section 3.1."""
    initial_replaced_fraction: float = Field(default=0.5, gt=0, lt=1)
    """Rate of replaced tokens that the untrained discriminator predicts, through its output bias.
    Published: 0.5, a bias of 0. With a value near the true rate (about mask_fraction * 0.9), a
    short run does not spend its first steps on learning that rate with all its weights."""
    initial_token_bias: Literal["zero", "frequency"] = "zero"
    """Output bias of the untrained generator. zero: as published. frequency: the log frequencies of
    the tokens, so that a short run does not learn these first through the embeddings, which are
    also the output matrix: Adam moves a bias by little more than the learning rate per step."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, order of the data, masks, samples and dropout."""
    log_every_steps: int = Field(default=100, ge=1)
    """Steps between two lines of training metrics."""
    evaluate_every_steps: int = Field(default=10_000, ge=1)
    """Steps between two evaluations on held-out sequences."""
    held_out_sequences: int = Field(default=1024, ge=1)
    """Maximum number of held-out sequences of an evaluation."""

    @property
    def has_bias_correction(self) -> bool:
        choice = self.adam_bias_correction
        return self.recipe == "clean" if choice is None else choice
