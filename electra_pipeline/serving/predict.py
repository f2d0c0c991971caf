"""Predict from lines of text, with the head that a model was saved with.

This replaces `transformers run`, which transformers 5 removed, for every kind of model that the
pipeline trains and for any other encoder with one of these heads.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import ValidationError
from transformers import AutoConfig

from electra_pipeline.core.identity import Config
from electra_pipeline.serving import inputs, outputs
from electra_pipeline.serving.lines import Format, decoded, json_path, numbered, parse_object
from electra_pipeline.serving.loaded import BATCH_SIZE, Loaded
from electra_pipeline.storage.artifact import open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.models import find_nonfinite_weight, model_directory
from electra_pipeline.tasks.encoder import ModelFiles, check_all_used, load_tokenizer, num_positions
from electra_pipeline.tasks.kinds.decoding_settings import KEY, kind_of_model, read_settings
from electra_pipeline.tasks.kinds.multiple_choice import MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering
from electra_pipeline.tasks.kinds.tagging import Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification

logger = logging.getLogger(__name__)

MAX_LENGTH = 512  # tokens, where neither tokenizer nor model names a limit


@dataclass(frozen=True)
class Head:
    """A kind of model: its class, its inputs, and the function that predicts."""

    auto_class: str
    """The class of transformers that loads it."""
    example: type[inputs.Input]
    answer: Callable[[Loaded, Sequence[Any]], list[dict[str, Any]]]
    check: Callable[[Loaded, Any], None] = lambda loaded, example: None
    """Raises ValueError if an input does not fit the model."""
    is_task: bool = True
    """Whether the head is that of a task, which `tasks/kinds` encodes and decodes."""


# Named as the tasks of transformers' pipelines; the first and multiple-choice have none there.
HEADS: Mapping[str, Head] = {
    "replaced-token-detection": Head(
        "ElectraForPreTraining", inputs.Text, outputs.replaced_tokens, is_task=False
    ),
    "fill-mask": Head(
        "AutoModelForMaskedLM",
        inputs.Text,
        outputs.filled_masks,
        outputs.check_mask,
        is_task=False,
    ),
    "text-classification": Head(
        Classification.auto_class, inputs.TextOrPair, outputs.classes, outputs.check_pair
    ),
    "token-classification": Head(Tagging.auto_class, inputs.TextOrWords, outputs.tagged_words),
    "multiple-choice": Head(MultipleChoice.auto_class, inputs.TextWithChoices, outputs.chosen),
    "question-answering": Head(QuestionAnswering.auto_class, inputs.Question, outputs.answers),
}


@dataclass(frozen=True)
class Predictor:
    """A loaded model of a task."""

    model: str
    task: str
    loaded: Loaded

    def parse(self, given: str | Mapping[str, Any], format: Format = "auto") -> Config:
        """Return an input from a line of text, a line with a JSON object, or the object itself.

        Raise ValueError, in one line, if it is no input of the task.
        """
        head = HEADS[self.task]
        value = parse_object(given, format) if isinstance(given, str) else given
        try:
            if value is None:
                example = head.example.from_line(str(given))
            else:
                example = head.example.model_validate(value)
        except ValidationError as error:
            problem = error.errors()[0]
            path = json_path(problem["loc"])
            fields = ", ".join(head.example.model_fields)
            message = problem["msg"].removeprefix("Value error, ").replace("tuple", "list")
            raise ValueError(
                f"{path}{': ' if path else ''}{message}; {self.task} takes an object with {fields}"
            ) from error
        head.check(self.loaded, example)
        return example

    def answer(self, examples: Sequence[Config]) -> list[dict[str, Any]]:
        """Return the predictions, one dict for each example."""
        return [
            answer
            for index in range(0, len(examples), BATCH_SIZE)
            for answer in HEADS[self.task].answer(self.loaded, examples[index : index + BATCH_SIZE])
        ]


def predict(
    predictor: Predictor, lines: Iterable[bytes], format: Format = "auto"
) -> Iterator[dict[str, Any] | None]:
    """Yield one prediction for each line, in order; None for a blank line.

    Lines are read a batch at a time. Raise ValueError with the number of an invalid line, after the
    predictions of the lines before it.
    """
    waiting: list[Config | None] = []
    for number, line in numbered(lines):
        try:
            text = decoded(line)
            waiting.append(predictor.parse(text, format) if text.strip() else None)
        except ValueError as error:
            yield from _answers(predictor, waiting)
            raise ValueError(f"line {number}: {error}") from error
        if len(waiting) == BATCH_SIZE:
            yield from _answers(predictor, waiting)
            waiting = []
    yield from _answers(predictor, waiting)


def _answers(
    predictor: Predictor, waiting: Sequence[Config | None]
) -> Iterator[dict[str, Any] | None]:
    found = iter(predictor.answer([example for example in waiting if example is not None]))
    for example in waiting:
        yield None if example is None else next(found)


def load_predictor(model: str, task: str | None = None, device: str | None = None) -> Predictor:
    """Load `model` with the head of its config.json, or with that of `task`.

    `model` is a directory, an artifact of the publishing or fine-tuning stage, a URI of one of
    these, or a name on the Hugging Face hub. `device` defaults to a GPU if there is one. Raise
    ValueError if the model cannot be loaded or was not trained for the task.
    """
    if task is not None and task not in HEADS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(HEADS)}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with model_directory(model, generator=task == "fill-mask") as directory:
        source = ModelFiles(model, directory, None)
        config = source.load(AutoConfig)
        fitting = _tasks_of(config.architectures or [])
        if task is None and not fitting:
            raise ValueError(
                f"{model}: config.json has {' '.join(config.architectures or ['no architecture'])},"
                f" which is of no task; choose one with --task: {', '.join(HEADS)}"
            )
        task = task or fitting[0]
        head = HEADS[task]
        if head.is_task and fitting and task not in fitting:
            raise ValueError(_untrained(model, config, task, "its head is another one"))
        loader = getattr(transformers, head.auto_class)
        # in float32, whatever the dtype of the files and of the trial's matrix products
        module, report = source.load(loader, dtype=torch.float32, output_loading_info=True)
        tokenizer = load_tokenizer(source, config, of_words=task == "token-classification")
        is_artifact = any(open_artifact(Folder(at)) for at in (model, str(Path(directory).parent)))
    if report["missing_keys"]:
        missing = f"{sorted(report['missing_keys'])[0]} is missing"
        raise ValueError(_untrained(model, config, task, missing))
    check_all_used(model, module, report)
    if (broken := find_nonfinite_weight(module)) is not None:
        raise ValueError(
            f"{model}: {broken} has values that are NaN or infinite; give another model"
        )
    if module.config.pad_token_id is None:
        module.config.pad_token_id = tokenizer.pad_token_id
    try:
        settings = read_settings(config) if head.is_task else None
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error
    if settings is None and head.is_task and (task == "question-answering" or is_artifact):
        logger.warning(
            "%s: its config.json has no %s settings of the fine-tuning: inputs are cut at the "
            "model's own length, questions are always answered; fine-tune it again for the "
            "predictions that were scored",
            *(model, KEY),
        )
    kind = kind_of_model(head.auto_class, config, settings) if head.is_task else None
    max_length = (
        settings.max_length
        if settings is not None
        else min(tokenizer.model_max_length, num_positions(config) or MAX_LENGTH)
    )
    return Predictor(
        model, task, Loaded(module.eval().to(device), tokenizer, max_length, kind, settings)
    )


def _untrained(model: str, config: Any, task: str, reason: str) -> str:
    return (
        f"{model}: {' '.join(config.architectures or ['it'])} has no trained weights for {task} "
        f"({reason}); leave out --task, or fine-tune it for this task first"
    )


def _tasks_of(architectures: Sequence[str]) -> list[str]:
    """Return the tasks whose head a model has, by the `architectures` of its config.json."""
    suffixes = {task: head.auto_class.removeprefix("AutoModel") for task, head in HEADS.items()}
    return [task for task, end in suffixes.items() if any(a.endswith(end) for a in architectures)]
