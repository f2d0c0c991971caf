"""Strict parsing of input lines and of JSON from outside."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import orjson

from electra_pipeline.core.errors import json_type

Format = Literal["auto", "text", "jsonl"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_SHOWN = 60  # characters of the input, in messages
# The start of JSON, and hardly ever of text; [MASK] and [1] begin texts.
JSON_START = re.compile(r'\s*(?:\{|\[\s*["{])')


def numbered(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield line numbers from 1, and lines without end (LF, CRLF, CR) and byte order mark."""
    number = 0
    for chunk in stream:
        for line in chunk.splitlines():
            number += 1
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def decoded(line: bytes) -> str:
    """Return a line as text. Raise ValueError if it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start + 1}: not valid utf-8 ({error.reason}); convert it first, as iconv "
            "does"
        ) from error


def parse_object(line: str, format: Format) -> dict[str, Any] | None:
    """Return the JSON object of a line; None if the line is text.

    With auto, a line that begins like a JSON object or list is JSON. Raise ValueError if it cannot
    be parsed, or is not an object.
    """
    if format == "text" or (format == "auto" and not _begins_as_json(line)):
        return None
    remedy = "" if format == "jsonl" else "; if it is text, use --format text"
    try:
        value = strict_json(line.encode())
    except ValueError as error:
        raise ValueError(
            f'broken JSON ({error}); give one object a line, such as {{"text": ...}}{remedy}'
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"invalid: expected a JSON object, got a JSON {json_type(value)}; give each input a "
            f"line of its own{remedy}"
        )
    return value


def _begins_as_json(line: str) -> bool:
    if JSON_START.match(line):
        return True
    try:
        return line.lstrip().startswith("[") and isinstance(orjson.loads(line), list)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False


def strict_json(content: bytes) -> Any:
    """Return the value of a JSON text. Raise ValueError also for what RFC 8259 leaves undefined.

    That is NaN, halves of surrogate pairs, and duplicate keys, of which parsers silently take the
    last.
    """
    value = orjson.loads(content)
    try:
        json.loads(content, object_pairs_hook=_without_duplicates)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def json_path(location: Sequence[int | str]) -> str:
    """Return a path in a JSON value for messages, such as `words.3`; long keys are cut."""
    return " ".join(".".join(map(str, location)).split())[:MAX_SHOWN]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:MAX_SHOWN]!r} comes twice")
        found[key] = value
    return found
