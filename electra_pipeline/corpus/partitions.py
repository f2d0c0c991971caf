"""Process one partition of a corpus: read and clean its documents, keep or drop each.

`process` runs in worker processes. Its outputs depend on the partition's content and the rules
alone, and are stored in a folder named after both. The completion record is written last: an
interrupted run resumes with the partitions that have none, and a later corpus reuses finished
partitions of a source that has grown.
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import xxhash
from pydantic import Field, field_validator, model_validator

from electra_pipeline.core.identity import Config, fingerprint
from electra_pipeline.core.progress import Progress, Update, silent, throttled
from electra_pipeline.corpus.cleaning.filters.language_thresholds import min_language_score
from electra_pipeline.corpus.cleaning.filters.registry import Filters, apply
from electra_pipeline.corpus.cleaning.filters.registry import identity as filters_identity
from electra_pipeline.corpus.cleaning.language_id import check_language, identify
from electra_pipeline.corpus.cleaning.text import clean, content_id
from electra_pipeline.corpus.sources.config import RawDocument
from electra_pipeline.corpus.sources.readers import Partition
from electra_pipeline.inputs.decompression import log_warning
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA, write_shard
from electra_pipeline.text.words import split_words

SIZES = ("num_words", "num_characters", "num_bytes")
PARTITION_SCHEMA = pa.schema(
    [*DOCUMENT_SCHEMA, *(pa.field(name, pa.int64(), nullable=False) for name in SIZES)]
)
PARTITIONS_FOLDER = "corpus-pieces"  # the folder below the root
FORMAT_VERSION = 2  # 2: joiners and zero-width spaces that no spelling needs are removed
DOCUMENTS = "documents.arrow"
RECORD = "record.json"
BATCH_DOCUMENTS = 1024
BATCH_BYTES = 16 << 20
EXCERPT_CHARACTERS = 2000  # enough to see why
NOT_SAMPLED = "not_sampled"
TRAILING_BYTES = "files_with_trailing_bytes"  # after a compressed stream, and left out
UPDATE_SECONDS = 1.0  # between two updates of a partition
MAX_LABEL_BYTES = 120  # leaves room for what tells folders apart, and for names of locks


class Rules(Config):
    """What a document must be to be kept."""

    language: str | None = None
    """Keep documents in this language alone (ISO 639-1); null keeps every language."""
    language_min_score: float | None = Field(default=None, ge=0.0, le=1.0)
    """Least probability of that language; null takes the language's own, which is 0.5 for most and
    lower where the model is less sure (quality/language_thresholds.yaml)."""
    min_characters: int = Field(default=50, ge=1)
    """Shorter documents are dropped; with fewer letters the language cannot be told."""
    max_characters: int = Field(default=10_000_000, ge=1)
    """Longer documents are dropped: not a text but a whole collection in one record."""
    filters: Filters = ()
    """Rules that judge and edit documents, in their order: web, wikipedia, books or none, or a
    list."""
    unescape_html: bool = True
    """Decode HTML entities that an extractor left, in documents without a `<`."""
    sample_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the documents, chosen by content hash, that is looked at: to try rules out."""
    samples_per_reason: int = Field(default=100, ge=0)
    """How many dropped documents of each reason are kept, to look at: a random choice."""

    @property
    def identity(self) -> dict[str, Any]:
        """What of the rules shapes the documents, defaults of the language filled in."""
        others = self.model_dump(mode="json", include=set(Rules.model_fields) - {"filters"})
        return others | {
            "filters": filters_identity(self.filters),
            "language_min_score": self.min_score,
        }

    @property
    def min_score(self) -> float:
        """The least probability of the language that counts."""
        if self.language_min_score is not None:
            return self.language_min_score
        return min_language_score(self.language)

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, language: str | None) -> str | None:
        return None if language is None else check_language(language)

    @model_validator(mode="after")
    def _lengths_are_ordered(self) -> "Rules":
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, more than max_characters "
                f"{self.max_characters}; nothing could be kept"
            )
        return self


class Document(NamedTuple):
    """A cleaned document and what became of it."""

    text: str
    url: str | None
    language: str | None
    reason: str | None  # why it is dropped; None: it is kept
    value: str  # what the rule measured
    repairs: Mapping[str, int]


@dataclass(frozen=True)
class PartitionTask:
    """All that a worker needs."""

    partition: Partition
    rules: Rules
    folder: Folder


@dataclass
class PartitionCounts:
    """What happened to the documents of a partition; `read` = `kept` + the sum of `dropped`."""

    read: int = 0
    bytes_read: int = 0  # of UTF-8
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


def partition_folder(root: str, partition: Partition, rules: Rules) -> Folder:
    """Where a partition lies: named by its content and by all that shapes what is kept of it."""
    shaping = {"rules": rules.identity, "reading": partition.identity}
    name = fingerprint(
        PARTITIONS_FOLDER, FORMAT_VERSION, shaping, {partition.label: partition.digest}
    )
    return Folder(root) / PARTITIONS_FOLDER / f"{_folder_name(partition.label)}-{name}"


def _folder_name(label: str) -> str:
    """A label as part of a folder's name: without what storage may take for a pattern or chain.

    Shortened too, as file systems take 255 bytes a component.
    """
    components = re.sub(r"::+|[*?#%{}\[\]\\]", "-", label).split("/")
    return "/".join(each.encode()[:MAX_LABEL_BYTES].decode(errors="ignore") for each in components)


def find_record(folder: Folder) -> dict[str, Any] | None:
    """The completion record of a partition, or None where it is missing or its file is damaged."""
    if not folder.exists(RECORD):
        return None
    record: dict[str, Any] = folder.read_json(RECORD)
    if not folder.exists(DOCUMENTS) or folder.sha256(DOCUMENTS) != record["sha256"]:
        return None
    return record


