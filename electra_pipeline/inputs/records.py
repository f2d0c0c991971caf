"""Parse records of data files, each as a dict; errors name file and line."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any, get_args

import orjson
import pyarrow as pa

from electra_pipeline.core.errors import json_type
from electra_pipeline.inputs import parts
from electra_pipeline.inputs.columnar import NUM_GROUPS, read_columnar
from electra_pipeline.inputs.decoding import (
    BYTE_ORDER_MARK,
    MAX_RECORD_BYTES,
    decoded_lines,
    decoded_text,
    text_lines,
)
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.formats import FORMAT_OF_SUFFIX, Format
from electra_pipeline.inputs.parts import Part, count_parts, lines_of
from electra_pipeline.storage.uri import ARCHIVES

SEPARATOR = re.compile(r"sep=[,;|\t]?\s*$")
MAX_LISTED = 30
QUOTED = re.compile('"[^"]*"')
# Limit for a JSON list, which can only be read as a whole
MAX_LIST_CHARACTERS = 1 << 30


def resolve_format(file: SourceFile, format: Format = "auto") -> Format:
    """Return `format`, or that of the file's suffix. Raises ValueError for an unknown suffix."""
    if format != "auto":
        return format
    if (protocol := file.suffix.removeprefix(".")) in ARCHIVES:
        pattern = f"{protocol}://*.txt::{file.name}"
        raise ValueError(f"{file.name}: an archive; name the files in it, as in {pattern}")
    if file.suffix not in FORMAT_OF_SUFFIX:
        file.check_text()
        formats = ", ".join(name for name in get_args(Format) if name != "auto")
        raise ValueError(
            f"{file.name}: its suffix names no known format; set format to one of {formats}, and "
            "unpack it if it is an archive or not compressed as gz, bz2, xz, zst or lz4"
        )
    return FORMAT_OF_SUFFIX[file.suffix]


def num_parts(file: SourceFile, format: Format, encoding: str) -> int:
    """Return in how many parts `read_records` can read a large file of lines, Parquet or Arrow.

    A file that is compressed as a whole, or must be read from its beginning (csv, json, an Arrow
    stream, which has no index), is 1 part.
    """
    resolved = resolve_format(file, format)
    by_lines = resolved in ("jsonl", "text") and "\n".encode(encoding) == b"\n"
    num_groups = NUM_GROUPS.get(resolved)
    if file.compression is not None or not (by_lines or num_groups):
        return 1
    if file.num_bytes is not None and file.num_bytes <= parts.PART_BYTES:
        return 1
    with file.open() as stream:
        if not stream.seekable():
            return 1
        try:
            return count_parts(stream, num_groups)
        except pa.ArrowException:
            return 1  # an Arrow stream; or damaged, which reading it reports


def read_records(
    file: SourceFile,
    format: Format = "auto",
    *,
    encoding: str = "utf-8",
    part: Part | None = None,
    columns: Sequence[str] | None = None,
    has_header: bool = True,
) -> Iterator[dict[Any, Any]]:
    """Yield the records of a file in order, as dicts by column name; of a text file, its lines.

    With `columns` (dots lead into objects), the other columns of Parquet and Arrow files are not
    read: their names are present, with None. csv has a header and RFC 4180 quoting; if the first
    line has no comma but semicolons, tabs or bars, these are the separators. tsv has a header and
    no quoting (as GLUE is published: 169 training rows of MRPC have an odd number of quotes).
    Without `has_header` their columns are numbered from 0. json is one list of objects, or one
    object. `part` is one of the `num_parts` of the file, which together have its records in order.
    Raises ValueError, with the file and line (or record; both counted in the part), for input that
    cannot be parsed.
    """
    resolved = resolve_format(file, format)
    name = file.name
    if part is not None:
        name = f"{name} (part {part.index + 1} of {part.number})"
    with file.open() as stream:
        match resolved:
            case "text":
                lines = stream if part is None else lines_of(stream, part)
                for line in text_lines(lines, name, encoding):
                    yield {"text": line}
            case "jsonl":
                lines = stream if part is None else lines_of(stream, part)
                yield from _json_lines(lines, name, encoding)
            case "csv" | "tsv":
                yield from _delimited(stream, file.name, encoding, resolved, has_header)
            case "json":
                yield from _json_list(stream, file.name, encoding, columns)
            case _:
                yield from read_columnar(stream, name, resolved, part, columns)


def _json_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(decoded_lines(stream, name, encoding), start=1):
        if not line.strip():
            continue
        try:
            record = _parse_json(line.removeprefix(BYTE_ORDER_MARK))  # of concatenated files
        except ValueError as error:
            raise ValueError(
                f"{name}: line {number}: invalid JSON ({error}); {_remedy(line, error)}"
            ) from error
        if not isinstance(record, dict):
            remedy = "; if the file is one list, set format to json" if number == 1 else ""
            raise ValueError(
                f"{name}: line {number}: a JSON {json_type(record)}, expected an object{remedy}"
            )
        yield record


