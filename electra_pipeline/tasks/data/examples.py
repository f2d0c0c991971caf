"""Convert records of any file format into a task's examples; drop empty records."""

from collections.abc import Iterable, Iterator
from typing import Any

from electra_pipeline.tasks.data.conll import NO_TAG
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.multiple_choice import choice_examples
from electra_pipeline.tasks.data.squad import question_examples
from electra_pipeline.tasks.data.values import (
    Record,
    invalid,
    is_blank,
    label_value,
    number_value,
    require,
    text_value,
    texts_value,
)
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Column, Task

# Pairs on whose label the annotators did not agree, in SNLI, MultiNLI and XNLI (their READMEs)
NO_GOLD = ("-", "gold_label")

Example = TextExample | TaggedExample | QuestionExample | ChoiceExample


def record_examples(context: ReadContext, records: Iterable[Record]) -> Iterator[Example]:
    """Yield the examples of records in order, and count the dropped records by reason."""
    match context.task.type:
        case "classification" | "regression":
            yield from _texts(context, records)
        case "multiple-choice":
            yield from choice_examples(context, records)
        case "tagging":
            yield from _tagged(context, records)
        case "question-answering":
            yield from question_examples(context, records)


def _texts(context: ReadContext, records: Iterable[Record]) -> Iterator[TextExample]:
    """Yield texts and pairs of texts with one of the task's classes, or with a finite number.

    The id of an unlabelled example is its index in the published file or on the Hub.
    """
    task, columns = context.task, context.columns
    for number, (where, record) in enumerate(records):
        text = text_value(record, columns.text, where)
        pair = None if columns.pair is None else text_value(record, columns.pair, where)
        if not context.labelled:
            identifier = record.get("index", record.get("idx", number))
            yield TextExample(str(identifier), text, pair, None)
            continue
        value = require(record, columns.label, where)
        if isinstance(value, list) and len(value) == 1:  # doccano's
            (value,) = value
        if not text and not pair:
            context.dropped["empty_text"] += 1
        elif is_blank(value) or (str(value).strip(), columns.label) == NO_GOLD:
            context.dropped["no_label"] += 1
        elif task.type == "regression":
            yield TextExample(str(number), text, pair, number_value(value, columns.label, where))
        else:
            label = label_value(task, value, columns.label, where)
            if context.is_allowed(label, where):
                yield TextExample(str(number), text, pair, label)


def _tagged(context: ReadContext, records: Iterable[Record]) -> Iterator[TaggedExample]:
    """Yield sentences of records that hold a list of words and a list of tags."""
    columns = context.columns
    word_column = columns.text if isinstance(columns.text, str) else "tokens"
    tag_column = columns.label if isinstance(columns.label, str) else "tags"
    for number, (where, record) in enumerate(records):
        value = require(record, word_column, where)
        if is_blank(value):
            context.dropped["no_words"] += 1
            continue
        if isinstance(value, str):
            remedy = (
                "export annotations by offsets (doccano, Label Studio, spaCy) as words with tags "
                "(CoNLL)"
            )
            raise invalid(where, f"column {word_column!r}", "a list of words", value, remedy)
        words = texts_value(record, word_column, where)
        if not context.labelled:
            yield TaggedExample(str(number), words, (NO_TAG,) * len(words))
            continue
        value = require(record, tag_column, where)
        if value is None:
            context.dropped["no_tags"] += 1
            continue
        tags = _tags(context.task, value, tag_column, where)
        if len(words) != len(tags):
            raise ValueError(
                f"{where}: {len(words)} words but {len(tags)} tags; repair or remove the record"
            )
        if all(context.is_allowed(tag, where) for tag in tags):
            yield TaggedExample(str(number), words, tags)


def _tags(task: Task, value: Any, column: Column, where: str) -> tuple[str, ...]:
    """Return the names of tags; class indexes need names in `labels` or the file's features."""
    if not isinstance(value, list):
        remedy = "repair it, or name the right label_column"
        raise invalid(where, f"column {column!r}", "a list of tags", value, remedy)
    if task.labels is None and any(isinstance(tag, int | float) for tag in value):
        raise ValueError(
            f"{where}: column {column!r} has numbers; name the tags in the order of their "
            "numbers, as in labels: [O, B-PER, I-PER]"
        )
    if any(is_blank(tag) for tag in value):
        raise ValueError(
            f"{where}: a tag in column {column!r} is empty; repair or remove the record"
        )
    return tuple(label_value(task, tag, column, where) for tag in value)
