"""A partition: the unit of work of a corpus, read by one worker and not read again on resume.

It is one file, a part of a large file, a group of small files, or one data file of a hub dataset.
Each has a `name` (for messages and the manifest), a `kind` (how the bytes are interpreted), a
`digest` of its content, and an `identity`: all else that determines its documents.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from electra_pipeline.corpus.sources.config import FileReading, HubSource, shaping_fields
from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.readers import document_format, read_file
from electra_pipeline.inputs.decompression import Warn, log_warning
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.parts import Part


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
        """Return format and compression, such as `.jsonl.zst`: how the bytes are interpreted."""
        return f".{document_format(self.file, self.reading.format)}{self.file.compression or ''}"

    @property
    def digest(self) -> str:
        return self.file.digest

    @property
    def identity(self) -> dict[str, Any]:
        part = None if self.part is None else [self.part.index, self.part.number]
        return {"kind": self.kind, "part": part, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the documents in order. Raises ValueError for a file that cannot be read."""
        documents = read_file(replace(self.file, warn=warn), self.reading, self.part)
        return _first(documents, self.reading.max_documents_per_file)


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
        """Return the sha256 over the kinds and digests of all files."""
        lines = "".join(f"{file.kind} {file.digest}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "part": None, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the files' documents in order. Raises ValueError if one cannot be read."""
        for file in self.files:
            yield from file.read(warn)


@dataclass(frozen=True)
class HubPartition:
    """Data file `index` of the `num_files` of a hub dataset, at one `digest` (usually a commit)."""

    label: str
    reading: HubSource
    digest: str
    index: int
    num_files: int

    @property
    def name(self) -> str:
        return f"{self.reading.path} ({self.index + 1} of {self.num_files})"

    @property
    def kind(self) -> str:
        return ""

    @property
    def identity(self) -> dict[str, Any]:
        # The key is older than the word partition.
        return shaping_fields(self.reading) | {"index": self.index, "num_pieces": self.num_files}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the documents in order. Raises ValueError for a data file that cannot be read."""
        from electra_pipeline.corpus.sources import hub  # `datasets` takes seconds to import

        documents = hub.read(self.reading, self.index, self.num_files)
        return _first(documents, self.reading.max_documents_per_file)


Partition = FilePartition | FileGroup | HubPartition


def _first(documents: Iterator[RawDocument], number: int | None) -> Iterator[RawDocument]:
    """Yield documents up to the `number`th without a problem; all of them for None."""
    for document in documents:
        yield document
        if number is not None and document.problem is None:
            number -= 1
            if not number:
                return