def _remedy(line: str, error: ValueError) -> str:
    """Return the remedy for a line that is not JSON."""
    line = line.strip()
    if line in "{[":
        return "if the file is one list or object, set format to json; else write one object a line"
    if line.startswith("<"):
        return "it is HTML or XML, such as a server's error page; download it again"
    if str(error).startswith("Extra data"):
        return "write one object a line, without commas between them, for instance with jq -c ."
    return "repair or remove the line"


def _parse_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # The standard library also accepts what Python, JavaScript and shells write: NaN, lone
        # surrogates, tabs within strings.
        try:
            return json.loads(text, strict=False)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _json_list(
    stream: IO[bytes], name: str, encoding: str, columns: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    blocks: list[str] = []
    num_characters = 0
    for block in decoded_text(stream, name, encoding):
        blocks.append(block)
        num_characters += len(block)
        if num_characters > MAX_LIST_CHARACTERS:
            raise ValueError(
                f"{name}: a JSON list of more than {MAX_LIST_CHARACTERS} characters, which must "
                "fit in memory; write one object a line, and set format to jsonl"
            )
    try:
        records = _parse_json("".join(blocks))
    except ValueError as error:
        raise ValueError(
            f"{name}: invalid JSON ({error}); if it has one object a line, set format to jsonl"
        ) from error
    if isinstance(records, dict) and columns:
        _check_no_list_within(records, columns[0], name)
    for number, record in enumerate(records if isinstance(records, list) else [records], start=1):
        if not isinstance(record, dict):
            raise ValueError(
                f"{name}: record {number}: a JSON {json_type(record)}, expected an object"
            )
        yield record


def _check_no_list_within(record: dict[str, Any], column: str, name: str) -> None:
    """Raise ValueError for an object that contains a list of records, as in {"data": [...]}."""
    if column in record or column.split(".")[0] in record:
        return
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            raise ValueError(
                f"{name}: no column {column!r}; it has {listed(record)}; if the records are in "
                f"{key!r}, write that list alone: jq '.[{json.dumps(key)}]'"
            )


def listed(names: Iterable[Any]) -> str:
    """Return the first column names for a message, as an object may have any number."""
    first = list(map(repr, islice(names, MAX_LISTED + 1)))
    return ", ".join([*first[:MAX_LISTED], *(["..."] if len(first) > MAX_LISTED else [])])


def _delimited(
    stream: IO[bytes], name: str, encoding: str, format: Format, has_header: bool
) -> Iterator[dict[Any, str]]:
    csv.field_size_limit(MAX_RECORD_BYTES)  # a document can be longer than the default 128 kB
    lines = decoded_lines(stream, name, encoding)
    if format == "tsv":
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        beginning = _beginning(lines)
        separator = _separator(beginning[-1] if beginning else "")
        # Strict: else a quote that is never closed silently swallows the rest of the file.
        rows = csv.reader(chain(beginning, lines), delimiter=separator, strict=True)
    try:
        first = next(filter(None, rows), None)
        if first is None:
            return
        header: list[str | int] = [*first] if has_header else [*range(len(first))]
        if len(set(header)) < len(header):
            raise ValueError(
                f"{name}: line 1: duplicate column name; rename one of {header}, or give the "
                "column as a number from 0 (text_column: 2) if the first line is not a header"
            )
        for row in rows if has_header else chain([first], rows):
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"{name}: line {rows.line_num}: {len(row)} fields, expected {len(header)} "
                    f"as in the first line; repair the line or check that the file is {format}"
                    f"{' (csv, if its fields are quoted)' if format == 'tsv' else ''}"
                )
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ValueError(
            f"{name}: line {rows.line_num}: invalid {format} ({error}); repair the quoting: within "
            'quotes, a quote is written twice, as in "a ""b"" c"'
        ) from error


def _beginning(lines: Iterator[str]) -> list[str]:
    """Return the header and the lines before it: blank ones, and Excel's `sep=;` as a blank."""
    beginning = []
    for line in lines:
        is_blank = not line.strip() or SEPARATOR.match(line)
        beginning.append("\n" if is_blank else line)
        if not is_blank:
            break
    return beginning


def _separator(header: str) -> str:
    """Return the separator of a header: a comma, else `;` (where 0,5 is a number), tab or bar."""
    header = QUOTED.sub("", header)
    if "," in header:
        return ","
    return next((character for character in ";\t|" if character in header), ",")
