"""Parts of error messages: other exceptions on one line, types of JSON values."""

from typing import Any


def one_line(error: BaseException, max_characters: int | None = None) -> str:
    """Return the message with all white space as single spaces; the type's name if it is empty."""
    return " ".join(str(error).split())[:max_characters] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of the message, or the type's name if it is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def json_type(value: Any) -> str:
    """Return the JSON name of a value's type."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
