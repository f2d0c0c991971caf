"""Multiple choice: several choices of which one is right (SWAG, ARC, PIQA)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from torch import Tensor

from electra_pipeline.tasks.kinds.encoding import has_token_types, num_characters_cut, pre_truncate
from electra_pipeline.tasks.kinds.kind import NO_TOKEN, Encoded, Feature, TaskKind


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A text and its possible continuations or answers."""

    id: str
    text: str
    choices: tuple[str, ...]
    gold: int | None
    """Position of the right choice; None if the example is not scored."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split."""
        return "\t".join((self.text, *self.choices))


@dataclass(frozen=True)
class ChoicePrediction:
    """The position of the likeliest choice, and the probability of each."""

    index: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class MultipleChoice(TaskKind[ChoiceExample, ChoicePrediction]):
    """One of an example's choices: the model computes one logit for each pair of text and choice.

    The loss is a softmax over an example's choices, as in SWAG (Zellers et al. 2018) and
    transformers' heads. Examples of one batch may have different numbers of choices (ARC: 3 to 5).
    """

    name = "multiple-choice"
    auto_class = "AutoModelForMultipleChoice"

    def encode(
        self, tokenizer: Any, examples: Sequence[ChoiceExample], max_length: int, *, training: bool
    ) -> Encoded:
        """Return one feature an example: (length, choices) token ids of text and choice.

        The text is cut first and equally for all choices, so that they are compared with the same
        text; a choice is cut only if it leaves less than half of the input to the text.
        """
        if not examples:
            return Encoded([])
        flat = [choice.strip() for example in examples for choice in example.choices]
        texts = _tokenize(tokenizer, [example.text.strip() for example in examples], max_length)
        encodings = _tokenize(tokenizer, flat, max_length)
        capacity = max_length - tokenizer.num_special_tokens_to_add(pair=True)
        has_segments = has_token_types(tokenizer)
        features = []
        truncated = {}
        start = 0
        for position, (example, text) in enumerate(zip(examples, texts, strict=True)):
            choices = encodings[start : start + len(example.choices)]
            start += len(example.choices)
            longest = max(len(choice) for choice in choices)
            room = max(capacity - longest, min(len(text), capacity // 2))
            is_cut = len(text) > room or longest > capacity - min(len(text), room)
            text.truncate(room)
            for choice in choices:
                choice.truncate(capacity - len(text))
            if is_cut:
                kept = [each.offsets for each in (text, *choices)]
                truncated[position] = num_characters_cut((example.text, *example.choices), kept)
            pairs = [tokenizer.backend_tokenizer.post_process(text, choice) for choice in choices]
            length = max(len(pair) for pair in pairs)
            ids = np.full((length, len(pairs)), NO_TOKEN, dtype=np.int32)
            for column, pair in enumerate(pairs):
                ids[: len(pair), column] = pair.ids
            features.append(
                Feature(
                    input_ids=ids,
                    # the text is the same for all, and so is the position where a choice begins
                    segment_b=pairs[0].type_ids.index(1)
                    if has_segments and any(pairs[0].type_ids)
                    else length,
                    target=np.array([example.gold or 0, len(pairs)], dtype=np.int64),
                    example=position,
                )
            )
        return Encoded(features, truncated)

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy over each example's own choices.

        targets: (batch, 2), the position of the right choice and the number of choices.
        """
        gold, num_choices = targets.unbind(dim=-1)
        is_padding = torch.arange(logits.shape[1], device=logits.device) >= num_choices[:, None]
        scores = logits.masked_fill(is_padding, -torch.inf)
        return F.cross_entropy(scores, gold, reduction="sum"), targets.new_tensor(len(targets))

    def decode(
        self,
        examples: Sequence[ChoiceExample],
        features: Sequence[Feature],
        logits: Sequence[Any],
    ) -> list[ChoicePrediction]:
        found = []
        for example, row in zip(examples, logits, strict=True):
            scores = np.asarray(row, dtype=np.float64)[: len(example.choices)]
            probabilities = tuple(softmax(scores).tolist())
            found.append(ChoicePrediction(int(scores.argmax()), probabilities))
        return found

    def majority(
        self, train: Sequence[ChoiceExample], examples: Sequence[ChoiceExample]
    ) -> list[ChoicePrediction]:
        """Return the position that is right most often in train; the last where there are fewer."""
        counts = Counter(example.gold for example in train)
        most = min(counts, key=lambda gold: (-counts[gold], gold or 0)) or 0
        return [ChoicePrediction(min(most, len(example.choices) - 1), ()) for example in examples]

    def row(self, example: ChoiceExample, prediction: ChoicePrediction) -> dict[str, Any]:
        lines = [example.text, *(f"{i}: {choice}" for i, choice in enumerate(example.choices))]
        return {
            "input": "\n".join(lines),
            "expected": example.gold,
            "prediction": prediction.index,
            "score": None if example.gold is None else float(example.gold == prediction.index),
            "detail": {"probabilities": list(prediction.probabilities)},
        }


def _tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Any]:
    """Return the encoding of each text, without special tokens."""
    texts = pre_truncate(tokenizer, texts, max_length)
    encodings: list[Any] = tokenizer(texts, add_special_tokens=False, verbose=False).encodings
    return encodings
