"""Where files lie: URLs and fsspec chains to filesystems and literal paths, and patterns to files.

A path that exists, or that a pattern found, is literal: it may hold `*`, `[`, `?`, `#`, `%`, `::`
and bytes that are not UTF-8.
"""

import glob
import logging
import re
import weakref
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.core.identity import stream_sha256
from electra_pipeline.storage.stores import open_store
from electra_pipeline.storage.uri import (
    ARCHIVES,
    absolute_uri,
    local_path,
    printable,
    redacted,
    split_chain,
)

# What macOS, Spark and Delta write beside the files of a data set
BESIDE_DATA = ("__MACOSX", "_SUCCESS", "_metadata", "_common_metadata", "_temporary", "_delta_log")
logger = logging.getLogger(__name__)

HTTP = ("http://", "https://")


def is_http(url: str) -> bool:
    """Whether it is an http(s) address: downloaded as a whole."""
    return url.startswith(HTTP)


def is_pattern(url: str) -> bool:
    """Whether it may name several files. In an http address `?` begins the query."""
    heads, base = split_chain(url)
    return bool(re.search(r"[*]" if is_http(url) else r"[*?\[]", heads[0] if heads else base))


def file_name(url: str) -> str:
    """The path of a file or pattern, for its name and suffixes: of a chain, inside the archive."""
    heads, base = split_chain(url)
    return heads[0].partition("://")[2] if heads else base


def resolve(url: str) -> tuple[Any, str]:
    """The filesystem and the literal path of a URL.

    Raises FileNotFoundError if a chain's archive is absent, ValueError if it is damaged or if the
    URL has no driver.
    """
    try:
        if "\0" in url:
            raise ValueError("holds a NUL character")
        heads, base = split_chain(url)
        if heads:
            protocol, _, member = heads[0].partition("://")
            if any("::" in each for each in (*heads[1:], base)):
                raise ValueError("the name of an archive in a chain holds ::, rename it")
            if protocol in ARCHIVES:
                rest = "::".join((*heads[1:], base))
                return open_store(f"{protocol}://::{rest}")[0], member
            return open_store(url)
        if "::" not in url:
            return open_store(url)
        if "://" not in (local := absolute_uri(url)):
            return LocalFileSystem(), local
        before, separator, rest = url.partition("::")  # which fsspec would take for a chain
        filesystem, path_before = open_store(before)
        return filesystem, f"{path_before}{separator}{rest}"
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"{printable(redacted(url))}: {redacted(str(error))}; give a path or a URL whose "
            "fsspec driver is installed"
        ) from error
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{printable(redacted(url))}: not a whole zip archive ({error}); download it again"
        ) from error


def find(url: str, filesystem: Any, path: str) -> dict[str, Mapping[str, Any] | None]:
    """The URLs of the files that the pattern `path` of `url` matches, sorted.

    Each with what a remote store's listing tells of it.

    What is neither a file nor a folder, as a pipe or a link to nothing, is left out with a warning,
    and so are hidden files where the pattern names none.
    """
    found = filesystem.glob(_with_literal_folders(filesystem, path), detail=True)
    types = {str(match): _type(filesystem, str(match), found[match]["type"]) for match in found}
    is_hidden = _hidden_below(path)
    hidden = sorted(match for match in types if is_hidden(match) and types[match] == "file")
    if hidden:
        logger.warning(
            "%s: left out %d hidden files, such as %s; name them to have them read",
            *(printable(redacted(url)), len(hidden), printable(hidden[0])),
        )
    files = sorted(match for match in types if types[match] == "file" and not is_hidden(match))
    others = sorted(match for match, type in types.items() if type == "other")
    if others:
        logger.warning(
            "%s: left out %d matches that are no files, such as %s (a pipe, or a link to nothing)",
            *(printable(redacted(url)), len(others), printable(others[0])),
        )
    return {
        _url_of(url, filesystem, match): None if is_local(filesystem) else found[match]
        for match in files
    }


def open_location(url: str) -> IO[bytes]:
    """The bytes of a file as they lie there. Raises FileNotFoundError if there is none."""
    filesystem, path = resolve(url)
    file: IO[bytes] = filesystem.open(path, "rb")
    # An archive's filesystem closes it when collected: it must live as long as the file.
    weakref.finalize(file, filesystem.invalidate_cache).atexit = False
    return file


def content_sha256(url: str) -> str:
    """Sha256 of a file's stored bytes, in hex."""
    with open_location(url) as file:
        return stream_sha256(file)


def is_local(filesystem: Any) -> bool:
    return isinstance(filesystem, LocalFileSystem)


def missing(url: str) -> ValueError:
    """The error for a file that is not there, or that is no regular one."""
    local = local_path(url)
    name = printable(redacted(url))
    if "://" in local:
        kind = "no file matches it" if is_pattern(url) else "no such file"
        return ValueError(f"{name}: {kind}; check the address")
    path = Path(local).absolute()
    if _exists(path):  # of a pattern, its literal reading
        return ValueError(f"{name}: not a regular file, but a pipe or device; copy it to a file")
    kind = "no file matches it" if is_pattern(url) else "no such file"
    with suppress(OSError):
        kind = f"a link to {printable(str(path.readlink()))}, which is not there"
    parent = next(parent for parent in path.parents if _exists(parent))
    if re.search(r"\{[^{}]*,[^{}]*\}", url):
        kind += "; patterns have no {a,b}, list both"
    return ValueError(f"{name}: {kind}; the nearest folder that exists is {printable(str(parent))}")


def folder_given(url: str, filesystem: Any, path: str) -> ValueError:
    """The error for a folder where files are needed; it names the pattern of its files."""
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


def _with_literal_folders(filesystem: Any, pattern: str) -> str:
    """The pattern, in which the first folders that exist as they are written are escaped."""
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
    """Whether a match is hidden below the folder that the pattern looks in, as shells hide it."""
    parts = pattern.strip("/").split("/")
    start = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    if any(part.startswith((".", *BESIDE_DATA)) for part in parts[start:]):
        return lambda match: False
    return lambda match: any(
        part.startswith(".") or part in BESIDE_DATA for part in match.strip("/").split("/")[start:]
    )


def _type(filesystem: Any, path: str, listed: str) -> str:
    """What a listing's entry is: file, directory or other. Links count as what they lead to."""
    if not is_local(filesystem) or listed == "file":
        return listed
    return "file" if Path(path).is_file() else "directory" if Path(path).is_dir() else "other"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _url_of(url: str, filesystem: Any, path: str) -> str:
    """The URL of `path`, a match of the pattern `url`."""
    heads, base = split_chain(url)
    if heads:
        protocol = heads[0].partition("://")[0]
        return "::".join((f"{protocol}://{path}", *heads[1:], base))
    return path if is_local(filesystem) else str(filesystem.unstrip_protocol(path))
