"""What a record holds in a column, as the type that a task needs it in."""

import math
import re
from collections.abc import Mapping
from typing import Any

from electra_pipeline.evaluation.tasks.task import Column

# Strings of JSON can hold them, no text can (Unicode 16.0, 3.8, D71).
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Record = tuple[str, Mapping[Any, Any]]
"""Where a record stands, for messages, and its values by column."""


def require(record: Mapping[Any, Any], column: Column, place: str) -> Any:
    """The record's value in a column. Raises ValueError that lists the columns there are."""
    if column not in record:
        raise ValueError(
            f"{place}: no column {column!r}; it has {', '.join(map(repr, record)) or 'none'}; "
            "set text_column, pair_column and label_column to the names in the file"
        )
    value = record[column]
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and (half := LONE_SURROGATE.search(text)):
            raise ValueError(
                f"{place}: column {column!r} holds half of a character (\\u{ord(half[0]):x}), as a "
                "program leaves that cuts inside of one; repair the text or remove the record"
            )
    return value


def text_in(record: Mapping[Any, Any], column: Column, place: str) -> str:
    value = require(record, column, place)
    if not isinstance(value, str):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r}, not a text; "
            "repair the row or name another column"
        )
    return value.strip()


def number_in(value: Any, column: Column, place: str) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r}, not a finite number; repair the row "
            "or name the right label_column"
        )
    return repr(number)


def texts_in(record: Mapping[Any, Any], column: str, place: str) -> tuple[str, ...]:
    value = require(record, column, place)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r:.80}, not a list of texts; repair it"
        )
    return tuple(value)
