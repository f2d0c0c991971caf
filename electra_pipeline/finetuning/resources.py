"""Estimate a trial's operations and memory from the model's shape and the data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from electra_pipeline.finetuning.hyperparameters import Hyperparameters

# English text in BERT's vocabulary of 30,522 tokens has 4 to 5 characters a token, with spaces.
CHARACTERS_PER_TOKEN = 4.0
FLOAT_BYTES = 4  # of float32, in which weights, gradients and Adam's two moments are kept


@dataclass(frozen=True)
class Estimate:
    """Expected operations and memory of one trial."""

    operations: float
    """Floating-point operations of all training steps."""
    memory_bytes: int
    """Weights, gradients, moments, and the activations of a batch of the longest inputs."""


@dataclass(frozen=True)
class EncoderShape:
    """The numbers of an encoder that determine its operations and memory."""

    num_parameters: int
    num_matrix_parameters: int
    """Without embedding tables, which are looked up, not multiplied."""
    num_layers: int
    hidden_size: int
    num_heads: int

    @classmethod
    def of(cls, architecture: Any) -> "EncoderShape":
        """Return the shape of a transformers config; no memory is allocated for weights."""
        import torch  # here, as both take seconds and only planning needs them
        import transformers

        with torch.device("meta"):
            encoder = transformers.AutoModel.from_config(architecture)
        tables = sum(
            module.weight.numel()
            for module in encoder.modules()
            if isinstance(module, torch.nn.Embedding)
        )
        num_parameters = sum(parameter.numel() for parameter in encoder.parameters())
        return cls(
            num_parameters,
            num_parameters - tables,
            architecture.num_hidden_layers,
            architecture.hidden_size,
            architecture.num_attention_heads,
        )

    def estimate(self, texts: Iterable[str], hyperparameters: Hyperparameters) -> Estimate:
        """Estimate the fine-tuning on examples of these texts, cut to the longest input.

        Operations: 6 for each weight and token, forward and backward (Kaplan et al. 2020,
        arXiv:2001.08361, table 1), and 12 x width x length for a token's attention in each layer.
        Memory: 16 bytes a parameter, and for each token and layer 34 x width + 7 x heads x length
        bytes in 16 bits, so twice as many in float32 (Korthikanti et al. 2022, arXiv:2205.05198,
        equation 1, which has 5 for the 7: on a CPU dropout's mask is of floats). ELECTRA-Small took
        0.46 GB for 8 x 128 tokens and 1.35 GB for 4 x 512 on a CPU; estimated were 0.52 and 1.35.
        In bfloat16 less is needed, half as much for 4 x 512.
        """
        longest = hyperparameters.max_length
        lengths = [min(len(text) / CHARACTERS_PER_TOKEN + 2, longest) for text in texts]
        width = self.hidden_size
        epoch_operations = sum(
            length * (6 * self.num_matrix_parameters + 12 * self.num_layers * width * length)
            for length in lengths
        )
        state = 4 * FLOAT_BYTES * self.num_parameters
        token_bytes = self.num_layers * (34 * width + 7 * self.num_heads * longest) * 2
        activations = hyperparameters.batch_examples * longest * token_bytes
        return Estimate(hyperparameters.epochs * epoch_operations, state + activations)
