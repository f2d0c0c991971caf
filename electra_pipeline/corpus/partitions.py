"""Process partitions: read and clean their documents in parallel, and reuse finished partitions.

The outputs of a partition depend on its content and the rules alone, and are stored in a folder
named after both. The completion record is written last: an interrupted run resumes with the
partitions that have none, and a later corpus reuses the finished partitions of a source that has
grown.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import xxhash

from electra_pipeline.core.execution import Executor
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.core.progress import Progress, Update, silent, throttled
from electra_pipeline.corpus.cleaning.config import DocumentRules
from electra_pipeline.corpus.cleaning.document import clean_documents
from electra_pipeline.corpus.cleaning.text import content_id
from electra_pipeline.corpus.dropped import Sampler, sample_row
from electra_pipeline.corpus.progress import STAGE, reported, step_report
from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.plan import Partition
from electra_pipeline.inputs.decompression import log_warning
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA, write_shard
from electra_pipeline.text.words import count_words

SIZES = ("num_words", "num_characters", "num_bytes")
PARTITION_SCHEMA = pa.schema(
    [*DOCUMENT_SCHEMA, *(pa.field(name, pa.int64(), nullable=False) for name in SIZES)]
)
# The folder of all partitions under the root. The name is older than the word partition.
PARTITIONS_FOLDER = "corpus-pieces"
FORMAT_VERSION = 2  # 2: joiners and zero-width spaces that no spelling needs are removed
DOCUMENTS = "documents.arrow"
RECORD = "record.json"
BATCH_DOCUMENTS = 1024
BATCH_BYTES = 16 << 20
# Documents that are cleaned together: as many as a core's cache holds.
CLEANED_DOCUMENTS = 256
CLEANED_BYTES = 1 << 20
NOT_SAMPLED = "not_sampled"
TRAILING_BYTES = "files_with_trailing_bytes"  # after a compressed stream, and ignored
UPDATE_SECONDS = 1.0  # between two updates of a partition
MAX_LABEL_BYTES = 120  # leaves room for the rest of a folder's name, and for names of locks


@dataclass(frozen=True)
class PartitionTask:
    """The input of `process_partition`."""

    partition: Partition
    rules: DocumentRules
    folder: Folder


@dataclass
class PartitionCounts:
    """Counters of a partition's documents, as in its record; `read` = `kept` + all `dropped`."""

    label: str
    read: int = 0
    bytes_read: int = 0  # of UTF-8
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


def partition_folder(root: str, partition: Partition, rules: DocumentRules) -> Folder:
    """Return the folder of a partition, named by its content and the settings that shape it."""
    shaping = {"rules": rules.identity, "reading": partition.identity}
    inputs = {partition.label: partition.digest}
    name = fingerprint(PARTITIONS_FOLDER, FORMAT_VERSION, shaping, inputs)
    return Folder(root) / PARTITIONS_FOLDER / f"{_folder_name(partition.label)}-{name}"


def _folder_name(label: str) -> str:
    """Return a label without characters that storage may take for a pattern or a chained URL.

    It is also shortened, as file systems allow 255 bytes a component.
    """
    components = re.sub(r"::+|[*?#%{}\[\]\\]", "-", label).split("/")
    return "/".join(each.encode()[:MAX_LABEL_BYTES].decode(errors="ignore") for each in components)


def process_partitions(
    tasks: Sequence[PartitionTask], executor: Executor, progress: Progress
) -> list[dict[str, Any]]:
    """Return the completion records of all partitions, without samples; finished ones are reused.

    Raises ValueError if a partition cannot be read, before any is processed if its first document
    shows that.
    """
    records: dict[int, dict[str, Any]] = {}
    report = step_report(progress, "looking up finished partitions")
    for index, task in enumerate(reported(tasks, len(tasks), report)):
        if (record := find_record(task.folder)) is not None:
            records[index] = without_samples(record) | {"reused": True}
    missing = [index for index in range(len(tasks)) if index not in records]
    for index in reported(missing, len(missing), step_report(progress, "checking")):
        tasks[index].partition.check_readable()
    started, num_bytes = time.monotonic(), 0
    num_documents = sum(record["kept"] for record in records.values())
    progress(Update(STAGE, len(records), len(tasks), "partitions", {"reused": len(records)}))
    running: dict[str, Mapping[str, Any]] = {}  # the latest metrics of partitions in work

    def report_all(update: Update | None = None) -> None:
        if update is not None:
            running[update.item] = update.metrics
        num_megabytes = num_bytes / 1e6 + sum(each["MB"] for each in running.values())
        metrics = {
            "documents": num_documents + sum(each["documents"] for each in running.values()),
            "MB": num_megabytes,
            "MB/s": num_megabytes / (time.monotonic() - started),
        }
        progress(Update(STAGE, len(records), len(tasks), "partitions", metrics))

    to_process = [tasks[index] for index in missing]
    for outcome in executor.map(process_partition, to_process, progress=report_all):
        if outcome.error is not None:
            raise outcome.error
        assert outcome.value is not None  # one of the two is set
        index = missing[outcome.index]
        records[index] = without_samples(outcome.value) | {"reused": False}
        running.pop(tasks[index].folder.name, None)
        num_bytes += outcome.value["bytes_read"]
        num_documents += outcome.value["kept"]
        report_all()
    return [records[index] for index in range(len(tasks))]


