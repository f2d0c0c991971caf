"""The stores that URIs name: each opened with settings that hold for hours of work."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import fsspec

# Listings are not kept, since they would hide what another driver has written.
_UNCACHED = {"use_listings_cache": False}
# `standard` retries what may pass (5xx, throttling, timeouts, lost connections), here for about
# half a minute: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html.
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


def open_store(url: str) -> tuple[Any, str]:
    """The filesystem of a path, URL or fsspec chain, and the path there.

    What the user has told fsspec (FSSPEC_S3_... in the environment, ~/.config/fsspec) comes before
    our settings. Raises ValueError or ImportError for what has no driver, FileNotFoundError or
    zipfile.BadZipFile for a chain whose archive is absent or damaged.
    """
    named = set(re.findall(r"(\w+)://", url))
    settings = {
        protocol: {**ours, **fsspec.config.conf.get(protocol, {})}
        for protocol, ours in _SETTINGS.items()
        if protocol in named
    }
    filesystem, path = fsspec.core.url_to_fs(url, **settings)
    return filesystem, path


def unfinished_uploads(filesystem: Any, folder: str) -> Iterator[tuple[str, str, float]]:
    """Name within `folder`, id and age in seconds of uploads in parts that were never completed.

    Nobody sees them, and S3 keeps (and charges for) their parts until they are aborted. Other
    stores let them expire.
    """
    if not hasattr(filesystem, "call_s3"):
        return
    bucket, prefix, _ = filesystem.split_path(folder.rstrip("/") + "/")
    listed = filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    for upload in listed.get("Uploads", []):
        age = datetime.now(UTC) - upload["Initiated"]
        yield upload["Key"].removeprefix(prefix), upload["UploadId"], age.total_seconds()


def abort_upload(filesystem: Any, path: str, upload: str) -> None:
    """Give back what an unfinished upload takes."""
    bucket, key, _ = filesystem.split_path(path)
    filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
