"""Open fsspec filesystems with settings for runs of many hours; list, read and remove files.

Paths are literal here: `?`, `*` and `[` are ordinary characters of a name. fsspec's calls on
several files (`rm`, `cat`, `get`, `put`, `copy`, `glob`, `expand_path`) interpret such a path as a
pattern, which may match other folders too: outside of this module only its calls on one path are
used (`info`, `ls`, `find`, `open`, `cat_file`, `rm_file`, ...).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.storage.uri import absolute_uri, is_chain

Value = TypeVar("Value")

# Listings are not cached, since a cached one would hide the files of another driver.
_UNCACHED = {"use_listings_cache": False}
# `standard` retries temporary errors (5xx, throttling, timeouts, connection errors), here for
# about half a minute: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html.
# Of a large file four parts of 50 MiB are in memory at once.
_S3 = {
    **_UNCACHED,
    "max_concurrency": 4,
    "config_kwargs": {
        "retries": {"mode": "standard", "total_max_attempts": 8},
        "read_timeout": 60,
    },
}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("s3", "s3a"), _S3),
    **dict.fromkeys(("gs", "gcs", "az", "abfs"), _UNCACHED),
}
_REQUESTS_AT_ONCE = 16
_S3_KEYS_AT_ONCE = 1000  # docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html


def open_store(url: str) -> tuple[Any, str]:
    """Return the filesystem of a path, URL or fsspec chain, and the path on it.

    The user's settings of fsspec (FSSPEC_S3_... in the environment, ~/.config/fsspec) take
    precedence over those of this package. Raises ValueError or ImportError if there is no driver,
    FileNotFoundError or zipfile.BadZipFile for a chain whose archive is absent or damaged.
    """
    url = absolute_uri(url)  # `file:` and `~` are resolved in the same way everywhere
    named = set(re.findall(r"(\w+)://", url))
    settings = {
        protocol: {**defaults, **fsspec.config.conf.get(protocol, {})}
        for protocol, defaults in _SETTINGS.items()
        if protocol in named
    }
    if is_chain(url):
        filesystem, path = fsspec.core.url_to_fs(url, **settings)
        return filesystem, path
    protocol = fsspec.core.split_protocol(url)[0] or "file"
    driver = fsspec.get_filesystem_class(protocol)
    options = {**driver._get_kwargs_from_urls(url), **settings.get(protocol, {})}
    return fsspec.filesystem(protocol, **options), str(driver._strip_protocol(url))


def keeps_names(filesystem: Any, url: str, path: str) -> bool:
    """Return whether the driver reads the whole URL as the path, and no part of it as a query.

    s3fs drops what follows `?versionId=`, and drivers that parse the URL (sftp, hdfs) drop
    everything after a `?`: they would use another folder.
    """
    if is_chain(url):
        return True
    below = url.partition("://")[2].rstrip("/").partition("/")[2]
    if hasattr(filesystem, "split_path"):
        _, path, *_ = filesystem.split_path(path)
    return f"/{path}".endswith(f"/{below}")


def remove(filesystem: Any, path: str) -> None:
    """Remove a file, or a folder with everything below it, if it exists."""
    if not filesystem.exists(path):
        return
    if isinstance(filesystem, LocalFileSystem):  # the only driver that reads paths literally
        filesystem.rm(path, recursive=True)
        return
    found = filesystem.find(path, withdirs=True, detail=True)
    folders = {name for name, info in found.items() if info["type"] == "directory"}
    remove_files(filesystem, (name for name in found if name not in folders))
    if hasattr(filesystem, "split_path"):  # only buckets; an empty one would be removed
        return
    for folder in sorted({*folders, path}, reverse=True):
        with suppress(OSError):
            if filesystem.isdir(folder):
                filesystem.rmdir(folder)


def remove_files(filesystem: Any, paths: Iterable[str]) -> None:
    """Remove those of these files that exist."""
    names = list(paths)
    if hasattr(filesystem, "call_s3"):
        _remove_objects(filesystem, names)
        return

    def remove_one(path: str) -> None:
        with suppress(FileNotFoundError):
            filesystem.rm_file(path)

    _for_each(filesystem, remove_one, names)


def _remove_objects(filesystem: Any, paths: list[str]) -> None:
    """Remove many objects with each request. Raises OSError for the first that is not removed.

    s3fs's own method does not report those.
    """
    keys = [filesystem.split_path(path)[:2] for path in paths]
    for start in range(0, len(keys), _S3_KEYS_AT_ONCE):
        (bucket, _), *_ = batch = keys[start : start + _S3_KEYS_AT_ONCE]
        objects = {"Objects": [{"Key": key} for _, key in batch], "Quiet": True}
        answer = filesystem.call_s3("delete_objects", Bucket=bucket, Delete=objects)
        for error in answer.get("Errors", ()):
            raise OSError(f"{bucket}/{error['Key']}: not removed ({error.get('Message', error)})")


def read_each(filesystem: Any, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of these files by path, without those that do not exist."""

    def read(path: str) -> bytes | None:
        try:
            return bytes(filesystem.cat_file(path))
        except FileNotFoundError:
            return None

    names = list(paths)
    contents = zip(names, _for_each(filesystem, read, names), strict=True)
    return {name: content for name, content in contents if content is not None}


def list_folders(filesystem: Any, path: str) -> list[str]:
    """Return the names of the folders in this one, sorted, without hidden; none if it is absent."""
    try:
        listed = filesystem.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = (
        str(info["name"]).rstrip("/").rsplit("/", 1)[-1]
        for info in listed
        if info["type"] == "directory"
    )
    return sorted({name for name in names if name and not name.startswith(".")})


def _for_each(filesystem: Any, function: Callable[[str], Value], paths: list[str]) -> list[Value]:
    """Return the function's value for each path, concurrently if the driver allows it."""
    if not getattr(filesystem, "async_impl", False):
        return [function(path) for path in paths]
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
        return list(threads.map(function, paths))
