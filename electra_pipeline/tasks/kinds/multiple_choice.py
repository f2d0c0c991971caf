"""Questions with several choices of which one is right: SWAG, ARC, PIQA."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import NO_TOKEN, Encoded, Feature, num_cut, shortened
from electra_pipeline.tasks.kinds.metrics import choice_scores


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A text and its possible continuations or answers."""

    id: str
    text: str
    choices: tuple[str, ...]
    gold: int | None
    """Position of the right choice; None where it is kept back."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split."""
        return "\t".join((self.text, *self.choices))


@dataclass(frozen=True)
class Choice:
    """The position of the choice that a model takes, and the probability of each."""

    index: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class MultipleChoice:
    """Which of its choices completes a text: each is read beside the text and given one score.

    A softmax over an example's choices is trained, as in SWAG (Zellers et al. 2018) and
    transformers' heads. Examples of one batch may have different numbers of choices (ARC: 3 to 5).
    """

    @property
    def head(self) -> Mapping[str, Any]:
        return {}

    def build(self, config: Any) -> Any:
        return transformers.AutoModelForMultipleChoice.from_config(config)

    def encode(
        self, tokenizer: Any, examples: Sequence[ChoiceExample], max_length: int, *, training: bool
    ) -> Encoded:
        """One feature for an example: (length, choices) token ids of the pairs text and choice.

        The text is cut first and for all choices alike, so that they are compared beside the same
        words; a choice is cut only where it leaves less than half of the input to the text.
        """
        if not examples:
            return Encoded([])
        flat = [choice.strip() for example in examples for choice in example.choices]
        texts = _tokenize(tokenizer, [example.text.strip() for example in examples], max_length)
        pieces = _tokenize(tokenizer, flat, max_length)
        capacity = max_length - tokenizer.num_special_tokens_to_add(pair=True)
        told = "token_type_ids" in tokenizer.model_input_names
        features = []
        truncated = {}
        start = 0
        for origin, (example, text) in enumerate(zip(examples, texts, strict=True)):
            choices = pieces[start : start + len(example.choices)]
            start += len(example.choices)
            longest = max(len(choice) for choice in choices)
            room = max(capacity - longest, min(len(text), capacity // 2))
            is_cut = len(text) > room or longest > capacity - min(len(text), room)
            text.truncate(room)
            for choice in choices:
                choice.truncate(capacity - len(text))
            if is_cut:
                kept = [each.offsets for each in (text, *choices)]
                truncated[origin] = num_cut((example.text, *example.choices), kept)
            pairs = [tokenizer.backend_tokenizer.post_process(text, choice) for choice in choices]
            length = max(len(pair) for pair in pairs)
            ids = np.full((length, len(pairs)), NO_TOKEN, dtype=np.int32)
            for column, pair in enumerate(pairs):
                ids[: len(pair), column] = pair.ids
            features.append(
                Feature(
                    input_ids=ids,
                    # the text is the same for all, and so is the place where a choice begins
                    second=pairs[0].type_ids.index(1)
                    if told and any(pairs[0].type_ids)
                    else length,
                    target=np.array([example.gold or 0, len(pairs)], dtype=np.int64),
                    origin=origin,
                )
            )
        return Encoded(features, truncated)

    def logits(self, output: Any) -> Tensor:
        logits: Tensor = output.logits
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy over each example's own choices; targets are (batch, 2): gold, number."""
        gold, num_choices = targets.unbind(dim=-1)
        is_padding = torch.arange(logits.shape[1], device=logits.device) >= num_choices[:, None]
        scores = logits.masked_fill(is_padding, -torch.inf)
        return F.cross_entropy(scores, gold, reduction="sum"), targets.new_tensor(len(targets))

    def finish(self, model: Any) -> None:
        pass

    def decode(
        self,
        examples: Sequence[ChoiceExample],
        features: Sequence[Feature],
        logits: Sequence[Any],
    ) -> list[Choice]:
        found = []
        for example, row in zip(examples, logits, strict=True):
            scores = np.asarray(row, dtype=np.float64)[: len(example.choices)]
            weights = np.exp(scores - scores.max())
            found.append(Choice(int(scores.argmax()), tuple((weights / weights.sum()).tolist())))
        return found

    def majority(
        self, train: Sequence[ChoiceExample], examples: Sequence[ChoiceExample]
    ) -> list[Choice]:
        """The position that is right most often in training; the last where there are fewer."""
        counts = Counter(example.gold for example in train)
        most = min(counts, key=lambda gold: (-counts[gold], gold or 0)) or 0
        return [Choice(min(most, len(example.choices) - 1), ()) for example in examples]

    def score(
        self,
        examples: Sequence[ChoiceExample],
        predictions: Sequence[Choice],
        names: Sequence[str],
    ) -> dict[str, float]:
        expected = [-1 if example.gold is None else example.gold for example in examples]
        return choice_scores(expected, [choice.index for choice in predictions], names)

    def show(self, example: ChoiceExample, prediction: Choice) -> dict[str, Any]:
        lines = [example.text, *(f"{i}: {choice}" for i, choice in enumerate(example.choices))]
        return {
            "input": "\n".join(lines),
            "expected": example.gold,
            "prediction": prediction.index,
            "score": None if example.gold is None else float(example.gold == prediction.index),
            "detail": {"probabilities": list(prediction.probabilities)},
        }


def _tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Any]:
    """The encodings of each text, without special tokens."""
    texts = shortened(tokenizer, texts, max_length)
    encodings: list[Any] = tokenizer(texts, add_special_tokens=False, verbose=False).encodings
    return encodings
