"""Records of parquet and Arrow files, by the groups that these are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.core.errors import one_line
from electra_pipeline.inputs.parts import Part, groups_of

# Of a file that is compressed again as a whole, and so is held in memory to be read.
MAX_FILE_BYTES = 1 << 30
BATCH_ROWS = 1024
# What ends every Arrow stream that was closed: a continuation mark and a length of 0.
ARROW_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def _num_row_groups(stream: IO[bytes]) -> int:
    return int(pq.ParquetFile(stream).num_row_groups)


def _num_record_batches(stream: IO[bytes]) -> int:
    return int(pa.ipc.open_file(stream).num_record_batches)


NUM_GROUPS: Mapping[str, Callable[[IO[bytes]], int]] = {
    "parquet": _num_row_groups,
    "arrow": _num_record_batches,
}
"""By format, how many groups of records a file has; pa.ArrowException if it has no index of them,
as an Arrow stream, or is broken."""


def read_columnar(
    stream: IO[bytes],
    name: str,
    format: str,
    part: Part | None,
    columns: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """The records of a parquet or Arrow file, or of the part's groups.

    Of `columns` (dots lead into objects) alone the values are read; the names of the others are
    there, with None. Raises ValueError with `name` for a file that is not whole, and for values
    that are none.
    """
    seekable = stream if stream.seekable() else pa.BufferReader(_whole(stream, name))
    num_records = 0
    try:
        read = _parquet_batches if format == "parquet" else _arrow_batches
        for names, batch in read(seekable, part, columns):
            _check_values(batch, f"record {num_records + 1} or one of the following")
            yield from ({**names, **row} for row in _rows(batch, num_records))
            num_records += batch.num_rows
    except _ValuesError as error:
        raise ValueError(f"{name}: {error}") from error
    except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{name}: {_reason(error, format)}") from error


class _ValuesError(Exception):
    """The file is whole, but what a column holds cannot be read."""


def _reason(error: Exception, format: str) -> str:
    """What is wrong with the file, and what to do."""
    told = one_line(error, 200)
    if isinstance(error, pa.ArrowNotImplementedError) or "crypt" in told.lower():
        return f"a {format} file that cannot be read ({told}); write it again without that"
    if isinstance(error, MemoryError):
        return f"damaged, or needs more memory than there is ({told}); download it again"
    return f"not a whole {format} file ({told}); download it again"


def _check_values(batch: pa.RecordBatch, place: str) -> None:
    """Raise for values that are none: a damaged offset would read memory of something else."""
    for column_name, column in zip(batch.schema.names, batch.columns, strict=True):
        column.validate()  # a broken structure is a broken file
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            told = one_line(error, 200)
            raise _ValuesError(
                f"{place}: column {column_name!r} holds what is not of its type ({told}): "
                "damaged, or written so; download or write it again"
            ) from error


def _rows(batch: pa.RecordBatch, num_before: int) -> list[dict[str, Any]]:
    """The records of a batch; a value that Python has no type for is named by its column."""
    columns: dict[str, list[Any]] = {}
    for column_name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[column_name] = column.to_pylist()
        # Dates before the year 1, times after 9999, time zones that nobody knows
        except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
            told = one_line(error, 200)
            raise _ValuesError(
                f"record {num_before + 1} or one of the following: column {column_name!r} "
                f"holds a value that cannot be read ({told}); take the column out of the file"
            ) from error
    if not columns:
        return [{} for _ in range(batch.num_rows)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _whole(stream: IO[bytes], name: str) -> bytes:
    """A decompressed stream, which cannot seek to the footer that these formats begin with."""
    data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(
            f"{name}: more than {MAX_FILE_BYTES} bytes, which are held in memory while the file is "
            "compressed as a whole; decompress it first, it is compressed inside"
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
    except pa.ArrowInvalid:  # no IPC file, so a stream, as `datasets` writes it
        stream.seek(max(0, stream.seek(0, 2) - len(ARROW_END_OF_STREAM)))
        if stream.read() != ARROW_END_OF_STREAM:  # else a cut one would read as a shorter one
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
    """The columns of an Arrow file to read: whole ones."""
    wanted = _wanted(schema, columns)
    if wanted is None:
        return schema.names, pa.ipc.IpcReadOptions()
    tops = {name if name in schema.names else name.split(".")[0] for name in wanted}
    fields = [index for index, name in enumerate(schema.names) if name in tops]
    # No field would stand for all.
    options = pa.ipc.IpcReadOptions(included_fields=fields or [0])
    return [schema.names[index] for index in fields], options


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> list[str] | None:
    """Those of `columns` that there are; one is read as a whole where the path in it is wrong."""
    if columns is None:
        return None
    found = []
    for column in columns:
        if schema.names.count(column.split(".")[0]) > 1:
            raise _ValuesError(f"a column name comes twice: {column!r}; rename one")
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
