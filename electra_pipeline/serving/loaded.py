"""A loaded model with its tokenizer and, for a task, its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Encoding
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from electra_pipeline.tasks.kinds.decoding_settings import DecodingSettings
from electra_pipeline.tasks.kinds.inference import predict
from electra_pipeline.tasks.kinds.kind import Encoded, TaskKind

BATCH_SIZE = 32  # inputs, or windows of them, in one forward pass


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, with what encodes its inputs and decodes its outputs."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    """Tokens of an input."""
    kind: TaskKind[Any, Any] | None = None
    """None for the heads of pre-training."""
    settings: DecodingSettings | None = None
    """Stored by the model's fine-tuning; None for a model from elsewhere."""

    @torch.inference_mode()
    def logits(self, texts: Sequence[str]) -> tuple[list[Encoding], Tensor]:
        """Return texts tokenized, padded and cut to `max_length`, and float32 logits on the CPU."""
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        )
        names = set(self.tokenizer.model_input_names)
        inputs = {
            name: value.to(self.model.device) for name, value in encoded.items() if name in names
        }
        return encoded.encodings, self.model(**inputs).logits.float().cpu()

    def predict(self, examples: Sequence[Any]) -> tuple[Encoded, list[Any]]:
        """Return the model inputs of a task's examples, and the prediction of each."""
        assert self.kind is not None
        return predict(
            self.model,
            self.tokenizer,
            self.kind,
            examples,
            max_length=self.max_length,
            batch_examples=BATCH_SIZE,
        )
