"""Resolve URLs and fsspec chains to filesystems and literal paths, and patterns to files.

A path that exists, or that a pattern matched, is literal: it may contain `*`, `[`, `?`, `#`, `%`,
`::` and bytes that are not UTF-8.
"""

import glob
import logging
import posixpath
import re
import weakref
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.core.errors import one_line
from electra_pipeline.core.identity import stream_sha256
from electra_pipeline.storage.stores import open_store
from electra_pipeline.storage.uri import (
    ARCHIVES,
    HTTP,
    absolute_uri,
    local_path,
    printable,
    redacted,
    split_chain,
)

# Files and folders that macOS, Spark and Delta write beside the files of a data set
BESIDE_DATA = ("__MACOSX", "_SUCCESS", "_metadata", "_common_metadata", "_temporary", "_delta_log")
logger = logging.getLogger(__name__)


def is_http(url: str) -> bool:
    """Return whether this is a http(s) URL, which is downloaded as a whole."""
    return url.startswith(HTTP)


def is_pattern(url: str) -> bool:
    """Return whether the URL may match several files. In a http URL `?` begins the query."""
    heads, base = split_chain(url)
    return bool(re.search(r"[*]" if is_http(url) else r"[*?\[]", heads[0] if heads else base))


def file_name(url: str) -> str:
    """Return the path of a file or pattern, for its suffixes; of a chain, inside the archive."""
    heads, base = split_chain(url)
    return heads[0].partition("://")[2] if heads else base


def resolve(url: str) -> tuple[Any, str]:
    """Return the filesystem and the literal path of a URL.

    Raises FileNotFoundError if a chain's archive is missing, ValueError if it is damaged or if
    there is no driver for the URL.
    """
    if _is_plain_path(url):  # most of many files: saves 50 microseconds each
        return LocalFileSystem(), url
    try:
        if "\0" in url:
            raise ValueError("contains a NUL character")
        heads, base = split_chain(url)
        if heads:
            protocol, _, member = heads[0].partition("://")
            if any("::" in each for each in (*heads[1:], base)):
                raise ValueError("the name of an archive in a chain contains ::, rename it")
            if protocol in ARCHIVES:
                rest = "::".join((*heads[1:], base))
                return open_store(f"{protocol}://::{rest}")[0], member
            return open_store(url)
        if "::" not in url:
            return open_store(url)
        if "://" not in (local := absolute_uri(url)):
            return LocalFileSystem(), local
        before, separator, rest = url.partition("::")  # which fsspec would read as a chain
        filesystem, path_before = open_store(before)
        return filesystem, f"{path_before}{separator}{rest}"
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"{printable(redacted(url))}: {redacted(str(error))}; give a path or a URL whose "
            "fsspec driver is installed"
        ) from error
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{printable(redacted(url))}: not a complete zip archive ({error}); download it again"
        ) from error


def find(url: str, filesystem: Any, path: str) -> dict[str, Mapping[str, Any] | None]:
    """Return the URLs of the files that the pattern `path` of `url` matches, sorted.

    Each with its entry in the listing of a remote store. What is neither a file nor a folder, such
    as a pipe or a broken link, is omitted with a warning, and so are hidden files unless the
    pattern names them.
    """
    found = filesystem.glob(_with_literal_folders(filesystem, path), detail=True)
    types = {str(match): _type(filesystem, str(match), found[match]["type"]) for match in found}
    is_hidden = _hidden_below(path)
    hidden = sorted(match for match in types if is_hidden(match) and types[match] == "file")
    if hidden:
        logger.warning(
            "%s: omitted %d hidden files, such as %s; name them in the pattern to read them",
            *(printable(redacted(url)), len(hidden), printable(hidden[0])),
        )
    files = sorted(match for match in types if types[match] == "file" and not is_hidden(match))
    others = sorted(match for match, type in types.items() if type == "other")
    if others:
        logger.warning(
            "%s: omitted %d matches that are not files, such as %s (a pipe, or a broken link)",
            *(printable(redacted(url)), len(others), printable(others[0])),
        )
    return {
        _url_of(url, filesystem, match): None if is_local(filesystem) else found[match]
        for match in files
    }


def open_location(url: str) -> IO[bytes]:
    """Open the stored bytes of a file. Raises FileNotFoundError if it does not exist."""
    if _is_plain_path(url):
        return open(url, "rb")  # noqa: PTH123 - a Path takes as long as opening the file
    filesystem, path = resolve(url)
    file: IO[bytes] = filesystem.open(path, "rb")
    # An archive's filesystem closes it when garbage collected: keep it as long as the file.
    weakref.finalize(file, filesystem.invalidate_cache).atexit = False
    return file


def content_sha256(url: str) -> str:
    """Return the sha256 of a file's stored bytes, in hex."""
    with open_location(url) as file:
        return stream_sha256(file)


