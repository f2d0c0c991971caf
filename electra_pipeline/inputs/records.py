"""Records of the usual data files, one dict each; broken input names its file and line."""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import IO, Any, Literal, get_args

import orjson
import pyarrow as pa

from electra_pipeline.inputs.columnar import NUM_GROUPS, read_columnar
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.parts import Part, count_parts, lines_of

Format = Literal["auto", "text", "jsonl", "csv", "tsv", "json", "parquet", "arrow"]

FORMAT_OF_SUFFIX: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20
# A line or a csv field of more is no document but a file without line ends, or a quote never
# closed; it would be held in memory several times.
MAX_RECORD_BYTES = 256 << 20
# Of a JSON list, which can only be read as a whole.
MAX_LIST_CHARACTERS = 1 << 30


def resolve_format(file: SourceFile, format: Format = "auto") -> Format:
    """`format`, or what the file's suffix says. Raises ValueError for an unknown suffix."""
    if format != "auto":
        return format
    if file.suffix not in FORMAT_OF_SUFFIX:
        formats = ", ".join(name for name in get_args(Format) if name != "auto")
        raise ValueError(
            f"{file.name}: its name does not tell the format; set format to one of {formats}, and "
            "unpack it if it is an archive or compressed otherwise than gz, bz2, xz, zst or lz4"
        )
    return FORMAT_OF_SUFFIX[file.suffix]


def num_parts(file: SourceFile, format: Format, encoding: str) -> int:
    """In how many parts `read_records` can read a file: large ones of lines, parquet and Arrow.

    What is compressed as a whole, and what has to be read from its beginning (csv, json, an Arrow
    stream, which has no index as an Arrow file has), is one.
    """
    resolved = resolve_format(file, format)
    by_lines = resolved in ("jsonl", "text") and "\n".encode(encoding) == b"\n"
    num_groups = NUM_GROUPS.get(resolved)
    if file.compression is not None or not (by_lines or num_groups):
        return 1
    with file.open() as stream:
        if not stream.seekable():
            return 1
        try:
            return count_parts(stream, num_groups)
        except pa.ArrowException:
            return 1  # an Arrow stream; or broken, and reading it says what is wrong


def read_records(
    file: SourceFile,
    format: Format = "auto",
    *,
    encoding: str = "utf-8",
    part: Part | None = None,
    has_header: bool = True,
) -> Iterator[dict[str, Any]]:
    """The records of a file in order, each a dict by column name; a text file's are its lines.

    csv has a header and RFC 4180 quoting; where the header has no comma but semicolons, tabs or
    bars, these separate. tsv has a header and no quoting (as GLUE is published: 169 training rows
    of MRPC hold an odd number of quotes); of either without a header, positions from 0 are the
    names. json is one list of objects. `part` is one of `num_parts`
    of the file, the records of which one after the other are those of the file. Raises ValueError
    with the file and line (or record; both counted in the part) for what cannot be read.
    """
    resolved = resolve_format(file, format)
    name = file.name
    if part is not None:
        name = f"{name} (part {part.index + 1} of {part.number})"
    with file.open() as stream:
        match resolved:
            case "text":
                lines = stream if part is None else lines_of(stream, part)
                for line in _decoded_lines(lines, name, encoding):
                    yield {"text": line.rstrip("\r\n")}
            case "jsonl":
                lines = stream if part is None else lines_of(stream, part)
                yield from _json_lines(lines, name, encoding)
            case "csv" | "tsv":
                yield from _delimited(stream, file.name, encoding, resolved, has_header)
            case "json":
                yield from _json_list(stream, file.name, encoding)
            case _:
                yield from read_columnar(stream, name, resolved, part)


def require_column(record: Mapping[str, Any], column: str, file: SourceFile) -> Any:
    """`record[column]`. Raises ValueError that lists the columns there are."""
    if column not in record:
        raise ValueError(
            f"{file.name}: no column {column!r}; it has {', '.join(map(repr, record)) or 'none'}"
        )
    return record[column]


