"""What must see the whole corpus: exact duplicates, the held-out split, shards of bounded size.

N counts the kept documents of all pieces, in the order of the pieces. About 50 bytes a document are
held in memory, texts only a batch at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from electra_pipeline.artifact import Draft
from electra_pipeline.corpus.pieces import (
    BATCH_BYTES,
    BATCH_DOCUMENTS,
    PIECE_SCHEMA,
    SIZES,
    piece_file,
)
from electra_pipeline.shards import DOCUMENT_SCHEMA, shard_name, write_shard
from electra_pipeline.storage import Folder

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Overview:
    """All that is known of the documents besides their texts."""

    ends: NDArray[np.int64]  # (number of pieces,): one past each piece's last document
    keys: NDArray[np.uint64]  # (N, 2): upper and lower half of the content hash
    sizes: dict[str, NDArray[np.int64]]  # words, characters, bytes: (N,)
    languages: pa.ChunkedArray  # (N,), null where unknown

    def count_by_piece(self, mask: Mask) -> list[int]:
        """How many documents of each piece the mask selects."""
        return [int(part.sum()) for part in np.split(mask, self.ends[:-1])]


def read_overview(work: Folder, num_pieces: int) -> Overview:
    """Gather what the pieces say of their documents."""
    batches, ends, num_documents = [], [], 0
    for index in range(num_pieces):
        for batch in _read_piece(work, index, ["id", "language", *SIZES]):
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


def selected(work: Folder, overview: Overview, mask: Mask) -> Iterator[pa.RecordBatch]:
    """The documents that the mask selects, in order, in batches of an even size."""
    waiting: list[pa.RecordBatch] = []
    start = 0
    for index in range(len(overview.ends)):
        for batch in _read_piece(work, index, DOCUMENT_SCHEMA.names):
            part = mask[start : start + batch.num_rows]
            start += batch.num_rows
            if part.any():
                waiting.append(batch.filter(pa.array(part)))
            if (
                sum(batch.num_rows for batch in waiting) >= BATCH_DOCUMENTS
                or sum(batch.nbytes for batch in waiting) >= BATCH_BYTES
            ):
                yield pa.concat_batches(waiting)
                waiting = []
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


def count_languages(overview: Overview, mask: Mask, unknown: str) -> dict[str, int]:
    """Number of selected documents by language code."""
    counts = pc.value_counts(overview.languages.filter(pa.array(mask))).to_pylist()
    return {entry["values"] or unknown: entry["counts"] for entry in counts}


def _until_full(
    batch: pa.RecordBatch, batches: Iterator[pa.RecordBatch], shard_bytes: int
) -> Iterator[pa.RecordBatch]:
    num_bytes = 0
    following: pa.RecordBatch | None = batch
    while following is not None:
        yield following
        num_bytes += following.nbytes
        following = next(batches, None) if num_bytes < shard_bytes else None


def _read_piece(work: Folder, index: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with work.open(piece_file(index)) as file:
        fields = [PIECE_SCHEMA.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        reader = pa.ipc.open_file(file, options=options)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
