"""Records with several choices: SWAG's columns, ARC's lists, PIQA's pairs, prompts as jsonl."""

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from electra_pipeline.tasks.data.cells import Record, is_blank, require, text_in, texts_in
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample
from electra_pipeline.tasks.task import Columns


def choice_examples(
    records: Iterable[Record], columns: Columns, dropped: Counter[str], *, labelled: bool = True
) -> Iterator[ChoiceExample]:
    """Texts with two choices or more and the position of the right one.

    Records of empty texts alone, or without a label, are dropped and counted.

    One column may list the choices, alone or with their names (ARC's `{"text", "label"}`), or each
    has a column of its own. The label is a choice's name; without names it is its number from 0, or
    a capital letter.
    """
    for number, (place, record) in enumerate(records):
        text = text_in(record, columns.text, place)
        choices, names = _choices(record, columns, place)
        if columns.pair is not None:
            beginning = text_in(record, columns.pair, place)
            choices = tuple(f"{beginning} {choice}".strip() for choice in choices)
        if len(choices) < 2:
            raise ValueError(
                f"{place}: {len(choices)} choices; at least two are needed: repair or remove it, "
                "or name the columns in choice_columns"
            )
        if labelled and not text and not any(choices):
            dropped["empty_text"] += 1
            continue
        if labelled and is_blank(require(record, columns.label, place)):
            dropped["no_label"] += 1
            continue
        gold = _gold(record, columns, names, place) if labelled else None
        identifier = str(number) if labelled else str(record.get("id", number))
        yield ChoiceExample(identifier, text, choices, gold)


def _choices(
    record: Mapping[Any, Any], columns: Columns, place: str
) -> tuple[tuple[str, ...], Sequence[str]]:
    """The choices and what a label calls them."""
    if len(columns.choices) > 1:
        choices = tuple(text_in(record, column, place) for column in columns.choices)
        return choices, _numbers(choices)
    (column,) = columns.choices
    value = require(record, column, place)
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        # ARC's and CommonsenseQA's own files
        value = {key: [each.get(key) for each in value] for key in value[0]}
    if isinstance(value, Mapping):
        choices = texts_in(value, "text", f"{place}, column {column!r}")
        names = value.get("label")
        if names is None:
            return choices, _numbers(choices)
        if not isinstance(names, list) or len(names) != len(choices):
            raise ValueError(
                f"{place}: column {column!r} has {len(choices)} texts with the labels "
                f"{names!r:.80}; each needs one"
            )
        return choices, [str(name) for name in names]
    choices = texts_in(record, str(column), place)
    return choices, _numbers(choices)


def _numbers(choices: Sequence[str]) -> list[str]:
    return [str(number) for number in range(len(choices))]


def _gold(record: Mapping[Any, Any], columns: Columns, names: Sequence[str], place: str) -> int:
    value = require(record, columns.label, place)
    # 1 in a column that has nulls as well is 1.0
    is_whole = isinstance(value, float) and value.is_integer()
    label = str(int(value) if is_whole else value).strip()
    if label in names:
        return names.index(label)
    letter = string.ascii_uppercase.find(label) if len(label) == 1 else -1
    if 0 <= letter < len(names):
        return letter
    raise ValueError(
        f"{place}: column {columns.label!r} holds {label!r}, which is none of the choices "
        f"{', '.join(names)}; repair or remove the record"
    )