def decoded_text(stream: IO[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """The text of a byte stream in blocks, without a byte order mark.

    Raises ValueError that names line and byte of what is not valid in `encoding`.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise ValueError(f"{name}: unknown encoding {encoding!r}; try utf-8 or cp1252") from error
    num_bytes = num_lines = 0
    while True:
        num_pending = len(decoder.getstate()[0])
        block = stream.read(BLOCK_BYTES)
        if num_bytes == 0:
            _check_mark(block, name, encoding)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = num_lines + error.object[: error.start].count(b"\n") + 1
            place = num_bytes - num_pending + error.start
            raise ValueError(
                f"{name}: line {line}, byte {place}: not valid {encoding} ({error.reason}); "
                "repair the file or set encoding to the one it is written in"
            ) from error
        except UnicodeError as error:  # that of UTF-16 and UTF-32 for a missing mark has no place
            raise ValueError(
                f"{name}: not valid {encoding} ({error}); set encoding to the one it is written in"
            ) from error
        yield text.removeprefix(BYTE_ORDER_MARK) if num_bytes == 0 else text
        if not block:
            return
        num_bytes += len(block)
        num_lines += block.count(b"\n")


def _check_mark(start: bytes, name: str, encoding: str) -> None:
    """Refuse a file that says itself that it is not in the UTF-8 it is taken for."""
    if codecs.lookup(encoding).name != "utf-8":
        return
    # That of UTF-32 begins like that of UTF-16.
    for other, marks in (
        ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
        ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ):
        if start.startswith(marks):
            raise ValueError(
                f"{name}: line 1, byte 0: a byte order mark of {other}, which is not valid utf-8; "
                f"set encoding to {other}"
            )


def _decoded_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Lines with their ends (LF or CRLF). Other line separators stay in the text, as in JSON."""
    rest: list[str] = []  # a line may span many blocks: join once
    num_characters, number = 0, 1
    for text in decoded_text(stream, name, encoding):
        first, *others = text.split("\n")
        rest.append(first)
        for part in others:
            yield "".join(rest) + "\n"
            rest, num_characters = [part], 0
        number += len(others)
        num_characters += len(rest[-1])
        if num_characters > MAX_RECORD_BYTES:  # a character has a byte at least
            raise ValueError(
                f"{name}: line {number}: more than {MAX_RECORD_BYTES} bytes without a line end; "
                "check the format, and split the line if it is right"
            )
    if last := "".join(rest):
        yield last


def _json_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_decoded_lines(stream, name, encoding), start=1):
        if not line.strip():
            continue
        try:
            record = _parse_json(line)
        except ValueError as error:
            raise ValueError(
                f"{name}: line {number}: broken JSON ({error}); repair or remove the line"
            ) from error
        if not isinstance(record, dict):
            raise ValueError(
                f"{name}: line {number}: a JSON {type(record).__name__} where an object is needed"
            )
        yield record


def _parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # The standard library also takes what Python and JavaScript write: NaN, lone surrogates.
        try:
            return json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _json_list(stream: IO[bytes], name: str, encoding: str) -> Iterator[dict[str, Any]]:
    blocks: list[str] = []
    num_characters = 0
    for block in decoded_text(stream, name, encoding):
        blocks.append(block)
        num_characters += len(block)
        if num_characters > MAX_LIST_CHARACTERS:
            raise ValueError(
                f"{name}: a JSON list of more than {MAX_LIST_CHARACTERS} characters, which is held "
                "in memory; write one object a line, and set format to jsonl"
            )
    try:
        records = _parse_json("".join(blocks))
    except ValueError as error:
        raise ValueError(
            f"{name}: broken JSON ({error}); if it has one object a line, set format to jsonl"
        ) from error
    if not isinstance(records, list):
        raise ValueError(
            f"{name}: a JSON {type(records).__name__} where a list of objects is needed"
        )
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise ValueError(
                f"{name}: record {number}: a JSON {type(record).__name__} where an object is needed"
            )
        yield record


def _delimited(
    stream: IO[bytes], name: str, encoding: str, format: Format, has_header: bool
) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_RECORD_BYTES)  # a document can be longer than the default 128 kB
    lines = _decoded_lines(stream, name, encoding)
    if format == "tsv":
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        header_line = next(lines, "")
        separator = _separator(header_line)
        # Strict: else a quote that is never closed swallows the rest of the file without a word.
        rows = csv.reader(chain([header_line], lines), delimiter=separator, strict=True)
    try:
        first = next(rows, None)
        if first is None:
            return
        header: list[Any] = first if has_header else list(range(len(first)))
        if len(set(header)) < len(header):
            raise ValueError(f"{name}: line 1: a column name comes twice; rename one of {header}")
        for row in rows if has_header else chain([first], rows):
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"{name}: line {rows.line_num}: {len(row)} fields, "
                    f"the {'header' if has_header else 'first line'} has "
                    f"{len(header)}; repair the line or check that the file is {format}"
                )
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ValueError(
            f"{name}: line {rows.line_num}: broken {format} ({error}); repair the quoting"
        ) from error


def _separator(header: str) -> str:
    """Comma, or what a header without any has instead: where 0,5 is a number, csv files have ;."""
    if "," in header:
        return ","
    return next((character for character in ";\t|" if character in header), ",")
