"""A partition: the unit of work of a corpus, read by one worker and not read again on resume.

It is one file, a part of a large file, a group of small files, or one data file of a hub dataset
(`hub.HubPartition`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from electra_pipeline.corpus.sources.config import Columns, FileReading, shaping_fields
from electra_pipeline.corpus.sources.documents import RawDocument, take_first
from electra_pipeline.corpus.sources.readers import document_format, read_file
from electra_pipeline.inputs.decompression import Warn, log_warning
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.parts import Part


class Partition(Protocol):
    """What the corpus stage needs of a partition of any source. Partitions are picklable."""

    @property
    def label(self) -> str:
        """Return the name of the source in the corpus."""

    @property
    def reading(self) -> Columns:
        """Return the configuration of the source."""

    @property
    def name(self) -> str:
        """Return the name for messages and the manifest."""

    @property
    def kind(self) -> str:
        """Return how the bytes are interpreted, such as `.jsonl.zst`."""

    @property
    def digest(self) -> str:
        """Return the digest of the content."""

    @property
    def identity(self) -> dict[str, Any]:
        """Return everything but the content that determines the documents."""

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the documents in order. Raises ValueError if they cannot be read."""


@dataclass(frozen=True)
class FilePartition:
    """One file, or a part of it."""

    label: str
    file: SourceFile
    reading: FileReading
    part: Part | None = None

    @property
    def name(self) -> str:
        if self.part is None:
            return self.file.name
        return f"{self.file.name} (part {self.part.index + 1} of {self.part.number})"

    @property
    def kind(self) -> str:
        return f".{document_format(self.file, self.reading.format)}{self.file.compression or ''}"

    @property
    def digest(self) -> str:
        return self.file.digest

    @property
    def identity(self) -> dict[str, Any]:
        part = None if self.part is None else [self.part.index, self.part.number]
        return {"kind": self.kind, "part": part, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        documents = read_file(replace(self.file, warn=warn), self.reading, self.part)
        return take_first(documents, self.reading.max_documents_per_file)


@dataclass(frozen=True)
class FileGroup:
    """Several small files of one source, in order."""

    files: tuple[FilePartition, ...]

    @property
    def label(self) -> str:
        return self.files[0].label

    @property
    def reading(self) -> FileReading:
        return self.files[0].reading

    @property
    def name(self) -> str:
        return f"{self.files[0].name} to {self.files[-1].name} ({len(self.files)} files)"

    @property
    def kind(self) -> str:
        return ".group"

    @property
    def digest(self) -> str:
        # A sha256 over the kinds and digests of all files.
        lines = "".join(f"{file.kind} {file.digest}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "part": None, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        for file in self.files:
            yield from file.read(warn)
