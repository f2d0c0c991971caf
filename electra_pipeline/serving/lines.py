"""Lines of standard input and JSON from outside, read strictly."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import orjson

Format = Literal["auto", "text", "jsonl"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_SHOWN = 60  # characters of what was given, in messages
# How JSON begins and text hardly ever does; [MASK] and [1] begin texts.
JSON_START = re.compile(r'\s*(?:\{|\[\s*["{])')


def numbered(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines without their ends (LF, CRLF or CR) and a byte order mark, counted from 1."""
    number = 0
    for given in stream:
        for line in given.splitlines():
            number += 1
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def decoded(line: bytes) -> str:
    """A line as text. Raises ValueError if it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start + 1}: not valid utf-8 ({error.reason}); convert it first, as iconv "
            "does"
        ) from error


def given_object(line: str, format: Format) -> dict[str, Any] | None:
    """The JSON object that a line holds; None where the line is text.

    With auto, a line that begins as JSON objects and lists do is JSON. Raises ValueError if it
    cannot be parsed, or is another value than an object.
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
    """The value of a JSON text. Raises ValueError for what RFC 8259 leaves undefined, too.

    That is NaN, halves of surrogate pairs, and an object with a key twice, of which parsers
    silently take the last.
    """
    value = orjson.loads(content)
    try:
        json.loads(content, object_pairs_hook=_without_duplicates)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def json_type(value: Any) -> str:
    """The type of a JSON value as JSON names it."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def shown_place(location: Sequence[int | str]) -> str:
    """Where in a JSON value something is wrong: `words.3`. Keys from outside may be anything."""
    return " ".join(".".join(map(str, location)).split())[:MAX_SHOWN]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:MAX_SHOWN]!r} comes twice")
        found[key] = value
    return found
