"""Read the documents of a file in any format.

To add a format, name it in `config.DocumentFormat` and read it in `read_file`; give it a suffix in
`ARCHIVE_SUFFIXES`, and parts in `divide`, if it has them.
"""

from collections.abc import Iterator

from electra_pipeline.corpus.sources.books import cut_book
from electra_pipeline.corpus.sources.config import DocumentFormat, FileReading
from electra_pipeline.corpus.sources.documents import RawDocument, raw_document
from electra_pipeline.corpus.sources.web import read_warc, read_wet
from electra_pipeline.corpus.sources.wikipedia import read_wikipedia
from electra_pipeline.inputs.decoding import MAX_RECORD_BYTES, decoded_text
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.formats import Format
from electra_pipeline.inputs.multistream import count_dump_parts
from electra_pipeline.inputs.parts import Part
from electra_pipeline.inputs.records import num_parts, read_records, resolve_format

ARCHIVE_SUFFIXES: dict[str, DocumentFormat] = {".warc": "warc", ".wet": "wet"}


def read_file(file: SourceFile, reading: FileReading, part: Part | None) -> Iterator[RawDocument]:
    """Return the documents of a file, or of one of its parts, in order.

    Raises ValueError, when it is iterated, for a file that cannot be read.
    """
    match document_format(file, reading.format):
        case "text":
            return _read_text(file, reading, part)
        case "wikipedia-xml":
            return read_wikipedia(file, part)
        case "warc":
            return read_warc(file)
        case "wet":
            return read_wet(file)
        case data_format:
            return _read_data(file, data_format, reading, part)


def divide(file: SourceFile, reading: FileReading) -> list[Part] | list[None]:
    """Return the parts of a file; [None] if it is small or must be read whole."""
    if reading.max_documents_per_file is not None:
        return [None]
    match document_format(file, reading.format):
        case "wikipedia-xml":
            number = count_dump_parts(file)
        case "warc" | "wet":
            return [None]
        case "text" if reading.documents != "line":
            return [None]
        case data_format:
            number = num_parts(file, data_format, reading.encoding)
    return [Part(index, number) for index in range(number)] if number > 1 else [None]


def document_format(file: SourceFile, format: DocumentFormat) -> DocumentFormat:
    """Return `format`, or that of the file's suffix. Raises ValueError for an unknown suffix."""
    if format == "wikipedia-xml" or format == "warc" or format == "wet":
        return format
    if format == "auto" and file.suffix == ".xml":
        raise ValueError(
            f"{file.name}: .xml may be any format; set format to wikipedia-xml if it is a "
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
    part_name = "" if part is None else f" ({part})"
    for number, record in enumerate(records, start=1):
        position = f"{file.name}{part_name}: record {number}"
        # A column that the first record lacks is missing from the file.
        yield raw_document(record, reading, file.name if number == 1 else position, position)


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
