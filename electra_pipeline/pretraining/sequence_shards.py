"""Sequence shards: rows of token ids in memory-mapped Arrow files."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from electra_pipeline.pretraining.rows import Row
from electra_pipeline.pretraining.vocabulary import Vocabulary
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import TRAIN_PREFIX, open_shard

ROWS_PER_BATCH = 8192  # 2 MiB of ids at length 128; all batches but a shard's last are equal


def sequence_schema(length: int, id_type: pa.DataType) -> pa.Schema:
    """Return the columns of a shard; masks and type ids are derived from them, never stored."""
    return pa.schema(
        [
            pa.field(
                "input_ids",
                pa.list_(pa.field("item", id_type, nullable=False), length),
                nullable=False,
            ),
            pa.field("length", pa.uint16(), nullable=False),  # tokens that are not padding
            pa.field("segment_b", pa.uint16(), nullable=False),  # start of B; = length if none
        ]
    )


def record_batches(
    rows: Iterator[Row], vocabulary: Vocabulary, length: int, counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """Pad rows to `length` ids and yield them in batches of `ROWS_PER_BATCH`.

    Adds sequences, tokens and characters_discarded to `counts`.
    """
    schema = sequence_schema(length, vocabulary.id_type)
    pad, dtype = vocabulary.id_of("[PAD]"), vocabulary.id_type.to_pandas_dtype()
    for first in rows:
        ids = np.full((ROWS_PER_BATCH, length), pad, dtype=dtype)
        bounds = np.empty((ROWS_PER_BATCH, 2), dtype=np.uint16)  # length, segment_b
        num_rows = 0
        discarded: list[int] = []
        for row in chain((first,), islice(rows, ROWS_PER_BATCH - 1)):
            ids[num_rows, : len(row.ids)] = row.ids
            bounds[num_rows] = len(row.ids), row.segment_b
            discarded += row.discarded
            num_rows += 1
        counts["characters_discarded"] += int(
            vocabulary.widths[np.array(discarded, np.int64)].sum()
        )
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(ids[:num_rows].reshape(-1)), type=schema.field("input_ids").type
        )
        lengths, segment_b = (pa.array(np.ascontiguousarray(p)) for p in bounds[:num_rows].T)
        counts["sequences"] += num_rows
        counts["tokens"] += int(bounds[:num_rows, 0].sum(dtype=np.int64))
        yield pa.record_batch([column, lengths, segment_b], schema=schema)


class SequenceReader:
    """Random access to the rows of a sequences artifact, memory-mapped.

    Row i is the same for every reader.
    """

    def __init__(self, sequences: Artifact, prefix: str = TRAIN_PREFIX) -> None:
        self.length = int(sequences.config["length"])
        self.is_packed = sequences.config["layout"] == "packed"
        self._batches: list[tuple[np.ndarray, ...]] = []
        """Ids, lengths and starts of segment B of each record batch."""
        for name in sequences.file_names(prefix):
            reader = open_shard(sequences.local_file(name))
            for index in range(reader.num_record_batches):
                ids, lengths, segment_b = reader.get_batch(index).columns
                flat = ids.flatten().to_numpy(zero_copy_only=True)
                rows = flat.reshape(-1, self.length)
                self._batches.append((rows, lengths.to_numpy(), segment_b.to_numpy()))
        self._starts = np.cumsum([0, *(len(rows) for rows, *_ in self._batches)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copy the rows at `indices` (n,).

        Returns ids (n, length), lengths (n,) and starts of segment B (n,), all int64.
        """
        ids = np.empty((len(indices), self.length), dtype=np.int64)
        lengths, segment_b = np.empty((2, len(indices)), dtype=np.int64)
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(numbers):
            here = numbers == number
            local = indices[here] - self._starts[number]
            found = self._batches[number]
            ids[here], lengths[here], segment_b[here] = (column[local] for column in found)
        return ids, lengths, segment_b
