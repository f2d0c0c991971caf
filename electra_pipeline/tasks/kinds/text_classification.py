"""Classification and regression of texts and pairs of texts."""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from scipy.special import expit, softmax
from torch import Tensor, nn

from electra_pipeline.tasks.kinds.encoding import has_token_types, num_characters_cut, pre_truncate
from electra_pipeline.tasks.kinds.kind import (
    IGNORED,
    Encoded,
    Feature,
    Prediction,
    TaskKind,
    label_fields,
)


@dataclass(frozen=True, slots=True)
class TextExample:
    """A text, or a pair of texts, with its label as in the file."""

    id: str
    text: str
    pair: str | None
    label: str | None
    """None if the example is to be predicted and not scored, as in GLUE's test files."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split."""
        return self.text if self.pair is None else f"{self.text}\t{self.pair}"

    @property
    def number(self) -> float:
        """The label of a regression; nan without a label."""
        return math.nan if self.label is None else float(self.label)


class TextKind(TaskKind[TextExample, Prediction]):
    """Texts and pairs of texts, each with one row of logits."""

    auto_class = "AutoModelForSequenceClassification"

    symmetric: bool
    """Whether the order of a pair has no meaning; training then uses both orders."""

    def encode(
        self, tokenizer: Any, examples: Sequence[TextExample], max_length: int, *, training: bool
    ) -> Encoded:
        """Encode texts with special tokens, cutting the longer text of a pair first.

        White space around a text is removed, because it would change the tokens of byte-level
        tokenizers.
        """
        if not examples:
            return Encoded([])
        texts = pre_truncate(tokenizer, [example.text.strip() for example in examples], max_length)
        pairs_of = [(example.pair or "").strip() for example in examples]
        seconds = pre_truncate(tokenizer, pairs_of, max_length)
        items = [
            (position, text, None if examples[position].pair is None else second)
            for position, (text, second) in enumerate(zip(texts, seconds, strict=True))
        ]
        if self.symmetric and training:
            items += [(position, pair, text) for position, text, pair in items if pair is not None]
        pairs = [pair or "" for _, _, pair in items] if items[0][2] is not None else None
        encoded = tokenizer(
            [text for _, text, _ in items], pairs, truncation=True, max_length=max_length
        )
        has_segments = has_token_types(tokenizer)
        targets = self.targets(examples)
        features = [
            Feature(
                input_ids=np.asarray(encoding.ids, dtype=np.int32),
                segment_b=len(encoding.ids) - (sum(encoding.type_ids) if has_segments else 0),
                target=np.asarray(targets[position]),
                example=position,
            )
            for (position, _, _), encoding in zip(items, encoded.encodings, strict=True)
        ]
        rows = encoded.encodings[: len(examples)]
        truncated = {
            i: num_characters_cut((examples[i].text, examples[i].pair or ""), [row.offsets])
            for i, row in enumerate(rows)
            if row.overflowing
        }
        return Encoded(features, truncated)

    @abstractmethod
    def targets(self, examples: Sequence[TextExample]) -> Sequence[Any]:
        """Return the target of each example's loss, a number of numpy."""

    def decode(
        self, examples: Sequence[TextExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[Prediction]:
        return list(map(self.decode_row, logits))

    @abstractmethod
    def decode_row(self, logits: Any) -> Prediction:
        """Return the prediction from the logits (out,) of one text."""


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """The likeliest class of a text, and the probability of each class in the labels' order."""

    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Classification(TextKind[ClassPrediction]):
    """One of `labels` for each text."""

    name = "classification"

    labels: tuple[str, ...]
    symmetric: bool = False

    @property
    def head(self) -> Mapping[str, Any]:
        return {**label_fields(self.labels), "problem_type": "single_label_classification"}

    def targets(self, examples: Sequence[TextExample]) -> list[np.int64]:
        index: dict[str | None, int] = {label: i for i, label in enumerate(self.labels)}
        return [np.int64(index.get(example.label, IGNORED)) for example in examples]

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return F.cross_entropy(logits, targets, reduction="sum"), targets.new_tensor(len(targets))

    def decode_row(self, logits: Any) -> ClassPrediction:
        best = self.labels[int(np.argmax(logits))]
        return ClassPrediction(best, tuple(map(float, softmax(logits))))

    def majority(
        self, train: Sequence[TextExample], examples: Sequence[TextExample]
    ) -> list[ClassPrediction]:
        counts = Counter(example.label for example in train)
        most = max(self.labels, key=lambda label: counts[label])
        fractions = tuple(counts[label] / len(train) for label in self.labels)
        return [ClassPrediction(most, fractions)] * len(examples)

    def row(self, example: TextExample, prediction: ClassPrediction) -> dict[str, Any]:
        probabilities = zip(self.labels, prediction.probabilities, strict=True)
        return {
            "input": example.content,
            "expected": example.label,
            "prediction": prediction.label,
            "score": float(prediction.label == example.label),
            "detail": {"probabilities": {label: round(p, 6) for label, p in probabilities}},
        }


@dataclass(frozen=True)
class Regression(TextKind[float]):
    """A number for each text.

    The model is trained on numbers with mean 0 and deviation 1, so that training does not depend on
    the unit; afterwards `mean` and `deviation` are merged into the head, so that the saved model
    returns numbers in the unit. The published code trains on STS-B's 0 to 5 as they are.
    """

    name = "regression"
    scored_in_float32 = True  # 8 bits of a number around a mean of 1,500 leave steps of 8

    mean: float
    deviation: float
    symmetric: bool = False

    @classmethod
    def of(cls, train: Sequence[TextExample], symmetric: bool) -> "Regression":
        """Return the regression with mean and deviation of the training examples."""
        values = np.array([example.number for example in train], dtype=np.float64)
        return cls(float(values.mean()), float(values.std()) or 1.0, symmetric)

    @property
    def head(self) -> Mapping[str, Any]:
        return {"num_labels": 1, "problem_type": "regression"}

    def targets(self, examples: Sequence[TextExample]) -> list[np.float32]:
        return [np.float32((each.number - self.mean) / self.deviation) for each in examples]

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        squares = F.mse_loss(logits.squeeze(-1), targets, reduction="sum")
        return squares, targets.new_tensor(len(targets))

    def finish(self, model: Any) -> None:
        projection = output_layer(model)
        projection.weight.data.mul_(self.deviation)
        projection.bias.data.mul_(self.deviation).add_(self.mean)

    def decode_row(self, logits: Any) -> float:
        return float(logits[0])

    def majority(
        self, train: Sequence[TextExample], examples: Sequence[TextExample]
    ) -> list[float]:
        return [self.mean] * len(examples)

    def row(self, example: TextExample, prediction: float) -> dict[str, Any]:
        expected = None if example.label is None else example.number
        return {
            "input": example.content,
            "expected": expected,
            "prediction": prediction,
            "score": None if expected is None else -abs(prediction - expected),
            "detail": None,
        }


def output_layer(model: Any) -> nn.Linear:
    """Return the linear layer that computes a model's logits, the last one of its head."""
    *_, last = (each for each in model.modules() if isinstance(each, nn.Linear))
    return last


# --- heads of models from elsewhere, to predict with and not to train ----------------------------


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """Those labels of a text that are more likely than not, and the probability of each label."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


class MultiLabelClassification(Classification):
    """Any number of `labels` for each text, each decided independently."""

    def decode_row(self, logits: Any) -> LabelsPrediction:  # type: ignore[override]
        row = tuple(map(float, expit(logits)))
        likely = (label for label, p in zip(self.labels, row, strict=True) if p > 0.5)
        return LabelsPrediction(tuple(likely), row)


class MultipleRegression(Regression):
    """Several numbers for each text."""

    def decode_row(self, logits: Any) -> list[float]:  # type: ignore[override]
        return list(map(float, logits))
