"""Compute and store the features of each document that corpus-wide rules need.

`write_features` runs in workers, once the documents have their final text. It stores the band keys
for the search for near-duplicates, and the word sequences that a document shares with evaluation
data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from electra_pipeline.core.execution import Executor, values_in_order
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.corpus.dedup import near_duplicates
from electra_pipeline.corpus.dedup.config import NearDuplicates
from electra_pipeline.corpus.dedup.decontamination import Index, find_sequences, tasks_held
from electra_pipeline.corpus.dedup.minhash import SIGNATURE_VERSION, band_keys, shingle_sets
from electra_pipeline.corpus.document_table import DocumentTable, Mask
from electra_pipeline.corpus.partitions import DOCUMENTS, read_columns, read_partition
from electra_pipeline.corpus.word_hashes import Hashes
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import open_shard, write_shard

BATCH_TEXTS = 256  # numpy's cost of a call is spread over so many
SEQUENCES = pa.list_(pa.field("item", pa.int32(), nullable=False))


@dataclass(frozen=True)
class FeatureSpec:
    """Which features are computed."""

    near: NearDuplicates | None
    index: Index | None

    @property
    def file(self) -> str:
        """Return the name of the features' file in a partition's folder, where they are reused."""
        shaping = {
            "near": None if self.near is None else self.near.model_dump(mode="json"),
            "version": SIGNATURE_VERSION,
        }
        inputs = {"index": "" if self.index is None else self.index.digest}
        # On disk, features have their older name: marks.
        return f"marks-{fingerprint('marks', 2, shaping, inputs)}.arrow"

    @property
    def schema(self) -> pa.Schema:
        """Return the columns: a key for each band, whether the text is too short, sequences."""
        bands = range(self.near.bands if self.near is not None else 0)
        return pa.schema(
            [
                *(pa.field(_band(band), pa.uint64(), nullable=False) for band in bands),
                pa.field("is_short", pa.bool_(), nullable=False),
                pa.field("sequences", SEQUENCES, nullable=False),
            ]
        )


def write_all_features(spec: FeatureSpec, folders: Sequence[Folder], executor: Executor) -> None:
    """Write the features of all partitions that have none yet."""
    missing = [folder for folder in folders if not folder.exists(spec.file)]
    values_in_order(executor.map(partial(write_features, spec), missing))


def write_features(spec: FeatureSpec, folder: Folder) -> None:
    """Write the features of one partition."""
    with folder.create(spec.file) as file:
        write_shard(file, spec.schema, _compute_features(spec, folder))


def _compute_features(spec: FeatureSpec, folder: Folder) -> Iterator[pa.RecordBatch]:
    for batch in read_partition(folder, ["text"]):
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


def find_contaminated(
    spec: FeatureSpec, folders: Sequence[Folder], candidates: Mask, max_documents: int | None
) -> dict[int, list[str]]:
    """Return the tasks of which each of the `candidates` (N,) contains an example, by its number.

    A word sequence that more than `max_documents` candidates have does not count.
    """
    assert spec.index is not None
    documents, sequences = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    num_documents = 0
    for column in _column_batches(spec, folders, "sequences"):
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
    folders: Sequence[Folder],
    digests: Sequence[str],
    table: DocumentTable,
    candidates: Mask,
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Return the number of the document that is kept of each one's cluster (N,), and cluster sizes.

    Texts are read through memory maps, as they are needed in any order; `digests` are the sha256 of
    the partitions' documents.
    """
    near = spec.near
    assert near is not None
    texts = _Texts(folders, digests)
    candidates = candidates & ~_column(spec, folders, "is_short").astype(bool)
    labels = near_duplicates.find(
        near,
        lambda band: _column(spec, folders, _band(band)),
        table.keys,
        table.sizes["num_characters"],
        lambda numbers: shingle_sets(near, texts.take(numbers)),
        candidates,
    )
    return labels, near_duplicates.cluster_sizes(labels[candidates])


class _Texts:
    """Texts by their number in the corpus, mapped into memory."""

    def __init__(self, folders: Sequence[Folder], digests: Sequence[str]) -> None:
        readers = [
            open_shard(folder.local_file(DOCUMENTS, digest))
            for folder, digest in zip(folders, digests, strict=True)
        ]
        self._columns = [
            reader.get_batch(index)["text"]
            for reader in readers
            for index in range(reader.num_record_batches)
        ]
        self._ends = np.cumsum([len(column) for column in self._columns])

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """Return the texts of documents, in the order of `numbers` (ascending)."""
        texts: list[str] = []
        columns = np.searchsorted(self._ends, numbers, side="right")
        for column in np.unique(columns):
            start = self._ends[column] - len(self._columns[column])
            texts += self._columns[column].take(numbers[columns == column] - start).to_pylist()
        return texts


def _column(spec: FeatureSpec, folders: Sequence[Folder], name: str) -> Hashes:
    batches = _column_batches(spec, folders, name)
    values = [batch.to_numpy(zero_copy_only=False) for batch in batches]
    return np.concatenate([np.empty(0, np.uint64), *values])


def _column_batches(spec: FeatureSpec, folders: Sequence[Folder], name: str) -> Iterator[pa.Array]:
    fields = [spec.schema.get_field_index(name)]
    for folder in folders:
        for batch in read_columns(folder, spec.file, fields):
            yield batch[name]


def _band(band: int) -> str:
    return f"band_{band:03d}"
