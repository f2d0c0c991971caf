"""Names of class indexes, as `datasets` keeps them in its features and in Arrow schemas."""

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.inputs.files import SourceFile

ClassNames = Mapping[str, list[str]]
"""By column, the names of its classes in the order of their indexes."""


def names_in_file(file: SourceFile, format: str) -> ClassNames:
    """Those that `datasets` wrote into the schema of a parquet or Arrow file; none elsewhere."""
    if format not in ("parquet", "arrow"):
        return {}
    try:
        with file.open() as stream:
            source = stream if stream.seekable() else pa.BufferReader(stream.read())
            schema = pq.read_schema(source) if format == "parquet" else _arrow_schema(source)
        features = orjson.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException):
        return {}  # without features; or broken, which reading the records tells
    found = {column: names_of(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _arrow_schema(source: Any) -> pa.Schema:
    """Of a file, or of the stream that `save_to_disk` writes."""
    try:
        return pa.ipc.open_file(source).schema
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).schema


def names_of(feature: Any) -> list[str]:
    """The class names of a feature as JSON, or of the items of its list; none for other types."""
    if isinstance(feature, list) and len(feature) == 1:  # an old way to write a list
        return names_of(feature[0])
    if not isinstance(feature, Mapping):
        return []
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return names_of(feature.get("feature"))


def with_names(record: Mapping[Any, Any], names: ClassNames) -> dict[Any, Any]:
    """A record with class indexes as names; what has no class (-1) is None.

    Raises ValueError for an index without a name.
    """
    return {column: _named(value, names.get(column)) for column, value in record.items()}


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if not isinstance(value, int) or value < 0:
        return None if isinstance(value, int) else value
    if value >= len(names):
        raise ValueError(f"the class {value} has no name among {', '.join(names)}")
    return names[value]
