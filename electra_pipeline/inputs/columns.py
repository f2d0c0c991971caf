"""Access to the columns of a record, also inside objects."""

from collections.abc import Mapping
from typing import Any

from electra_pipeline.inputs.records import listed


def column_value(record: Mapping[Any, Any], column: str | int, name: str) -> Any:
    """Return the value of a column; a name with dots that is not a column accesses nested objects.

    The columns of a null object are null. Raises ValueError, with the file `name`, that lists the
    existing columns.
    """
    if column in record:
        return record[column]
    if isinstance(column, int):
        existing = f"it has {len(record)}, counted from 0"
        if not all(isinstance(key, int) for key in record):
            existing = f"only csv and tsv files have numbered columns, it has {', '.join(record)}"
        raise ValueError(f"{name}: no column {column}; {existing}")
    value: Any = record
    path = ""
    for part in column.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or part not in value:
            existing = listed(value) if isinstance(value, Mapping) else ""
            where = f"{path.removesuffix('.')!r}" if path else "it"
            raise ValueError(f"{name}: no column {column!r}; {where} has {existing or 'none'}")
        value, path = value[part], f"{path}{part}."
    return value