def is_local(filesystem: Any) -> bool:
    return isinstance(filesystem, LocalFileSystem)


def missing(url: str) -> ValueError:
    """Return the error for a file that does not exist, or that is not a regular one."""
    local = local_path(url)
    name = printable(redacted(url))
    if "://" in local:
        kind = "no file matches it" if is_pattern(url) else "no such file"
        return ValueError(f"{name}: {kind}; check the address")
    path = Path(local).absolute()
    if _exists(path):  # for a pattern: the same name, literally
        return ValueError(f"{name}: not a regular file, but a pipe or device; copy it to a file")
    kind = "no file matches it" if is_pattern(url) else "no such file"
    with suppress(OSError):
        kind = f"a link to {printable(str(path.readlink()))}, which does not exist"
    parent = next(parent for parent in path.parents if _exists(parent))
    if re.search(r"\{[^{}]*,[^{}]*\}", url):
        kind += "; patterns do not support {a,b}, list both"
    return ValueError(f"{name}: {kind}; the nearest folder that exists is {printable(str(parent))}")


def folder_given(url: str, filesystem: Any, path: str) -> ValueError:
    """Return the error for a folder instead of files; it suggests a pattern for its files."""
    name, path = printable(redacted(url)).rstrip("/"), path.rstrip("/")
    entries = filesystem.ls(path, detail=True)
    names = {each["name"].rstrip("/").rsplit("/", 1)[-1]: each["type"] for each in entries}
    if "state.json" in names and "dataset_info.json" in names:
        return ValueError(f"{name}: a data set of save_to_disk; name its files: {name}/*.arrow")
    if "dataset_dict.json" in names:
        splits = sorted(each for each, kind in names.items() if kind == "directory")
        split = "train" if "train" in splits else (splits or ["train"])[0]
        return ValueError(
            f"{name}: data sets of save_to_disk ({', '.join(splits)}); name the files of one: "
            f"{name}/{split}/*.arrow"
        )
    if not names:
        return ValueError(f"{name}: an empty folder; put files there, or check the path")
    pattern = "*" if "file" in names.values() else "**/*"
    return ValueError(f"{name}: a folder; name its files, as in {name}/{pattern}")


def unreachable(url: str, error: Exception) -> ValueError:
    """Return the error for a file that exists, or may exist, but cannot be read."""
    if isinstance(error, ValueError):
        return error
    reason = redacted(one_line(error))
    name = printable(redacted(url))
    if "::" in url and not isinstance(error, OSError):
        return ValueError(
            f"{name}: damaged, or packed in an unsupported way ({reason}); download the "
            "archive again, or unpack it"
        )
    is_remote = "://" in url.removeprefix("file://")
    remedy = "check the address and the credentials" if is_remote else "check its permissions"
    return ValueError(f"{name}: {reason}; {remedy}")


def _with_literal_folders(filesystem: Any, pattern: str) -> str:
    """Return the pattern with its first folders escaped, as far as they exist as written."""
    if "[" not in pattern and "?" not in pattern:
        return pattern
    *folders, last = pattern.split("/")
    escaped: list[str] = []
    literal = ""
    for number, folder in enumerate(folders):
        literal = folder if number == 0 else f"{literal}/{folder}"
        if glob.has_magic(folder) and not filesystem.isdir(literal):
            return "/".join((*escaped, *folders[number:], last))
        escaped.append(glob.escape(folder))
    return "/".join((*escaped, last))


def _hidden_below(pattern: str) -> Callable[[str], bool]:
    """Return a function that tests whether a match is hidden below the pattern's fixed folder."""
    parts = pattern.strip("/").split("/")
    start = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    if any(part.startswith((".", *BESIDE_DATA)) for part in parts[start:]):
        return lambda match: False
    return lambda match: any(
        part.startswith(".") or part in BESIDE_DATA for part in match.strip("/").split("/")[start:]
    )


def _type(filesystem: Any, path: str, listed: str) -> str:
    """Return the type of a listing's entry: file, directory or other; links are followed."""
    if not is_local(filesystem) or listed == "file":
        return listed
    return "file" if Path(path).is_file() else "directory" if Path(path).is_dir() else "other"


def _is_plain_path(url: str) -> bool:
    """Return whether this is an absolute path of a local file, written as its driver returns it."""
    return (
        url.startswith("/")
        and not any(part in url for part in ("//", "::", "\0"))
        and posixpath.normpath(url) == url
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _url_of(url: str, filesystem: Any, path: str) -> str:
    """Return the URL of `path`, a match of the pattern `url`."""
    heads, base = split_chain(url)
    if heads:
        protocol = heads[0].partition("://")[0]
        return "::".join((f"{protocol}://{path}", *heads[1:], base))
    return path if is_local(filesystem) else str(filesystem.unstrip_protocol(path))
