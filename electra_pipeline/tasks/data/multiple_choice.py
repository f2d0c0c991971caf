"""Records with several choices: SWAG's columns, ARC's lists, PIQA's pairs, prompts as jsonl."""

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.values import (
    Record,
    invalid,
    is_blank,
    require,
    text_value,
    texts_value,
    whole_number,
)
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample
from electra_pipeline.tasks.task import Columns


def choice_examples(context: ReadContext, records: Iterable[Record]) -> Iterator[ChoiceExample]:
    """Yield texts with two choices or more and the index of the right one.

    Records with empty texts only, or without a label, are dropped and counted.

    One column lists the choices, alone or with their names (ARC's `{"text", "label"}`), or each
    choice has a column of its own. The label is a choice's name; without names it is its index, or
    a capital letter.
    """
    columns = context.columns
    for number, (where, record) in enumerate(records):
        text = text_value(record, columns.text, where)
        choices, names = _choices(record, columns, where)
        if columns.pair is not None:
            beginning = text_value(record, columns.pair, where)
            choices = tuple(f"{beginning} {choice}".strip() for choice in choices)
        if len(choices) < 2:
            raise ValueError(
                f"{where}: {len(choices)} choices; at least two are needed: repair or remove it, "
                "or name the columns in choice_columns"
            )
        if not context.labelled:
            yield ChoiceExample(str(record.get("id", number)), text, choices, None)
        elif not text and not any(choices):
            context.dropped["empty_text"] += 1
        elif is_blank(require(record, columns.label, where)):
            context.dropped["no_label"] += 1
        else:
            yield ChoiceExample(str(number), text, choices, _gold(record, columns, names, where))


def _choices(
    record: Mapping[Any, Any], columns: Columns, where: str
) -> tuple[tuple[str, ...], Sequence[str]]:
    """Return the choices and their names, by which the label refers to them."""
    if len(columns.choices) > 1:
        choices = tuple(text_value(record, column, where) for column in columns.choices)
        return choices, _indexes(choices)
    (column,) = columns.choices
    value = require(record, column, where)
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        # ARC's and CommonsenseQA's own files
        value = {key: [each.get(key) for each in value] for key in value[0]}
    if isinstance(value, Mapping):
        choices = texts_value(value, "text", f"{where}, column {column!r}")
        names = value.get("label")
        if names is None:
            return choices, _indexes(choices)
        if not isinstance(names, list) or len(names) != len(choices):
            raise ValueError(
                f"{where}: column {column!r} has {len(choices)} texts with the labels "
                f"{names!r:.80}; each needs one"
            )
        return choices, [str(name) for name in names]
    choices = texts_value(record, str(column), where)
    return choices, _indexes(choices)


def _indexes(choices: Sequence[str]) -> list[str]:
    return [str(index) for index in range(len(choices))]


def _gold(record: Mapping[Any, Any], columns: Columns, names: Sequence[str], where: str) -> int:
    """Return the index of the right choice."""
    label = str(whole_number(require(record, columns.label, where))).strip()
    if label in names:
        return names.index(label)
    letter = string.ascii_uppercase.find(label) if len(label) == 1 else -1
    if 0 <= letter < len(names):
        return letter
    expected = f"one of the choices {', '.join(names)}"
    raise invalid(
        where, f"column {columns.label!r}", expected, label, "repair or remove the record"
    )
