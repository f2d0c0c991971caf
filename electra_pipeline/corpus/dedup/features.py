"""What is known of each document of a partition that only the whole corpus can judge by.

`mark` runs in worker processes, after the documents have their final text: the keys of the search
for near-duplicates, and the word sequences that a document shares with evaluation data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from electra_pipeline.core.execution import Executor
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.corpus.dedup import near_duplicates
from electra_pipeline.corpus.dedup.decontamination import Index, find_sequences, tasks_held
from electra_pipeline.corpus.dedup.minhash import (
    SIGNATURE_VERSION,
    NearDuplicates,
    band_keys,
    shingle_sets,
)
from electra_pipeline.corpus.merge import Mask, Overview, read_partition
from electra_pipeline.corpus.partitions import DOCUMENTS
from electra_pipeline.corpus.word_hashes import Hashes
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import open_shard, write_shard

BATCH_TEXTS = 256  # numpy's cost of a call is spread over so many
SEQUENCES = pa.list_(pa.field("item", pa.int32(), nullable=False))


@dataclass(frozen=True)
class FeatureSpec:
    """What is to be known."""

    near: NearDuplicates | None
    index: Index | None
    index_digest: str

    @property
    def file(self) -> str:
        """Name of a partition's marks: beside its documents, so that a later corpus finds them."""
        shaping = {
            "near": None if self.near is None else self.near.model_dump(mode="json"),
            "version": SIGNATURE_VERSION,
        }
        return f"marks-{fingerprint('marks', 2, shaping, {'index': self.index_digest})}.arrow"

    @property
    def schema(self) -> pa.Schema:
        bands = range(self.near.bands if self.near is not None else 0)
        return pa.schema(
            [
                *(pa.field(_band(band), pa.uint64(), nullable=False) for band in bands),
                pa.field("is_short", pa.bool_(), nullable=False),
                pa.field("sequences", SEQUENCES, nullable=False),
            ]
        )


def write_all_features(spec: FeatureSpec, partitions: Sequence[Folder], executor: Executor) -> None:
    """Write the marks of all partitions that have none yet."""
    missing = [partition for partition in partitions if not partition.exists(spec.file)]
    for outcome in executor.map(partial(write_features, spec), missing):
        if outcome.error is not None:
            raise outcome.error


def write_features(spec: FeatureSpec, partition: Folder) -> None:
    """Write the marks of one partition."""
    with partition.create(spec.file) as file:
        write_shard(file, spec.schema, _features(spec, partition))


def contaminated(
    spec: FeatureSpec, partitions: Sequence[Folder], candidates: Mask, max_documents: int | None
) -> dict[int, list[str]]:
    """By its number, the tasks of each of the `candidates` (N,) that holds an example of them.

    A word sequence that more than `max_documents` candidates have does not count.
    """
    assert spec.index is not None
    documents, sequences = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    num_documents = 0
    for partition in partitions:
        for batch in _read(spec, partition, ["sequences"]):
            column = batch["sequences"]
            numbers = np.arange(num_documents, num_documents + len(column))
            documents.append(np.repeat(numbers, column.value_lengths().to_numpy()))
            sequences.append(column.flatten().to_numpy())
            num_documents += len(column)
    of_document, found = np.concatenate(documents), np.concatenate(sequences)
    is_candidate = candidates[of_document]
    pairs = of_document[is_candidate], found[is_candidate]
    return tasks_held(spec.index, *pairs, max_documents)


def find_near_duplicates(
    spec: FeatureSpec,
    partitions: Sequence[Folder],
    digests: Sequence[str],
    overview: Overview,
    candidates: Mask,
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """(N,) the number of the document that is kept of each one's cluster, and the clusters' sizes.

    Texts are read through memory maps, as they are asked for in any order; `digests` are the sha256
    of the partitions' documents.
    """
    assert spec.near is not None
    is_short = _column(spec, partitions, "is_short").astype(bool)
    candidates = candidates & ~is_short
    labels = near_duplicates.find(
        spec.near,
        lambda band: _column(spec, partitions, _band(band)),
        overview.keys,
        overview.sizes["num_characters"],
        partial(_shingles, spec.near, _Texts(partitions, digests)),
        candidates,
    )
    return labels, near_duplicates.cluster_sizes(labels[candidates])


class _Texts:
    """Texts by their number in the corpus, mapped into memory."""

    def __init__(self, partitions: Sequence[Folder], digests: Sequence[str]) -> None:
        readers = [
            open_shard(partition.local_file(DOCUMENTS, digest))
            for partition, digest in zip(partitions, digests, strict=True)
        ]
        self._columns = [
            reader.get_batch(index)["text"]
            for reader in readers
            for index in range(reader.num_record_batches)
        ]
        self._ends = np.cumsum([len(column) for column in self._columns])

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """The texts of documents, in the order of `numbers` (ascending)."""
        texts: list[str] = []
        columns = np.searchsorted(self._ends, numbers, side="right")
        for column in np.unique(columns):
            start = self._ends[column] - len(self._columns[column])
            texts += self._columns[column].take(numbers[columns == column] - start).to_pylist()
        return texts


def _shingles(near: NearDuplicates, texts: _Texts, numbers: NDArray[np.int64]) -> list[Hashes]:
    return shingle_sets(near, texts.take(numbers))


def _features(spec: FeatureSpec, partition: Folder) -> Iterator[pa.RecordBatch]:
    for batch in read_partition(partition, ["text"]):
        for start in range(0, batch.num_rows, BATCH_TEXTS):
            texts = batch["text"].slice(start, BATCH_TEXTS).to_pylist()
            columns: list[NDArray[np.uint64]] = []
            is_short: Mask = np.ones(len(texts), dtype=bool)
            if spec.near is not None:
                keys, is_short = band_keys(spec.near, texts)
                columns = list(keys.T)
            sequences: Sequence[NDArray[np.int32]] = [np.empty(0, np.int32)] * len(texts)
            if spec.index is not None:
                sequences = find_sequences(spec.index, texts)
            arrays = [*map(pa.array, columns), pa.array(is_short), pa.array(sequences, SEQUENCES)]
            yield pa.RecordBatch.from_arrays(arrays, schema=spec.schema)


def _column(spec: FeatureSpec, partitions: Sequence[Folder], name: str) -> Hashes:
    batches = chain.from_iterable(_read(spec, partition, [name]) for partition in partitions)
    values = [batch[name].to_numpy(zero_copy_only=False) for batch in batches]
    return np.concatenate([np.empty(0, np.uint64), *values])


def _read(spec: FeatureSpec, partition: Folder, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with partition.open(spec.file) as file:
        fields = [spec.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        reader = pa.ipc.open_file(file, options=options)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _band(band: int) -> str:
    return f"band_{band:03d}"
