"""The values of a record's columns, as the types that a task needs."""

import math
import re
from collections.abc import Mapping
from typing import Any

from electra_pipeline.inputs.columns import column_value
from electra_pipeline.tasks.task import Column, Task

Record = tuple[str, Mapping[Any, Any]]
"""The position of a record (file and line or number), for messages, and its values by column."""

OTHER_COLUMN = "repair the row or name another column"
# JSON strings can hold surrogates, text cannot (Unicode 16.0, 3.8, D71).
_SURROGATE = re.compile("[\ud800-\udfff]")


def invalid(
    where: str, what: str, expected: str, value: Any, remedy: str = "repair it"
) -> ValueError:
    """Return the error of a value: its position, what it is, what is expected, and the remedy."""
    return ValueError(f"{where}: invalid {what}: expected {expected}, got {value!r:.80}; {remedy}")


def require(record: Mapping[Any, Any], column: Column, where: str) -> Any:
    """Return the record's value in a column; a dotted name is a path into objects.

    Raises ValueError that lists the record's columns.
    """
    if column not in record:
        if isinstance(column, str) and column.split(".")[0] in record:
            return column_value(record, column, where)
        raise ValueError(
            f"{where}: no column {column!r}; it has {', '.join(map(repr, record)) or 'none'}; "
            "set text_column, pair_column and label_column to the names in the file, or, without a "
            "header row, all of them to numbers from 0"
        )
    return record[column]


def checked_text(text: str, what: str, where: str) -> str:
    """Return the text. Raises ValueError for a lone surrogate, which cut JSON escapes leave."""
    if match := _SURROGATE.search(text):
        raise ValueError(
            f"{where}: {what} has half of a character (\\u{ord(match[0]):x}): a program cut the "
            "text within a character; repair the text or remove the record"
        )
    return text


def text_value(record: Mapping[Any, Any], column: Column, where: str) -> str:
    """Return the stripped text of a column; empty for a null."""
    value = require(record, column, where)
    if value is None or _is_nan(value):
        return ""
    if not isinstance(value, str):
        raise invalid(where, f"column {column!r}", "text", value, OTHER_COLUMN)
    return checked_text(value, f"column {column!r}", where).strip()


def number_value(value: Any, column: Column, where: str) -> str:
    """Return a finite number as its `repr`."""
    try:
        number = math.nan if "_" in str(value) else float(value)  # only Python writes 1_000
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        remedy = "repair the row or name the right label_column"
        raise invalid(where, f"column {column!r}", "a finite number such as 4.5", value, remedy)
    return repr(number)


def texts_value(record: Mapping[Any, Any], column: Column, where: str) -> tuple[str, ...]:
    """Return the texts of a column with lists."""
    value = require(record, column, where)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(where, f"column {column!r}", "a list of texts", value)
    return tuple(checked_text(item, f"column {column!r}", where) for item in value)


def is_blank(value: Any) -> bool:
    """Return whether a value is null, pandas' NaN, white space, or an empty list."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def whole_number(value: Any) -> Any:
    """Return 1 for 1.0, which a column of integers with nulls holds; other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def label_value(task: Task, value: Any, column: Column, where: str) -> str:
    """Return the class name for a value: a name, one of `label_values`, a class index or a boolean.

    Class indexes from 0 refer to `labels` only if none of these is a number itself.
    """
    if isinstance(value, list | Mapping):
        raise invalid(where, f"column {column!r}", "one label", value, OTHER_COLUMN)
    label = checked_text(str(whole_number(value)).strip(), f"column {column!r}", where)
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
