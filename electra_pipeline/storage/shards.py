"""Shards: numbered Arrow IPC files that store documents and sequences.

They have the IPC *file* format, never the stream format: a stream that was truncated at a batch
boundary is read as a shorter table without an error; a truncated file does not open.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from electra_pipeline.storage.artifact import Artifact

TRAIN_PREFIX = "shard-"
HELD_OUT_PREFIX = "held-out-"
UNKNOWN_LANGUAGE = "und"  # in counters, where the column is null; ISO 639-2: undetermined

DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # content hash
        pa.field("text", pa.large_string(), nullable=False),  # 64-bit offsets: no 2 GiB limit
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("language", pa.string()),
    ]
)


def shard_name(prefix: str, index: int) -> str:
    """Return `shard-00007.arrow` for ("shard-", 7)."""
    return f"{prefix}{index:05d}.arrow"


def write_shard(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write record batches as one uncompressed IPC file; return the number of rows."""
    num_rows = 0
    with pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            num_rows += batch.num_rows
    return num_rows


def open_shard(path: Path) -> pa.RecordBatchFileReader:
    """Memory-map a shard. Raises ValueError if the file is truncated or not an Arrow file."""
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path}: not a complete Arrow file ({error}); `electra-pipeline verify` lists all "
            "damaged files; remove the artifact's folder and run its stage again"
        ) from error


def read_documents(corpus: Artifact, prefix: str = TRAIN_PREFIX) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a corpus artifact in order, memory-mapped."""
    for name in corpus.file_names(prefix):
        reader = open_shard(corpus.local_file(name))
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
