"""Hugging Face datasets: a split's records, and names of class indexes in their features."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.core.errors import one_line
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.tasks.data.values import Record
from electra_pipeline.tasks.task import HubDataset

ClassNames = Mapping[str, list[str]]
"""By column, the names of its classes in the order of their indexes."""


def hub_records(task_name: str, dataset: HubDataset, split: str) -> Iterator[Record]:
    """Yield the records of one split, with names in place of class indexes.

    Raises ValueError if the dataset or the split cannot be loaded.
    """
    import datasets  # takes seconds; not needed for data in files

    where = f"{dataset.path} ({split})"
    try:
        with quiet_transformers():
            rows = datasets.load_dataset(
                dataset.path, dataset.config, split=split, revision=dataset.revision
            )
    except Exception as error:  # offline, gone, renamed, a script: each has its own exception
        reason = one_line(error, 200)
        raise ValueError(
            f"{where}: cannot load {task_name} from the Hub: {reason}; "
            "set finetune.data to a folder with its published files"
        ) from error
    names = _names_by_column(rows.features.to_dict())
    for number, row in enumerate(rows, start=1):
        yield f"{where}: row {number}", with_class_names(row, names)


def class_names_in_file(file: SourceFile, format: str) -> ClassNames:
    """Return the class names that `datasets` wrote into a parquet or Arrow file's schema."""
    if format not in ("parquet", "arrow"):
        return {}
    try:
        with file.open() as stream:
            source = stream if stream.seekable() else pa.BufferReader(stream.read())
            schema = pq.read_schema(source) if format == "parquet" else _arrow_schema(source)
        features = orjson.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException):
        return {}  # no features; or a broken file, for which reading its records raises an error
    return _names_by_column(features)


def _arrow_schema(source: Any) -> pa.Schema:
    """Return the schema of an Arrow file, or of the stream format that `save_to_disk` writes."""
    try:
        return pa.ipc.open_file(source).schema
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).schema


def _names_by_column(features: Mapping[str, Any]) -> ClassNames:
    return {column: names for column, each in features.items() if (names := _class_names(each))}


def _class_names(feature: Any) -> list[str]:
    """Return the class names of a JSON feature, or of its list's items; none for other types."""
    if isinstance(feature, list) and len(feature) == 1:  # an old notation of lists
        return _class_names(feature[0])
    if not isinstance(feature, Mapping):
        return []
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return _class_names(feature.get("feature"))


def with_class_names(record: Mapping[Any, Any], names: ClassNames) -> dict[Any, Any]:
    """Return a record with names in place of class indexes; None for -1 (no class).

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
