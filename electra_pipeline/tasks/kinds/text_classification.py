"""Texts and pairs of texts that have a class or a number."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
import transformers
from scipy.special import softmax
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import (
    IGNORED,
    Encoded,
    Feature,
    names_segments,
    num_cut,
    output_layer,
    shortened,
)
from electra_pipeline.tasks.kinds.metrics import classification_scores, regression_scores


@dataclass(frozen=True, slots=True)
class TextExample:
    """A text, or a pair of texts, with its label as the file has it."""

    id: str
    text: str
    pair: str | None
    label: str | None
    """None where it is kept back, as in GLUE's test files: to predict, not to score."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split."""
        return self.text if self.pair is None else f"{self.text}\t{self.pair}"

    @property
    def number(self) -> float:
        """The label of a regression; not a number where it is kept back."""
        return math.nan if self.label is None else float(self.label)


def _encode(
    tokenizer: Any,
    examples: Sequence[TextExample],
    targets: Sequence[Any],
    max_length: int,
    both_orders: bool,
) -> Encoded:
    """One text or a pair as the tokenizer frames them, the longer text cut first.

    White space around a text means nothing, as byte-level tokenizers would have it.
    """
    if not examples:
        return Encoded([])
    texts = shortened(tokenizer, [example.text.strip() for example in examples], max_length)
    pairs_of = [(example.pair or "").strip() for example in examples]
    seconds = shortened(tokenizer, pairs_of, max_length)
    items = [
        (origin, text, None if examples[origin].pair is None else second)
        for origin, (text, second) in enumerate(zip(texts, seconds, strict=True))
    ]
    if both_orders:
        items += [(origin, pair, text) for origin, text, pair in items if pair is not None]
    pairs = [pair or "" for _, _, pair in items] if items[0][2] is not None else None
    encoded = tokenizer(
        [text for _, text, _ in items], pairs, truncation=True, max_length=max_length
    )
    told = names_segments(tokenizer)
    features = [
        Feature(
            input_ids=np.asarray(encoding.ids, dtype=np.int32),
            second=len(encoding.ids) - (sum(encoding.type_ids) if told else 0),
            target=np.asarray(targets[origin]),
            origin=origin,
        )
        for (origin, _, _), encoding in zip(items, encoded.encodings, strict=True)
    ]
    rows = encoded.encodings[: len(examples)]
    truncated = {
        i: num_cut((examples[i].text, examples[i].pair or ""), [row.offsets])
        for i, row in enumerate(rows)
        if row.overflowing
    }
    return Encoded(features, truncated)


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest class of a text, and how likely each class is, in the labels' order."""

    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Classification:
    """Which of `labels` a text has."""

    labels: tuple[str, ...]
    symmetric: bool = False
    """Whether the order of a pair means nothing; then training sees both orders."""

    @property
    def head(self) -> Mapping[str, Any]:
        return {
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
            "problem_type": "single_label_classification",
        }

    def build(self, config: Any) -> Any:
        return transformers.AutoModelForSequenceClassification.from_config(config)

    def encode(
        self, tokenizer: Any, examples: Sequence[TextExample], max_length: int, *, training: bool
    ) -> Encoded:
        index: dict[str | None, int] = {label: i for i, label in enumerate(self.labels)}
        targets = [np.int64(index.get(example.label, IGNORED)) for example in examples]
        return _encode(tokenizer, examples, targets, max_length, self.symmetric and training)

    def logits(self, output: Any) -> Tensor:
        logits: Tensor = output.logits
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(logits, targets, reduction="sum"), targets.new_tensor(len(targets))

    def finish(self, model: Any) -> None:
        pass

    def decode(
        self, examples: Sequence[TextExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[Guess]:
        return [
            Guess(self.labels[int(np.argmax(row))], tuple(map(float, softmax(row))))
            for row in logits
        ]

    def majority(
        self, train: Sequence[TextExample], examples: Sequence[TextExample]
    ) -> list[Guess]:
        counts = Counter(example.label for example in train)
        most = max(self.labels, key=lambda label: counts[label])
        shares = tuple(counts[label] / len(train) for label in self.labels)
        return [Guess(most, shares)] * len(examples)

    def score(
        self, examples: Sequence[TextExample], predictions: Sequence[Guess], names: Sequence[str]
    ) -> dict[str, float]:
        expected = [self.labels.index(example.label) for example in examples]
        predicted = [self.labels.index(prediction.label) for prediction in predictions]
        return classification_scores(expected, predicted, names)

    def show(self, example: TextExample, prediction: Guess) -> dict[str, Any]:
        shares = zip(self.labels, prediction.probabilities, strict=True)
        return {
            "input": example.content,
            "expected": example.label,
            "prediction": prediction.label,
            "score": float(prediction.label == example.label),
            "detail": {"probabilities": {label: round(share, 6) for label, share in shares}},
        }


@dataclass(frozen=True)
class Regression:
    """Which number a text has.

    The model learns numbers with mean 0 and deviation 1, so that any unit trains alike; at the end
    the head takes up `mean` and `deviation`, so that the saved model says the unit's numbers. The
    published code trains on STS-B's 0 to 5 as they are.
    """

    mean: float
    deviation: float
    symmetric: bool = False

    @classmethod
    def of(cls, train: Sequence[TextExample], symmetric: bool) -> "Regression":
        values = np.array([example.number for example in train], dtype=np.float64)
        return cls(float(values.mean()), float(values.std()) or 1.0, symmetric)

    @property
    def head(self) -> Mapping[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def build(self, config: Any) -> Any:
        return transformers.AutoModelForSequenceClassification.from_config(config)

    def encode(
        self, tokenizer: Any, examples: Sequence[TextExample], max_length: int, *, training: bool
    ) -> Encoded:
        targets = [
            np.float32((example.number - self.mean) / self.deviation) for example in examples
        ]
        return _encode(tokenizer, examples, targets, max_length, self.symmetric and training)

    def logits(self, output: Any) -> Tensor:
        logits: Tensor = output.logits
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        squares = F.mse_loss(logits.squeeze(-1), targets, reduction="sum")
        return squares, targets.new_tensor(len(targets))

    def finish(self, model: Any) -> None:
        projection = output_layer(model)
        projection.weight.data.mul_(self.deviation)
        projection.bias.data.mul_(self.deviation).add_(self.mean)

    def decode(
        self, examples: Sequence[TextExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[float]:
        return [float(row[0]) for row in logits]

    def majority(
        self, train: Sequence[TextExample], examples: Sequence[TextExample]
    ) -> list[float]:
        return [self.mean] * len(examples)

    def score(
        self, examples: Sequence[TextExample], predictions: Sequence[float], names: Sequence[str]
    ) -> dict[str, float]:
        return regression_scores([example.number for example in examples], predictions, names)

    def show(self, example: TextExample, prediction: float) -> dict[str, Any]:
        expected = None if example.label is None else example.number
        return {
            "input": example.content,
            "expected": expected,
            "prediction": prediction,
            "score": None if expected is None else -abs(prediction - expected),
            "detail": None,
        }
