"""Partitions of a corpus and their documents, as they come from the sources.

A partition is what one worker reads at a time, and what an interrupted run does not read again: one
file, a part of a large one, a group of small ones, or one data file of a hub dataset.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from electra_pipeline.corpus.sources.books import cut_book
from electra_pipeline.corpus.sources.config import (
    DocumentFormat,
    FileReading,
    HubSource,
    PackageSource,
    RawDocument,
    Source,
    default_label,
    raw_document,
    shaping_fields,
)
from electra_pipeline.corpus.sources.file_groups import FileGroup, group_small_files
from electra_pipeline.corpus.sources.web import read_warc, read_wet
from electra_pipeline.corpus.sources.wikipedia import read_wikipedia
from electra_pipeline.inputs.decompression import Warn, log_warning
from electra_pipeline.inputs.files import SourceFile, expand, fetch
from electra_pipeline.inputs.multistream import count_dump_parts
from electra_pipeline.inputs.parts import Part
from electra_pipeline.inputs.records import (
    MAX_RECORD_BYTES,
    Format,
    decoded_text,
    num_parts,
    read_records,
    resolve_format,
)

ARCHIVE_SUFFIXES: dict[str, DocumentFormat] = {".warc": "warc", ".wet": "wet"}


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
        """Format and compression, such as `.jsonl.zst`: how the bytes are understood."""
        return f".{document_format(self.file, self.reading.format)}{self.file.compression or ''}"

    @property
    def digest(self) -> str:
        return self.file.digest

    @property
    def identity(self) -> dict[str, Any]:
        """How it is understood: all but the content that shapes the documents."""
        part = None if self.part is None else [self.part.index, self.part.number]
        return {"kind": self.kind, "part": part, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """The file's documents in order. Raises ValueError for what cannot be read."""
        file, reading = replace(self.file, warn=warn), self.reading
        match document_format(file, reading.format):
            case "text":
                documents = _read_text(file, reading, self.part)
            case "wikipedia-xml":
                documents = read_wikipedia(file, self.part)
            case "warc":
                documents = read_warc(file)
            case "wet":
                documents = read_wet(file)
            case data_format:
                documents = _read_data(file, data_format, reading, self.part)
        return _first(documents, reading.max_documents_per_file)


@dataclass(frozen=True)
class HubPartition:
    """Data file `index` of `num_files` of a hub dataset at one `digest` (a commit, as a rule)."""

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
        """How it is understood, and which part of the dataset it is."""
        place = {"index": self.index, "num_pieces": self.num_files}
        return shaping_fields(self.reading) | place

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """The data file's documents in order. Raises ValueError for what cannot be read."""
        from electra_pipeline.corpus.sources import hub  # `datasets` takes seconds to import

        documents = hub.read(self.reading, self.index, self.num_files)
        return _first(documents, self.reading.max_documents_per_file)


Partition = FilePartition | FileGroup | HubPartition
Watch = Callable[[int, int], None]
"""Called with the number of files that were looked at, and of those found so far."""


def unwatched(num_looked_at: int, num_found: int) -> None:
    """Tell nobody."""


def plan(sources: Sequence[Source], watch: Watch = unwatched) -> list[Partition]:
    """The partitions of all sources in order; http files and wheels are downloaded here.

    Raises ValueError if a file, dataset or split is not there or its digest is not the one given.
    """
    partitions: list[Partition] = []
    num_looked_at = 0
    for source in sources:
        if isinstance(source, HubSource):
            from electra_pipeline.corpus.sources import hub

            label, pinned, digest, num_files = hub.pin(source)
            partitions += [
                HubPartition(label, pinned, digest, index, num_files) for index in range(num_files)
            ]
            continue
        reading = FileReading(**source.model_dump(include=set(FileReading.model_fields)))
        references = (source,) if isinstance(source, PackageSource) else source.urls
        of_source: list[FilePartition] = []
        for reference in references:
            label = source.label or default_label(reference)
            watch(num_looked_at, num_looked_at + 1)
            found = expand(reference)
            for number, each in enumerate(found):
                watch(num_looked_at + number, num_looked_at + len(found))
                file = fetch(each, reading.max_expansion)
                of_source += [
                    FilePartition(label, file, reading, part) for part in _parts(file, reading)
                ]
            num_looked_at += len(found)
        for _, of_label in groupby(of_source, lambda partition: partition.label):
            partitions += group_small_files(list(of_label))
    return partitions


