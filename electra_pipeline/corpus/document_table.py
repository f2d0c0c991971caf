"""Metadata of all documents of a corpus, and which of them are dropped by corpus-wide rules.

N is the number of kept documents of all partitions, in the order of the partitions. About 50 bytes
a document are held in memory; texts are read one batch at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from electra_pipeline.corpus.dropped import sample_row
from electra_pipeline.corpus.partitions import BATCH_BYTES, BATCH_DOCUMENTS, SIZES, read_partition
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DocumentTable:
    """Columns of all documents, without their texts."""

    ends: NDArray[np.int64]  # (number of partitions,): one past each partition's last document
    keys: NDArray[np.uint64]  # (N, 2): upper and lower half of the content hash
    sizes: dict[str, NDArray[np.int64]]  # words, characters, bytes: (N,)
    languages: pa.ChunkedArray  # (N,), null where unknown

    def id(self, number: int) -> str:
        """Return the content hash of a document as in its `id` column."""
        upper, lower = self.keys[number].tolist()
        return f"{upper:016x}{lower:016x}"

    def sum_by_partition(self, values: NDArray[Any]) -> list[int]:
        """Return the sum of `values` (N,) over the documents of each partition."""
        return [int(part.sum()) for part in np.split(values, self.ends[:-1])]


class Drop(NamedTuple):
    """The documents that a corpus-wide rule drops."""

    reason: str
    mask: Mask
    """(N,)"""
    value: Callable[[int], str]
    """Returns the measured value of a dropped document, by its number."""


def read_document_table(folders: Iterable[Folder]) -> DocumentTable:
    """Read the table from the folders of all partitions."""
    batches, ends, num_documents = [], [], 0
    for folder in folders:
        for batch in read_partition(folder, ["id", "language", *SIZES]):
            batches.append(batch)
            num_documents += batch.num_rows
        ends.append(num_documents)
    keys = [
        np.frombuffer(bytes.fromhex("".join(batch["id"].to_pylist())), dtype=">u8").reshape(-1, 2)
        for batch in batches
    ]
    return DocumentTable(
        ends=np.array(ends, dtype=np.int64),
        keys=np.concatenate([np.empty((0, 2), np.uint64), *keys]).astype(np.uint64),
        sizes={
            name: np.concatenate([np.empty(0, np.int64), *(b[name].to_numpy() for b in batches)])
            for name in SIZES
        },
        languages=pa.chunked_array([batch["language"] for batch in batches], pa.string()),
    )


def select_documents(folders: Sequence[Folder], mask: Mask) -> Iterator[pa.RecordBatch]:
    """Yield the documents that `mask` (N,) selects, in order, in batches of even size."""
    waiting: list[pa.RecordBatch] = []
    start = num_rows = num_bytes = 0
    for folder in folders:
        for batch in read_partition(folder, DOCUMENT_SCHEMA.names):
            part = mask[start : start + batch.num_rows]
            start += batch.num_rows
            if part.any():
                chosen = batch.filter(pa.array(part))
                waiting.append(chosen)
                num_rows += chosen.num_rows
                num_bytes += chosen.nbytes
            if num_rows >= BATCH_DOCUMENTS or num_bytes >= BATCH_BYTES:
                yield pa.concat_batches(waiting)
                waiting, num_rows, num_bytes = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


def sample_drop(
    drop: Drop, folders: Sequence[Folder], table: DocumentTable, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` rows for dropped.parquet: the documents with the smallest hashes."""
    numbers = np.flatnonzero(drop.mask)
    chosen = np.zeros_like(drop.mask)
    chosen[numbers[np.argsort(table.keys[numbers, 1], kind="stable")[:limit]]] = True
    rows = (row for batch in select_documents(folders, chosen) for row in batch.to_pylist())
    return [
        sample_row(drop.reason, drop.value(number), row)
        for number, row in zip(np.flatnonzero(chosen).tolist(), rows, strict=True)
    ]
