"""What a record holds in a column, as the type that a task needs it in."""

import math
import re
from collections.abc import Mapping
from typing import Any

from electra_pipeline.inputs.records import column_value
from electra_pipeline.tasks.task import Column, Task

Record = tuple[str, Mapping[Any, Any]]
"""Where a record stands, for messages, and its values by column."""

# Strings of JSON can hold them, no text can (Unicode 16.0, 3.8, D71).
_SURROGATE = re.compile("[\ud800-\udfff]")


def require(record: Mapping[Any, Any], column: Column, place: str) -> Any:
    """The record's value in a column; dots lead into objects, as in `labels.label`.

    Raises ValueError that lists the columns there are.
    """
    if column not in record:
        if isinstance(column, str) and column.split(".")[0] in record:
            return column_value(record, column, place)
        raise ValueError(
            f"{place}: no column {column!r}; it has {', '.join(map(repr, record)) or 'none'}; "
            "set text_column, pair_column and label_column to the names in the file, or, without a "
            "header row, all of them to numbers from 0"
        )
    return record[column]


def checked_text(text: str, what: str, place: str) -> str:
    """The text. Raises ValueError if a lone surrogate makes it none, as cut JSON escapes do."""
    if match := _SURROGATE.search(text):
        raise ValueError(
            f"{place}: {what} holds half of a character (\\u{ord(match[0]):x}), as a program "
            "leaves that cuts inside of one; repair the text or remove the record"
        )
    return text


def text_in(record: Mapping[Any, Any], column: Column, place: str) -> str:
    """The text of a column without white space around it; empty where there is none."""
    value = require(record, column, place)
    if value is None or _is_nan(value):
        return ""
    if not isinstance(value, str):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r}, not a text; "
            "repair the row or name another column"
        )
    return checked_text(value, f"column {column!r}", place).strip()


def number_in(value: Any, column: Column, place: str) -> str:
    try:
        number = math.nan if "_" in str(value) else float(value)  # 1_000 is Python's alone
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r:.80}, not a finite number such as 4.5; "
            "repair the row or name the right label_column"
        )
    return repr(number)


def texts_in(record: Mapping[Any, Any], column: Column, place: str) -> tuple[str, ...]:
    value = require(record, column, place)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r:.80}, not a list of texts; repair it"
        )
    return tuple(checked_text(item, f"column {column!r}", place) for item in value)


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, pandas' NaN, white space, or an empty list."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def label_in(task: Task, value: Any, column: Column, place: str) -> str:
    """The name of the class that a cell gives, of which numbers and booleans may be others.

    `labels` name the numbers from 0 where none of them is a number itself.
    """
    if isinstance(value, list | Mapping):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r:.80}, not one label; "
            "repair the row or name another column"
        )
    if isinstance(value, float) and value.is_integer():  # 1 in a column that has nulls as well
        value = int(value)
    label = checked_text(str(value).strip(), f"column {column!r}", place)
    if task.labels is None or label in task.labels:
        return label
    if task.label_values is not None:
        if label in task.label_values:
            return task.labels[task.label_values.index(label)]
    elif label.isdecimal() and int(label) < len(task.labels):
        if not any(name.isdecimal() for name in task.labels):
            return task.labels[int(label)]
    elif isinstance(value, bool) and label.lower() in task.labels:
        return label.lower()
    return label