def check_readable(partition: Partition) -> None:
    """Read a file's first document. Raises ValueError if it has another format or no such column.

    Of a hub dataset that is known since it was planned.
    """
    for file in partition.files if isinstance(partition, FileGroup) else [partition]:
        if isinstance(file, FilePartition):
            next(file.read(lambda message: None), None)  # which reading all of it will log


def _first(documents: Iterator[RawDocument], number: int | None) -> Iterator[RawDocument]:
    """Documents until there are `number` of them that have no problem; None takes all."""
    for document in documents:
        yield document
        if number is not None and document.problem is None:
            number -= 1
            if not number:
                return


def _parts(file: SourceFile, reading: FileReading) -> list[Part | None]:
    """The parts of a large file that can be read apart; of another one that is all of it."""
    if reading.max_documents_per_file is not None:
        return [None]
    match document_format(file, reading.format):
        case "wikipedia-xml":
            number = count_dump_parts(file)
        case "warc" | "wet":
            number = 1
        case "text" if reading.documents != "line":
            number = 1
        case data_format:
            number = num_parts(file, data_format, reading.encoding)
    return [Part(index, number) for index in range(number)] if number > 1 else [None]


def document_format(file: SourceFile, format: DocumentFormat) -> DocumentFormat:
    """`format`, or what the file's suffix says. Raises ValueError if it says nothing."""
    if format == "wikipedia-xml" or format == "warc" or format == "wet":
        return format
    if format == "auto" and file.suffix == ".xml":
        raise ValueError(
            f"{file.name}: .xml does not tell the format; set format to wikipedia-xml if it is a "
            "MediaWiki dump"
        )
    if format == "auto" and file.suffix in ARCHIVE_SUFFIXES:
        return ARCHIVE_SUFFIXES[file.suffix]
    return resolve_format(file, format)


def _read_data(
    file: SourceFile, format: Format, reading: FileReading, part: Part | None
) -> Iterator[RawDocument]:
    columns = [name for name in (reading.text_column, reading.url_column) if isinstance(name, str)]
    has_header = isinstance(reading.text_column, str)
    records = read_records(
        *(file, format),
        encoding=reading.encoding,
        part=part,
        columns=columns,
        has_header=has_header,
    )
    part_name = "" if part is None else f" (part {part.index + 1} of {part.number})"
    for number, record in enumerate(records, start=1):
        place = f"{file.name}{part_name}: record {number}"
        # What the first record lacks, the file lacks.
        yield raw_document(record, reading, file.name if number == 1 else place, place)


def _read_text(file: SourceFile, reading: FileReading, part: Part | None) -> Iterator[RawDocument]:
    match reading.documents:
        case "file":
            texts = iter([_whole_text(file, reading.encoding)])
        case "book":
            whole = _whole_text(file, reading.encoding)
            texts = cut_book(whole, reading.document_characters)
        case "line":
            texts = (line for line in _lines(file, reading.encoding, part) if line.strip())
        case "blank-line":
            texts = _blocks(file, reading.encoding)
    for text in texts:
        yield RawDocument(text, None)


def _whole_text(file: SourceFile, encoding: str) -> str:
    blocks: list[str] = []
    num_characters = 0
    with file.open() as stream:
        for block in decoded_text(stream, file.name, encoding):
            blocks.append(block)
            num_characters += len(block)
            if num_characters > MAX_RECORD_BYTES:
                raise ValueError(
                    f"{file.name}: more than {MAX_RECORD_BYTES} characters as one text; set "
                    "documents to blank-line or line, which are read one by one"
                )
    return "".join(blocks)


def _lines(file: SourceFile, encoding: str, part: Part | None = None) -> Iterator[str]:
    records = read_records(file, "text", encoding=encoding, part=part)
    return (record["text"] for record in records)


def _blocks(file: SourceFile, encoding: str) -> Iterator[str]:
    block: list[str] = []
    num_characters = 0
    for number, line in enumerate(_lines(file, encoding), start=1):
        if line.strip():
            block.append(line)
            num_characters += len(line)
            if num_characters > MAX_RECORD_BYTES:
                raise ValueError(
                    f"{file.name}: line {number}: more than {MAX_RECORD_BYTES} characters without "
                    "a blank line; set documents to book or line"
                )
        elif block:
            yield "\n".join(block)
            block, num_characters = [], 0
    if block:
        yield "\n".join(block)
