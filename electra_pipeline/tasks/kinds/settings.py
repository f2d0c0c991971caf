"""How a fine-tuned model is asked and its output decoded, kept in its config.json.

transformers keeps keys of config.json that it does not use. Without them a model would be asked
otherwise than it was scored: inputs cut elsewhere, answers withdrawn by another threshold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from electra_pipeline.core.identity import Config
from electra_pipeline.tasks.kinds.kind import TaskKind
from electra_pipeline.tasks.kinds.multiple_choice import MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering
from electra_pipeline.tasks.kinds.tagging import Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification, Regression, TextExample

KEY = "electra_pipeline"
# For question answering models from elsewhere, of which nothing says whether they may answer
# nothing: transformers' question-answering pipeline (up to 4.57) did not let them either.
ALWAYS_ANSWERS = QuestionAnswering(has_unanswerable=False)


class Settings(Config):
    """What config.json holds under `electra_pipeline`."""

    max_length: int = Field(ge=8)
    """Tokens of an input, special tokens included; longer ones are cut or windowed."""
    pairs: bool | None = None
    """Whether texts were pairs; null for other kinds of task."""
    question_answering: QuestionAnswering | None = None


def keep(config: Any, kind: TaskKind[Any, Any], max_length: int, train: Sequence[Any]) -> None:
    """Write into a model's config how `kind` encodes and decodes."""
    pairs = {example.pair is not None for example in train if isinstance(example, TextExample)}
    settings = Settings(
        max_length=max_length,
        pairs=True in pairs if pairs else None,
        question_answering=kind if isinstance(kind, QuestionAnswering) else None,
    )
    setattr(config, KEY, settings.model_dump(mode="json", exclude_none=True))


def read(config: Any) -> Settings | None:
    """What a model's config keeps; None for a model from elsewhere. Raises ValueError if broken."""
    kept = getattr(config, KEY, None)
    try:
        return None if kept is None else Settings.model_validate(kept)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, (KEY, *problem["loc"])))
        raise ValueError(
            f"config.json: {place}: {problem['msg']}; fine-tune the model again, or remove the key"
        ) from error


def kind_of(architecture: str, config: Any, settings: Settings | None) -> TaskKind[Any, Any]:
    """How a model with a head of transformers is asked and decoded.

    architecture: the end of its class's name, such as ForSequenceClassification.
    """
    labels = tuple(label for _, label in sorted(config.id2label.items()))
    kinds: Mapping[str, TaskKind[Any, Any]] = {
        "ForSequenceClassification": (
            Regression(0.0, 1.0)  # a saved model gives the numbers themselves
            if config.problem_type == "regression" or len(labels) == 1
            else Classification(labels)
        ),
        "ForTokenClassification": Tagging(labels),
        "ForMultipleChoice": MultipleChoice(),
        "ForQuestionAnswering": (settings and settings.question_answering) or ALWAYS_ANSWERS,
    }
    return kinds[architecture]
