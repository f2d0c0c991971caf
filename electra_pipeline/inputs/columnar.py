"""Read records of Parquet and Arrow files, optionally only some row groups or batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.core.errors import one_line
from electra_pipeline.inputs.parts import Part, groups_of

# Limit for a file that is compressed as a whole, and therefore read into memory
MAX_FILE_BYTES = 1 << 30
BATCH_ROWS = 1024
# The end of every complete Arrow stream: a continuation marker and a length of 0
ARROW_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


NUM_GROUPS: Mapping[str, Callable[[IO[bytes]], int]] = {
    "parquet": lambda stream: int(pq.ParquetFile(stream).num_row_groups),
    "arrow": lambda stream: int(pa.ipc.open_file(stream).num_record_batches),
}
"""By format, a function that returns the number of groups of records in a file. Raises
pa.ArrowException if the file has no index of them (an Arrow stream) or is damaged."""


def read_columnar(
    stream: IO[bytes],
    name: str,
    format: str,
    part: Part | None,
    columns: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the records of a Parquet or Arrow file, or of the part's groups.

    With `columns` (dots lead into objects) only their values are read; the other names are present
    with None. Raises ValueError with `name` for an incomplete file and for invalid values.
    """
    seekable = stream if stream.seekable() else pa.BufferReader(_read_all(stream, name))
    num_records = 0
    try:
        read = _parquet_batches if format == "parquet" else _arrow_batches
        for names, batch in read(seekable, part, columns):
            rows = _rows(batch, f"record {num_records + 1} or one of the following")
            yield from ({**names, **row} for row in rows)
            num_records += batch.num_rows
    except _ValuesError as error:
        raise ValueError(f"{name}: {error}") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{name}: {_reason(error, format)}") from error


class _ValuesError(Exception):
    """The file is complete, but values of a column cannot be read."""


def _reason(error: Exception, format: str) -> str:
    """Return what is wrong with the file, and the remedy."""
    message = one_line(error, 200)
    if isinstance(error, pa.ArrowNotImplementedError) or "crypt" in message.lower():
        return f"a {format} file that cannot be read ({message}); write it again without that"
    if isinstance(error, MemoryError):
        return f"damaged, or needs more memory than available ({message}); download it again"
    return f"not a complete {format} file ({message}); download it again"


def _rows(batch: pa.RecordBatch, position: str) -> list[dict[str, Any]]:
    """Return the records of a batch.

    Raises _ValuesError, with the column, for invalid values and those that Python cannot hold.
    """
    columns: dict[str, list[Any]] = {}
    for column_name, column in zip(batch.schema.names, batch.columns, strict=True):
        column.validate()  # a damaged structure is a damaged file
        try:
            column.validate(full=True)  # a damaged offset would read unrelated memory
        except pa.ArrowInvalid as error:
            raise _ValuesError(
                f"{position}: column {column_name!r} has values that are invalid for its type "
                f"({one_line(error, 200)}); download or write it again"
            ) from error
        try:
            columns[column_name] = column.to_pylist()
        # Dates before the year 1, times after 9999, unknown time zones
        except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
            raise _ValuesError(
                f"{position}: column {column_name!r} has a value that cannot be read "
                f"({one_line(error, 200)}); remove the column"
            ) from error
    if not columns:
        return [{} for _ in range(batch.num_rows)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _read_all(stream: IO[bytes], name: str) -> bytes:
    """Read a decompressed stream, which cannot seek to the footer that is read first."""
    data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(
            f"{name}: more than {MAX_FILE_BYTES} bytes, which must fit in memory as the file is "
            "compressed as a whole; decompress it, the format has its own compression"
        )
    return data


Batches = Iterator[tuple[dict[str, None], pa.RecordBatch]]
"""The names of all columns, and the next records with those that are read."""


def _parquet_batches(stream: Any, part: Part | None, columns: Sequence[str] | None) -> Batches:
    file = pq.ParquetFile(stream)
    schema = file.schema_arrow
    groups = list(groups_of(file.num_row_groups, part))
    wanted = _wanted(schema, columns)
    batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=wanted)
    yield from ((dict.fromkeys(schema.names), batch) for batch in batches)


def _arrow_batches(stream: Any, part: Part | None, columns: Sequence[str] | None) -> Batches:
    try:
        reader = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:  # not an IPC file but a stream, as `datasets` writes it
        stream.seek(max(0, stream.seek(0, 2) - len(ARROW_END_OF_STREAM)))
        if stream.read() != ARROW_END_OF_STREAM:  # a truncated one is read as a shorter one
            raise EOFError("neither a file's footer nor a stream's end") from None
        stream.seek(0)
        schema = pa.ipc.read_schema(stream)
        stream.seek(0)
        fields, options = _projection(schema, columns)
        for batch in pa.ipc.open_stream(stream, options=options):
            yield dict.fromkeys(schema.names), batch.select(fields)
        return
    schema = reader.schema
    fields, options = _projection(schema, columns)
    reader = pa.ipc.open_file(stream, options=options)
    for index in groups_of(reader.num_record_batches, part):
        yield dict.fromkeys(schema.names), reader.get_batch(index).select(fields)


def _projection(
    schema: pa.Schema, columns: Sequence[str] | None
) -> tuple[list[str], pa.ipc.IpcReadOptions]:
    """Return the top-level columns of an Arrow file to read."""
    wanted = _wanted(schema, columns)
    if wanted is None:
        return schema.names, pa.ipc.IpcReadOptions()
    tops = {name if name in schema.names else name.split(".")[0] for name in wanted}
    fields = [index for index, name in enumerate(schema.names) if name in tops]
    # An empty list would select all fields.
    options = pa.ipc.IpcReadOptions(included_fields=fields or [0])
    return [schema.names[index] for index in fields], options


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> list[str] | None:
    """Return those of `columns` that exist; as a whole if the path within one does not exist."""
    if columns is None:
        return None
    found = []
    for column in columns:
        if schema.names.count(column.split(".")[0]) > 1:
            raise _ValuesError(f"duplicate column name {column!r}; rename one")
        if column in schema.names:
            found.append(column)
        elif (top := column.split(".")[0]) in schema.names:
            found.append(column if _leads_to_value(schema.field(top).type, column) else top)
    return found


def _leads_to_value(type: pa.DataType, column: str) -> bool:
    for name in column.split(".")[1:]:
        if not pa.types.is_struct(type) or type.get_field_index(name) < 0:
            return False
        type = type.field(name).type
    return True
