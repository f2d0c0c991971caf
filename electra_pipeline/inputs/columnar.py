"""Records of parquet and Arrow files, by the groups that these are made of."""

from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

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
    stream: IO[bytes], name: str, format: str, part: Part | None
) -> Iterator[dict[str, Any]]:
    """The records of a parquet or Arrow file, or of the part's groups. Raises ValueError with
    `name` for a file that is not whole.
    """
    seekable = stream if stream.seekable() else pa.BufferReader(_whole(stream, name))
    try:
        read = _parquet_batches if format == "parquet" else _arrow_batches
        for batch in read(seekable, part):
            batch.validate(full=True)  # else a damaged offset reads memory that is not the file's
            yield from batch.to_pylist()
    # Invalid names and dates are ValueErrors without a place; a damaged length asks for terabytes.
    except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name}: not a whole {format} file ({reason}); download it again"
        ) from error


def _whole(stream: IO[bytes], name: str) -> bytes:
    """A decompressed stream, which cannot seek to the footer that these formats begin with."""
    data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(
            f"{name}: more than {MAX_FILE_BYTES} bytes, which are held in memory while the file is "
            "compressed as a whole; decompress it first, it is compressed inside"
        )
    return data


def _parquet_batches(stream: Any, part: Part | None) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(stream)
    groups = list(groups_of(file.num_row_groups, part))
    yield from file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups)


def _arrow_batches(stream: Any, part: Part | None) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:  # no IPC file, so a stream, as `datasets` writes it
        stream.seek(max(0, stream.seek(0, 2) - len(ARROW_END_OF_STREAM)))
        if stream.read() != ARROW_END_OF_STREAM:  # else a cut one would read as a shorter one
            raise EOFError("neither a file's footer nor a stream's end") from None
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for index in groups_of(reader.num_record_batches, part):
        yield reader.get_batch(index)
