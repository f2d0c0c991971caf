"""How a fine-tuned model encodes inputs and decodes outputs, stored in its config.json.

transformers keeps keys of config.json that it does not use. Without them a model would be served
otherwise than it was scored: inputs cut at another length, answers withdrawn at another threshold.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, ValidationError

from electra_pipeline.core.identity import Config
from electra_pipeline.tasks.kinds.kind import TaskKind
from electra_pipeline.tasks.kinds.multiple_choice import MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering
from electra_pipeline.tasks.kinds.tagging import Tagging
from electra_pipeline.tasks.kinds.text_classification import (
    Classification,
    MultiLabelClassification,
    MultipleRegression,
    Regression,
    TextExample,
)

KEY = "electra_pipeline"
# For question answering models from elsewhere, whose config.json does not have whether they were
# trained on unanswerable questions: transformers' pipeline (up to 4.57) always answered, too.
ALWAYS_ANSWERS = QuestionAnswering(has_unanswerable=False)


class DecodingSettings(Config):
    """The value of `electra_pipeline` in config.json."""

    max_length: int = Field(ge=8)
    """Tokens of an input, special tokens included; longer ones are cut or windowed."""
    pairs: bool | None = None
    """Whether texts were pairs; null for other kinds of task."""
    question_answering: QuestionAnswering | None = None


def write_settings(
    config: Any, kind: TaskKind[Any, Any], max_length: int, train: Sequence[Any]
) -> None:
    """Set in a model's config how `kind` encodes and decodes."""
    pairs = {example.pair is not None for example in train if isinstance(example, TextExample)}
    settings = DecodingSettings(
        max_length=max_length,
        pairs=True in pairs if pairs else None,
        question_answering=kind if isinstance(kind, QuestionAnswering) else None,
    )
    setattr(config, KEY, settings.model_dump(mode="json", exclude_none=True))


def read_settings(config: Any) -> DecodingSettings | None:
    """Return a model's settings; None for a model from elsewhere. Raise ValueError if invalid."""
    value = getattr(config, KEY, None)
    try:
        return None if value is None else DecodingSettings.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(map(str, (KEY, *problem["loc"])))
        raise ValueError(
            f"config.json: {path}: {problem['msg']}; fine-tune the model again, or remove the key"
        ) from error


def kind_of_model(
    auto_class: str, config: Any, settings: DecodingSettings | None
) -> TaskKind[Any, Any]:
    """Return the kind of task that a model of transformers was trained for.

    auto_class: the class that loads it, such as AutoModelForSequenceClassification.
    """
    labels = tuple(label for _, label in sorted(config.id2label.items()))
    match auto_class:
        case Tagging.auto_class:
            return Tagging(labels)
        case MultipleChoice.auto_class:
            return MultipleChoice()
        case QuestionAnswering.auto_class:
            return (settings and settings.question_answering) or ALWAYS_ANSWERS
    if config.problem_type == "regression" or len(labels) == 1:
        # the head of a saved model contains mean and deviation
        return (Regression if len(labels) == 1 else MultipleRegression)(0.0, 1.0)
    if config.problem_type == "multi_label_classification":
        return MultiLabelClassification(labels)
    return Classification(labels)
