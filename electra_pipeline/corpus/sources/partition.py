"""The partitions of files: the unit of work of a corpus, read by one worker, never read again.

`hub.HubPartition`, one data file of a hub dataset, has the same properties.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from electra_pipeline.corpus.sources.config import FileReading, shaping_fields
from electra_pipeline.corpus.sources.documents import RawDocument, take_first
from electra_pipeline.corpus.sources.readers import document_format, read_file
from electra_pipeline.inputs.decompression import Warn, log_warning
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.parts import Part


@dataclass(frozen=True)
class FilePartition:
    """One file, a part of it, or a group of small files of one source. Picklable."""

    label: str
    """Name of the source in the corpus."""
    files: tuple[SourceFile, ...]
    """In order; only a group has several."""
    reading: FileReading
    """The configuration of the source."""
    part: Part | None = None
    is_group: bool = False

    @property
    def name(self) -> str:
        """Return the name for messages and the manifest."""
        name = self.files[0].name
        if self.is_group:
            return f"{name} to {self.files[-1].name} ({len(self.files)} files)"
        return name if self.part is None else f"{name} ({self.part})"

    @property
    def kind(self) -> str:
        """Return how the bytes are interpreted, such as `.jsonl.zst`."""
        return ".group" if self.is_group else self._kind(self.files[0])

    @cached_property
    def digest(self) -> str:
        """Return the digest of the content; of a group, over the kinds and digests of its files."""
        if not self.is_group:
            return self.files[0].digest
        lines = "".join(f"{self._kind(file)} {file.digest}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """Return everything but the content that determines the documents."""
        part = None if self.part is None else [self.part.index, self.part.number]
        return {"kind": self.kind, "part": part, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the documents in order. Raises ValueError if they cannot be read."""
        for file in self.files:
            documents = read_file(replace(file, warn=warn), self.reading, self.part)
            yield from take_first(documents, self.reading.max_documents_per_file)

    def check_readable(self) -> None:
        """Read the first document of each file. Raises ValueError for a wrong format or column."""
        for file in self.files:
            # The warning is logged when the whole file is read.
            silent = replace(file, warn=lambda message: None)
            next(read_file(silent, self.reading, self.part), None)

    def _kind(self, file: SourceFile) -> str:
        return f".{document_format(file, self.reading.format)}{file.compression or ''}"