def without_samples(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record the driver holds for every partition."""
    return {name: value for name, value in record.items() if name != "samples"}


def judge(raw: RawDocument, rules: Rules) -> Document:
    """Clean a document, find the first rule that drops it, if one does, and edit it by the rules.

    Lengths are looked at again after the edits, which may leave little of a document.
    """
    if raw.problem is not None:  # its reader has found it unreadable
        return Document(raw.text, raw.url, None, raw.problem, raw.value, {})
    text, repairs = clean(raw.text, unescape_html=rules.unescape_html)
    if raw.is_truncated:
        repairs = {**repairs, "truncated_documents": 1}
    if reason := _wrong_length(text, rules):
        return Document(text, raw.url, None, reason, str(len(text)), repairs)
    verdict = identify(text)
    language, wanted = verdict.code, rules.language
    # Too few letters to tell the language: no reason to drop.
    if wanted and language and (language != wanted or verdict.score < rules.min_score):
        value = f"{language} {verdict.score:.2f}"
        return Document(text, raw.url, language, "language", value, repairs)
    text, rejection, edits = apply(rules.filters, text, raw.url, language)
    repairs = {**repairs, **edits}
    if rejection is not None:
        return Document(text, raw.url, language, rejection.reason, rejection.value, repairs)
    reason = _wrong_length(text, rules)
    return Document(text, raw.url, language, reason, str(len(text)), repairs)


def _wrong_length(text: str, rules: Rules) -> str | None:
    if not text:
        return "empty"
    if len(text) < rules.min_characters:
        return "too_short"
    return "too_long" if len(text) > rules.max_characters else None


def process(task: PartitionTask, progress: Progress = silent) -> dict[str, Any]:
    """Process a partition and return its completion record.

    Raises ValueError if the partition cannot be read.

    `progress` gets the documents kept and the MB read so far, with the folder's name as the item.
    """
    counts, samples = PartitionCounts(), Samples(task.rules.samples_per_reason)
    progress = throttled(progress, UPDATE_SECONDS)
    with task.folder.create(DOCUMENTS) as file:
        write_shard(file, PARTITION_SCHEMA, _kept_batches(task, counts, samples, progress))
    record = {
        "label": task.partition.label,
        "read": counts.read,
        "kept": counts.kept,
        "dropped": dict(counts.dropped),
        "repaired": dict(counts.repaired),
        "samples": samples.rows(),
        "bytes_read": counts.bytes_read,
        "sha256": task.folder.sha256(DOCUMENTS),
    }
    task.folder.write_json(RECORD, record)
    return record


def _kept_batches(
    task: PartitionTask, counts: PartitionCounts, samples: "Samples", progress: Progress
) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    num_bytes = 0
    limit = int(task.rules.sample_fraction * 2**64)

    def warn(message: str) -> None:
        log_warning(message)
        counts.repaired[TRAILING_BYTES] += 1

    for raw in task.partition.read(warn):
        counts.read += 1
        encoded = raw.text.encode(errors="surrogatepass")
        counts.bytes_read += len(encoded)
        facts = {"documents": counts.kept, "MB": counts.bytes_read / 1e6}
        progress(Update(PARTITIONS_FOLDER, 0, 1, "partitions", facts, item=task.folder.name))
        # Documents without a text are told apart by their addresses.
        key = xxhash.xxh3_64_intdigest(encoded or (raw.url or "").encode())
        if key >= limit:
            counts.dropped[NOT_SAMPLED] += 1
            continue
        document = judge(raw, task.rules)
        counts.repaired.update(document.repairs)
        if document.reason is not None:
            counts.dropped[document.reason] += 1
            samples.add(key, document.reason, _sample(document, task.partition.label))
            continue
        counts.kept += 1
        row = document_row(document.text, task.partition.label, document.url, document.language)
        rows.append(row)
        num_bytes += row["num_bytes"]
        if len(rows) == BATCH_DOCUMENTS or num_bytes >= BATCH_BYTES:
            yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)
            rows, num_bytes = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, PARTITION_SCHEMA)


class Samples:
    """Of the dropped documents of each reason, those with the smallest keys: a random choice.

    A choice that no order of the documents changes. A key is a content hash; equal ones stay in
    the order in which they came.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heaps: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
        self._num_added = 0

    def add(self, key: int, reason: str, row: dict[str, Any]) -> None:
        """Consider one more."""
        self._num_added += 1
        heap = self._heaps.setdefault(reason, [])
        # The smallest of a heap is the first to go, so all is negative: the largest key goes.
        heapq.heappush(heap, (-key, -self._num_added, row | {"key": key}))
        if len(heap) > self._limit:
            heapq.heappop(heap)

    def rows(self) -> list[dict[str, Any]]:
        """The chosen ones by reason and key."""
        return [
            row
            for reason in sorted(self._heaps)
            for _, _, row in sorted(self._heaps[reason], reverse=True)
        ]


def document_row(text: str, label: str, url: str | None, language: str | None) -> dict[str, Any]:
    """A kept document as `PARTITION_SCHEMA` has it."""
    return {
        "id": content_id(text),
        "text": text,
        "source": label,
        "url": url,
        "language": language,
        "num_words": len(split_words(text)),
        "num_characters": len(text),
        "num_bytes": len(text.encode()),
    }


def _sample(document: Document, label: str) -> dict[str, Any]:
    return {
        "reason": document.reason,
        "value": document.value,
        "source": label,
        "url": document.url,
        "text": excerpt(document.text),
    }


def excerpt(text: str) -> str:
    """The beginning of a dropped document, as `dropped.parquet` shows it."""
    return text[:EXCERPT_CHARACTERS]
