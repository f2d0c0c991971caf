"""The interface of a kind of task, and the model inputs that all kinds are encoded into."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import transformers
from numpy import int32
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.tasks.kinds.metrics import statistic

IGNORED = -100  # a target that the loss skips; torch's default ignore_index
NO_TOKEN = -1  # in the ids of choices, where another choice is longer

Example = TypeVar("Example")
Prediction = TypeVar("Prediction")


@dataclass(frozen=True)
class Feature:
    """One model input and the target of its loss."""

    input_ids: NDArray[int32]
    """(length,) token ids with special tokens; of multiple choice (length, choices), padded with
    NO_TOKEN."""
    segment_b: int
    """Where segment B begins; the length if there is none or the model has no token types."""
    target: NDArray[Any]
    """() for texts, (length,) for tags, (2,) for the span of an answer and for a choice."""
    example: int
    """Position of the example that it was made from."""
    alignment: NDArray[int32] | None = None
    """The word of each token for tags, (length, 2) character offsets for answers; -1 for none."""


@dataclass(frozen=True)
class Encoded:
    """Features of a split, and how much of its examples was cut off."""

    features: list[Feature]
    truncated: Mapping[int, int] = field(default_factory=dict)
    """Number of characters cut off, by the position of the example; uncut examples are absent."""


def label_fields(labels: Sequence[str]) -> dict[str, Any]:
    """Return the fields of config.json that name a model's outputs."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


class TaskKind(ABC, Generic[Example, Prediction]):
    """One kind of task: from examples to model inputs, from outputs to predictions and scores."""

    name: ClassVar[str]
    """As in the type of a task, such as question-answering."""
    auto_class: ClassVar[str]
    """The class of transformers that loads its models."""
    scored_in_float32: ClassVar[bool] = False
    """Whether 8 bits of an output are too few to score it."""

    @property
    def head(self) -> Mapping[str, Any]:
        """What the model's config.json has of the task: labels, problem type."""
        return {}

    def build(self, config: Any) -> Any:
        """Return the model with newly initialised weights."""
        return getattr(transformers, self.auto_class).from_config(config)

    @abstractmethod
    def encode(
        self, tokenizer: Any, examples: Sequence[Example], max_length: int, *, training: bool
    ) -> Encoded:
        """Return model inputs of at most `max_length` tokens."""

    def logits(self, output: Any) -> Tensor:
        """Return the logits of a model's output: (batch, out), or (batch, length, out)."""
        logits: Tensor = output.logits
        return logits

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of a batch, and the number of summands."""

    def finish(self, model: Any) -> None:
        """Change a trained model, in place, into the one that is saved."""

    @abstractmethod
    def decode(
        self, examples: Sequence[Example], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[Prediction]:
        """Return one prediction for each example, from the logits of each feature."""

    @abstractmethod
    def majority(self, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
        """Return what a baseline that sees the training labels alone predicts for each example."""

    @abstractmethod
    def row(self, example: Example, prediction: Prediction) -> dict[str, Any]:
        """Return an example and its prediction as a row of the predictions file.

        `input` is the example as a person reads it; `expected`, `prediction` and `detail` are
        JSON values, `detail` None if there are no details; `score` is a float, higher is better.
        For an example without a label, `expected` and `score` have no meaning.
        """

    def score(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], metrics: Sequence[str]
    ) -> dict[str, float]:
        """Return the named metrics."""
        rows = list(map(self.row, examples, predictions))
        return {metric: statistic(self.name, metric, rows).observed() for metric in metrics}