def find_record(folder: Folder) -> dict[str, Any] | None:
    """Return the completion record of a partition; None if it is missing or its file is damaged."""
    if not folder.exists(RECORD):
        return None
    record: dict[str, Any] = folder.read_json(RECORD)
    if not folder.exists(DOCUMENTS) or folder.sha256(DOCUMENTS) != record["sha256"]:
        return None
    return record


def without_samples(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a record that the driver holds in memory for every partition."""
    return {name: value for name, value in record.items() if name != "samples"}


def process_partition(task: PartitionTask, progress: Progress = silent) -> dict[str, Any]:
    """Process a partition in a worker and return its completion record.

    `progress` receives the documents kept and the MB read so far, with the folder's name as the
    item. Raises ValueError if the partition cannot be read.
    """
    counts = PartitionCounts(task.partition.label)
    sampler = Sampler(task.rules.samples_per_reason)
    batches = _kept_batches(task, counts, sampler, throttled(progress, UPDATE_SECONDS))
    return write_partition(task.folder, batches, counts, sampler)


def write_partition(
    folder: Folder, batches: Iterable[pa.RecordBatch], counts: PartitionCounts, sampler: Sampler
) -> dict[str, Any]:
    """Write the documents of a partition, then its completion record, which is returned.

    `counts` and `sampler` are complete once `batches` is exhausted.
    """
    with folder.create(DOCUMENTS) as file:
        write_shard(file, PARTITION_SCHEMA, batches)
    record = {**vars(counts), "samples": sampler.rows(), "sha256": folder.sha256(DOCUMENTS)}
    folder.write_json(RECORD, record)
    return record


def _kept_batches(
    task: PartitionTask, counts: PartitionCounts, sampler: Sampler, progress: Progress
) -> Iterator[pa.RecordBatch]:
    """Yield the kept documents; count all of them and sample the dropped ones."""
    rows: list[dict[str, Any]] = []
    num_bytes = 0
    for keys, raws in _sampled_batches(task, counts, progress):
        for key, document in zip(keys, clean_documents(raws, task.rules), strict=True):
            counts.repaired.update(document.repairs)
            if document.reason is not None:
                counts.dropped[document.reason] += 1
                columns = {"source": counts.label, "url": document.url, "text": document.text}
                sampler.add(key, sample_row(document.reason, document.value, columns))
                continue
            counts.kept += 1
            row = document_row(document.text, counts.label, document.url, document.language)
            rows.append(row)
            num_bytes += row["num_bytes"]
            if len(rows) == BATCH_DOCUMENTS or num_bytes >= BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)
                rows, num_bytes = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)


def _sampled_batches(
    task: PartitionTask, counts: PartitionCounts, progress: Progress
) -> Iterator[tuple[list[int], list[RawDocument]]]:
    """Yield the documents that are processed, in small batches, with their keys; count all."""
    keys: list[int] = []
    raws: list[RawDocument] = []
    num_bytes = 0
    limit = int(task.rules.sample_fraction * 2**64)

    def warn(message: str) -> None:
        log_warning(message)
        counts.repaired[TRAILING_BYTES] += 1

    for raw in task.partition.read(warn):
        counts.read += 1
        encoded = raw.text.encode(errors="surrogatepass")
        counts.bytes_read += len(encoded)
        metrics = {"documents": counts.kept, "MB": counts.bytes_read / 1e6}
        progress(Update(STAGE, 0, 1, "partitions", metrics, item=task.folder.name))
        # Documents without a text differ by their URLs.
        key = xxhash.xxh3_64_intdigest(encoded or (raw.url or "").encode())
        if key >= limit:
            counts.dropped[NOT_SAMPLED] += 1
            continue
        keys.append(key)
        raws.append(raw)
        num_bytes += len(encoded)
        if len(raws) == CLEANED_DOCUMENTS or num_bytes >= CLEANED_BYTES:
            yield keys, raws
            keys, raws, num_bytes = [], [], 0
    yield keys, raws


def document_row(text: str, label: str, url: str | None, language: str | None) -> dict[str, Any]:
    """Return the row of `PARTITION_SCHEMA` of a kept document."""
    return {
        "id": content_id(text),
        "text": text,
        "source": label,
        "url": url,
        "language": language,
        "num_words": count_words(text),
        "num_characters": len(text),
        "num_bytes": len(text.encode()),
    }


def read_partition(folder: Folder, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the named columns of a processed partition's documents, in order."""
    fields = [PARTITION_SCHEMA.get_field_index(name) for name in columns]
    return read_columns(folder, DOCUMENTS, fields)


def read_columns(folder: Folder, name: str, fields: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a partition's Arrow file, with the columns of these indices."""
    with folder.open(name) as file:
        reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
