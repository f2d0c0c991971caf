"""Merge partitions into shards: the held-out split, copies by weight, shards of bounded size.

N is the number of documents in a `DocumentTable`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from electra_pipeline.corpus.document_table import DocumentTable, Mask, select_documents
from electra_pipeline.storage.artifact import Draft
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA, shard_name, write_shard

Copies = NDArray[np.int64]


def held_out(keys: NDArray[np.uint64], is_kept: Mask, fraction: float) -> Mask:
    """Return True (N,) for the kept documents that are never trained on.

    `keys` (N, 2) are content hashes. A document's content alone decides, so that it stays held out
    when other documents are added. Only if one side would be empty, it receives the document with
    the smallest (held out) or largest (training) hash.
    """
    if fraction == 0.0 or is_kept.sum() < 2:
        return np.zeros(len(keys), dtype=bool)
    # The upper half of the hash is evenly spread over [0, 2^64).
    mask: Mask = is_kept & (keys[:, 0] < np.uint64(int(fraction * 2**64)))
    kept = np.flatnonzero(is_kept)
    by_hash = kept[np.lexsort((keys[kept, 1], keys[kept, 0]))]
    mask[by_hash[0]] = True
    mask[by_hash[-1]] = False
    return mask


def num_copies(table: DocumentTable, weights: Sequence[float]) -> Copies:
    """Return how often each document is written (N,): its partition's weight, rounded by hash.

    With a weight of 2.3, each document has two copies, and three in ten have a third; these are
    chosen by the lower half of the content hash, as the upper half decides what is held out.
    """
    sizes = np.diff(table.ends, prepend=0)
    weight = np.repeat(np.asarray(weights, dtype=np.float64), sizes)
    whole = np.floor(weight)
    chance = table.keys[:, 1] / 2.0**64
    return (whole + (chance < weight - whole)).astype(np.int64)


def repeat_documents(folders: Sequence[Folder], copies: Copies) -> Iterator[pa.RecordBatch]:
    """Yield each document `copies` (N,) times: first all first copies, then all second ones, ...

    A document and its copy are therefore far apart, and never in the same pre-training sequence.
    """
    for earlier in range(int(copies.max(initial=0))):
        yield from select_documents(folders, copies > earlier)


def write_shards(
    draft: Draft, prefix: str, batches: Iterator[pa.RecordBatch], shard_bytes: int
) -> None:
    """Write numbered shards, each closed by the batch that brings it to `shard_bytes`."""
    index = num_bytes = 0

    def shard_of(batch: pa.RecordBatch) -> int:
        nonlocal index, num_bytes
        if num_bytes >= shard_bytes:
            index, num_bytes = index + 1, 0
        num_bytes += batch.nbytes
        return index

    for number, of_shard in groupby(batches, shard_of):
        with draft.create(shard_name(prefix, number)) as file:
            write_shard(file, DOCUMENT_SCHEMA, of_shard)
