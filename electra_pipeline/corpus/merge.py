"""Steps that need the whole corpus: exact duplicates, the held-out split, shards of bounded size.

N is the number of kept documents of all partitions, in the order of the partitions. About 50 bytes
a document are held in memory; texts are read one batch at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from electra_pipeline.corpus.partitions import (
    BATCH_BYTES,
    BATCH_DOCUMENTS,
    DOCUMENTS,
    PARTITION_SCHEMA,
    SIZES,
)
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA, shard_name, write_shard

Mask = NDArray[np.bool_]
Copies = NDArray[np.int64]


@dataclass(frozen=True)
class Overview:
    """All that is known of the documents besides their texts."""

    ends: NDArray[np.int64]  # (number of partitions,): one past each partition's last document
    keys: NDArray[np.uint64]  # (N, 2): upper and lower half of the content hash
    sizes: dict[str, NDArray[np.int64]]  # words, characters, bytes: (N,)
    languages: pa.ChunkedArray  # (N,), null where unknown

    def id(self, number: int) -> str:
        """The content hash of a document as its `id` says it."""
        upper, lower = self.keys[number].tolist()
        return f"{upper:016x}{lower:016x}"

    def sum_by_partition(self, values: NDArray[Any]) -> list[int]:
        """The sum of `values` (N,) over the documents of each partition."""
        return [int(part.sum()) for part in np.split(values, self.ends[:-1])]


def read_overview(partitions: Iterable[Folder]) -> Overview:
    """Gather what the partitions say of their documents."""
    batches, ends, num_documents = [], [], 0
    for partition in partitions:
        for batch in read_partition(partition, ["id", "language", *SIZES]):
            batches.append(batch)
            num_documents += batch.num_rows
        ends.append(num_documents)
    keys = [
        np.frombuffer(bytes.fromhex("".join(batch["id"].to_pylist())), dtype=">u8").reshape(-1, 2)
        for batch in batches
    ]
    return Overview(
        ends=np.array(ends, dtype=np.int64),
        keys=np.concatenate([np.empty((0, 2), np.uint64), *keys]).astype(np.uint64),
        sizes={
            name: np.concatenate([np.empty(0, np.int64), *(b[name].to_numpy() for b in batches)])
            for name in SIZES
        },
        languages=pa.chunked_array([batch["language"] for batch in batches], pa.string()),
    )


def first_occurrences(keys: NDArray[np.uint64]) -> Mask:
    """True (N,) for the first document of each content, False for its duplicates."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in document order
    ordered = keys[order]
    is_new = np.ones(len(keys), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    is_first = np.zeros(len(keys), dtype=bool)
    is_first[order[is_new]] = True
    return is_first


def held_out(keys: NDArray[np.uint64], is_first: Mask, fraction: float) -> Mask:
    """True (N,) for the distinct documents that are never trained on.

    A document's content alone decides, so that it stays held out whatever else the corpus holds.
    Only where one side would be empty is it given the document with the smallest (held out) or
    largest (training) hash.
    """
    if fraction == 0.0 or is_first.sum() < 2:
        return np.zeros(len(keys), dtype=bool)
    # The upper half of the hash is evenly spread over [0, 2^64).
    mask: Mask = is_first & (keys[:, 0] < np.uint64(int(fraction * 2**64)))
    distinct = np.flatnonzero(is_first)
    by_hash = distinct[np.lexsort((keys[distinct, 1], keys[distinct, 0]))]
    mask[by_hash[0]] = True
    mask[by_hash[-1]] = False
    return mask


def num_copies(overview: Overview, weights: Sequence[float]) -> Copies:
    """How often each document is written (N,): its partition's weight, rounded by its content.

    A weight of 2.3 gives each document two copies and three in ten, chosen by the lower half of
    the content hash (the upper chooses what is held out), a third.
    """
    sizes = np.diff(overview.ends, prepend=0)
    weight = np.repeat(np.asarray(weights, dtype=np.float64), sizes)
    whole = np.floor(weight)
    chance = overview.keys[:, 1] / 2.0**64
    return (whole + (chance < weight - whole)).astype(np.int64)


def copied(
    partitions: Sequence[Folder], overview: Overview, copies: Copies
) -> Iterator[pa.RecordBatch]:
    """All documents as often as they count: all of the first copies, then the second ones, ...

    So a document and its copy are far apart, and no row of pre-training sees both.
    """
    for earlier in range(int(copies.max(initial=0))):
        yield from selected(partitions, overview, copies > earlier)


def selected(
    partitions: Sequence[Folder], overview: Overview, mask: Mask
) -> Iterator[pa.RecordBatch]:
    """The documents that the mask selects, in order, in batches of an even size."""
    waiting: list[pa.RecordBatch] = []
    start = num_rows = num_bytes = 0
    for partition in partitions:
        for batch in read_partition(partition, DOCUMENT_SCHEMA.names):
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


def write_shards(
    draft: Draft, prefix: str, batches: Iterator[pa.RecordBatch], shard_bytes: int
) -> None:
    """Write numbered shards, each closed by the batch that brings it to `shard_bytes`."""
    index = 0
    while (batch := next(batches, None)) is not None:
        with draft.create(shard_name(prefix, index)) as file:
            write_shard(file, DOCUMENT_SCHEMA, _until_full(batch, batches, shard_bytes))
        index += 1


def _until_full(
    batch: pa.RecordBatch, batches: Iterator[pa.RecordBatch], shard_bytes: int
) -> Iterator[pa.RecordBatch]:
    num_bytes = 0
    following: pa.RecordBatch | None = batch
    while following is not None:
        yield following
        num_bytes += following.nbytes
        following = next(batches, None) if num_bytes < shard_bytes else None


def read_partition(partition: Folder, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The named columns of a partition's documents, in order."""
    with partition.open(DOCUMENTS) as file:
        fields = [PARTITION_SCHEMA.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        reader = pa.ipc.open_file(file, options=options)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
