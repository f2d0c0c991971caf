"""Ask a model: load it with the head it was saved with, and answer lines of text as dicts.

This serves what `transformers run` did until transformers 5 dropped it, for every kind of model
that the pipeline makes and for any other encoder with one of these heads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any, cast

import orjson
import torch
import transformers
from pydantic import ValidationError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from electra_pipeline.identity import Config
from electra_pipeline.publishing import heads
from electra_pipeline.publishing.answers import answers
from electra_pipeline.publishing.heads import (
    Loaded,
    Question,
    Text,
    TextOrPair,
    TextOrWords,
    TextWithChoices,
)
from electra_pipeline.quiet import quiet_transformers
from electra_pipeline.storage.location import NO_CODE, load_problem, model_directory

BATCH_SIZE = 32  # inputs in one forward pass
MAX_LENGTH = 512  # tokens, where neither tokenizer nor model names a limit


@dataclass(frozen=True)
class Head:
    """A kind of model: how its class is called, what it is asked, and how it answers."""

    architecture: str
    """End of the names in config.json's `architectures`."""
    auto_class: str
    """The class of transformers that loads it."""
    example: Any
    """What one input is made of: a Config with a `from_line`."""
    answer: Callable[[Loaded, Sequence[Any]], list[dict[str, Any]]]
    check: Callable[[Loaded, Any], None] = lambda loaded, example: None
    """Raises ValueError if this model cannot be asked that."""


# Named as the tasks of transformers' pipelines; the first and multiple-choice have none there.
HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "replaced-token-detection": Head(
            "ElectraForPreTraining", "ElectraForPreTraining", Text, heads.replaced_tokens
        ),
        "fill-mask": Head(
            "ForMaskedLM", "AutoModelForMaskedLM", Text, heads.filled_masks, heads.check_mask
        ),
        "text-classification": Head(
            "ForSequenceClassification",
            "AutoModelForSequenceClassification",
            TextOrPair,
            heads.classes,
        ),
        "token-classification": Head(
            "ForTokenClassification",
            "AutoModelForTokenClassification",
            TextOrWords,
            heads.tagged_words,
        ),
        "multiple-choice": Head(
            "ForMultipleChoice", "AutoModelForMultipleChoice", TextWithChoices, heads.chosen
        ),
        "question-answering": Head(
            "ForQuestionAnswering", "AutoModelForQuestionAnswering", Question, answers
        ),
    }
)


@dataclass(frozen=True)
class Predictor:
    """A model that is ready to be asked."""

    model: str
    task: str
    loaded: Loaded

    def parse(self, given: str | Mapping[str, Any]) -> Config:
        """One input: a line of text, a line with a JSON object, or the object itself.

        Raises ValueError, in one line, if it is not what the task needs.
        """
        head = HEADS[self.task]
        value = _json_object(given) if isinstance(given, str) else given
        try:
            example = head.example.from_line(given) if value is None else head.example(**value)
        except ValidationError as error:
            problem = error.errors()[0]
            place = "".join(f"{part}: " for part in problem["loc"])
            fields = ", ".join(head.example.model_fields)
            raise ValueError(
                f"{place}{problem['msg']}; {self.task} takes an object with {fields}"
            ) from error
        head.check(self.loaded, example)
        return cast(Config, example)

    def answer(self, examples: Sequence[Config]) -> list[dict[str, Any]]:
        """What the model says, one dict for each example."""
        return [
            answer
            for index in range(0, len(examples), BATCH_SIZE)
            for answer in HEADS[self.task].answer(self.loaded, examples[index : index + BATCH_SIZE])
        ]


def predict(predictor: Predictor, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One answer for each line that is not blank, in order, read a batch at a time.

    Raises ValueError that names the line if one cannot be asked, when those before it are answered.
    """
    examples: list[Config] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            examples.append(predictor.parse(line.rstrip("\r\n")))
        except ValueError as error:
            yield from predictor.answer(examples)
            raise ValueError(f"line {number}: {error}") from error
        if len(examples) == BATCH_SIZE:
            yield from predictor.answer(examples)
            examples = []
    yield from predictor.answer(examples)


def load_predictor(model: str, task: str | None = None, device: str | None = None) -> Predictor:
    """Load `model` with the head that its config names, or with that of `task`.

    `model` is a directory, an artifact of the publishing or fine-tuning stage, a URI of one of
    these, or a name on the Hugging Face hub. `device` defaults to a GPU if there is one. Raises
    ValueError if it cannot be loaded or was not trained for the task.
    """
    if task is not None and task not in HEADS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(HEADS)}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with model_directory(model, generator=task == "fill-mask") as directory, quiet_transformers():
        config = _from_pretrained(model, AutoConfig, directory)
        task = task or _task_of(model, config.architectures or [])
        loader = getattr(transformers, HEADS[task].auto_class)
        module, report = _from_pretrained(model, loader, directory, output_loading_info=True)
        tokenizer = _from_pretrained(model, AutoTokenizer, directory)
    if report["missing_keys"]:
        raise ValueError(
            f"{model}: {' '.join(config.architectures or ['it'])} has no trained weights for "
            f"{task} ({sorted(report['missing_keys'])[0]} is missing); leave out --task, or "
            "fine-tune it for this task first"
        )
    # Without tokenizer files transformers makes up a vocabulary of special tokens.
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= config.vocab_size:
        raise ValueError(
            f"{model}: has no tokenizer that fits its {config.vocab_size} embeddings (there is one "
            f"of {len(tokenizer)} tokens); put the files of the one it was trained with beside it"
        )
    positions = getattr(config, "max_position_embeddings", MAX_LENGTH)
    max_length = min(tokenizer.model_max_length, positions)
    return Predictor(model, task, Loaded(module.eval().to(device), tokenizer, max_length))


def _from_pretrained(model: str, loader: Any, directory: str, **options: Any) -> Any:
    try:
        return loader.from_pretrained(directory, **NO_CODE, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise ValueError(
            f"{model}: cannot be loaded ({load_problem(error)}); give the folder of a published or "
            "fine-tuned model, or a name on the Hugging Face hub that can be reached"
        ) from error


def _task_of(model: str, architectures: Sequence[str]) -> str:
    for task, head in HEADS.items():
        if any(name.endswith(head.architecture) for name in architectures):
            return task
    raise ValueError(
        f"{model}: config.json names {' '.join(architectures) or 'no architecture'}, which none of "
        f"the tasks serves; choose one with --task: {', '.join(HEADS)}"
    )


def _json_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line holds; None for any other text."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
