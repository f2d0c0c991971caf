"""A document as it comes from its source, and how a record becomes one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from electra_pipeline.corpus.sources.config import Columns
from electra_pipeline.inputs.columns import column_value

SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may contain unpaired ones, which have no UTF-8


class RawDocument(NamedTuple):
    """A document before cleaning."""

    text: str
    url: str | None
    problem: str | None = None
    """Why it could not be read, as one word, if so; the document is dropped for this reason."""
    value: str = ""
    """The value that shows the problem, such as the status of an HTTP response."""
    is_truncated: bool = False
    """Whether its source has only the beginning, which is counted as a repair."""


def raw_document(
    record: Mapping[Any, Any], columns: Columns, name: str, position: str
) -> RawDocument:
    """Return the document of a record of the file `name`; a null text is an empty one.

    `position` names the record in error messages. Raises ValueError if the text column is missing
    or contains something else.
    """
    text = column_value(record, columns.text_column, name)
    if isinstance(text, bytes):  # a column of bytes, as Impala and Hive write text
        text = _decoded(text, columns.text_column, position)
    if text is not None and not isinstance(text, str):
        raise ValueError(
            f"{position}: column {columns.text_column!r} holds a {type(text).__name__}, not text; "
            "set text_column to the column with the text"
        )
    try:
        url = column_value(record, columns.url_column, name)
    except ValueError:  # few sources have URLs
        url = None
    is_valid = isinstance(url, str) and not SURROGATE.search(url)
    return RawDocument(text or "", url if is_valid else None)


def _decoded(data: bytes, column: str | int, position: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{position}: column {column!r} holds bytes that are not utf-8 ({error.reason} at byte "
            f"{error.start}); set text_column to the column with the text, or write it as text"
        ) from error


def take_first(documents: Iterator[RawDocument], number: int | None) -> Iterator[RawDocument]:
    """Yield documents up to the `number`th without a problem; all of them for None."""
    for document in documents:
        yield document
        if number is not None and document.problem is None:
            number -= 1
            if not number:
                return
