"""Records of any format to a task's examples; what holds nothing is dropped and counted."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from electra_pipeline.tasks.data.cells import (
    Record,
    is_blank,
    label_in,
    number_in,
    require,
    text_in,
    texts_in,
)
from electra_pipeline.tasks.data.columns import NO_TAG, is_allowed
from electra_pipeline.tasks.data.multiple_choice import choice_examples
from electra_pipeline.tasks.data.squad import question_examples
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Column, Columns, Task

# Pairs on whose label the annotators did not agree, in SNLI, MultiNLI and XNLI (their READMEs)
NO_GOLD = ("-", "gold_label")

Example = TextExample | TaggedExample | QuestionExample | ChoiceExample


def record_examples(
    task: Task,
    records: Iterable[Record],
    columns: Columns,
    dropped: Counter[str],
    *,
    labelled: bool = True,
) -> Iterator[Example]:
    """The examples of records in order; `dropped` counts those left out, by reason.

    Without labels, the column of labels is not looked at.
    """
    match task.type:
        case "classification" | "regression":
            yield from _texts(task, records, columns, dropped, labelled)
        case "multiple-choice":
            yield from choice_examples(records, columns, dropped, labelled=labelled)
        case "tagging":
            yield from _tagged(task, records, columns, dropped, labelled)
        case "question-answering":
            yield from question_examples(records, dropped, labelled=labelled)


def _texts(
    task: Task, records: Iterable[Record], columns: Columns, dropped: Counter[str], labelled: bool
) -> Iterator[TextExample]:
    """Texts and pairs of texts with a class that the task has, or with a finite number.

    Those whose label is kept back bear the number that the published file or the Hub gives them.
    """
    for number, (place, record) in enumerate(records):
        text = text_in(record, columns.text, place)
        pair = None if columns.pair is None else text_in(record, columns.pair, place)
        if not labelled:
            identifier = record.get("index", record.get("idx", number))
            yield TextExample(str(identifier), text, pair, None)
            continue
        value = require(record, columns.label, place)
        if isinstance(value, list) and len(value) == 1:  # doccano's
            (value,) = value
        if not text and not pair:
            dropped["empty_text"] += 1
        elif is_blank(value) or (str(value).strip(), columns.label) == NO_GOLD:
            dropped["no_label"] += 1
        elif task.type == "regression":
            yield TextExample(str(number), text, pair, number_in(value, columns.label, place))
        else:
            label = label_in(task, value, columns.label, place)
            if is_allowed(task, label, place, dropped):
                yield TextExample(str(number), text, pair, label)


def _tagged(
    task: Task, records: Iterable[Record], columns: Columns, dropped: Counter[str], labelled: bool
) -> Iterator[TaggedExample]:
    """Sentences of records that hold a list of words and a list of tags."""
    word_column = columns.text if isinstance(columns.text, str) else "tokens"
    tag_column = columns.label if isinstance(columns.label, str) else "tags"
    for number, (place, record) in enumerate(records):
        given = require(record, word_column, place)
        if is_blank(given):
            dropped["no_words"] += 1
            continue
        if isinstance(given, str):
            raise ValueError(
                f"{place}: column {word_column!r} holds {given!r:.80}, not a list of words; of "
                "annotations by offsets (doccano, Label Studio, spaCy) export words with tags "
                "(CoNLL)"
            )
        words = texts_in(record, word_column, place)
        if not labelled:
            yield TaggedExample(str(number), words, (NO_TAG,) * len(words))
            continue
        given = require(record, tag_column, place)
        if given is None:
            dropped["no_tags"] += 1
            continue
        tags = _tags(task, given, tag_column, place)
        if len(words) != len(tags):
            raise ValueError(
                f"{place}: {len(words)} words but {len(tags)} tags; repair or remove the record"
            )
        if all(is_allowed(task, tag, place, dropped) for tag in tags):
            yield TaggedExample(str(number), words, tags)


def _tags(task: Task, given: Any, column: Column, place: str) -> tuple[str, ...]:
    """The names of tags; those that are numbers need names in `labels` or the file's features."""
    if not isinstance(given, list):
        raise ValueError(
            f"{place}: column {column!r} holds {given!r:.80}, not a list of tags; repair it, or "
            "name the right label_column"
        )
    if task.labels is None and any(isinstance(tag, int | float) for tag in given):
        raise ValueError(
            f"{place}: column {column!r} holds numbers; name the tags in the order of their "
            "numbers, as in labels: [O, B-PER, I-PER]"
        )
    if any(is_blank(tag) for tag in given):
        raise ValueError(
            f"{place}: a tag in column {column!r} is empty; repair or remove the record"
        )
    return tuple(label_in(task, tag, column, place) for tag in given)
