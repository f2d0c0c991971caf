"""A loaded model with what turns texts into its inputs, and its output into predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from electra_pipeline.finetuning.loop import predict
from electra_pipeline.tasks.kinds.kind import Encoded, TaskKind
from electra_pipeline.tasks.kinds.settings import Settings

BATCH_SIZE = 32  # inputs, or windows of them, in one forward pass


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with its tokenizer and, for a task's head, how it is decoded."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    """Tokens of an input."""
    kind: TaskKind[Any, Any] | None = None
    """None for the heads of pre-training."""
    settings: Settings | None = None
    """What was kept of the model's fine-tuning; None for a model from elsewhere."""

    def encode(self, texts: Sequence[str]) -> BatchEncoding:
        """Tokenize a batch, padded and cut to `max_length`."""
        encoded: BatchEncoding = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        return encoded

    @torch.inference_mode()
    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """The model's float32 logits for a batch, on the CPU."""
        names = set(self.tokenizer.model_input_names)
        inputs = {
            name: value.to(self.model.device) for name, value in encoded.items() if name in names
        }
        logits: Tensor = self.model(**inputs).logits
        return logits.float().cpu()

    def ask(self, examples: Sequence[Any]) -> tuple[Encoded, list[NDArray[np.float32]]]:
        """Model inputs of a task's examples, and the logits of each, as scoring has them."""
        assert self.kind is not None
        encoded = self.kind.encode(self.tokenizer, examples, self.max_length, training=False)
        logits = predict(self.model, self.kind, encoded.features, batch_examples=BATCH_SIZE)
        return encoded, logits

    def decoded(self, examples: Sequence[Any]) -> tuple[Encoded, list[Any]]:
        """Model inputs of a task's examples, and the prediction of each."""
        assert self.kind is not None
        encoded, logits = self.ask(examples)
        return encoded, self.kind.decode(examples, encoded.features, logits)
