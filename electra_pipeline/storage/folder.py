"""A folder on any fsspec filesystem: atomic writes, memory-mappable reads, locks."""

import errno
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.core.identity import file_sha256, stream_sha256
from electra_pipeline.storage import local_folders, locks
from electra_pipeline.storage.locks import Confirm
from electra_pipeline.storage.stores import keeps_names, list_folders, open_store, remove
from electra_pipeline.storage.uri import (
    absolute_uri,
    check_folder_uri,
    check_no_password,
    is_plain_name,
    unusable_uri,
)

logger = logging.getLogger(__name__)

DOWNLOAD_ATTEMPTS = 4
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_directory() -> Path:
    """Return the folder for downloads and copies of remote files (`ELECTRA_PIPELINE_CACHE`).

    Raises ValueError, with the variable's name, if it cannot be written.
    """
    folder = local_folders.cache()
    if not os.access(folder.path, os.W_OK):  # or does not exist; a full one can still be read
        folder.check()
    return folder.path


@contextmanager
def replaced_when_complete(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, renamed to it if the block ends without an error."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        if error.errno in NO_SPACE_ERRNOS and error.filename is None:
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Folder:
    """A directory named by a URI; it need not exist yet. Picklable.

    The name is literal, without wildcards. A relative path is made absolute at once, as workers
    run in another working directory. Raises ValueError for a name that does not fit on one line of
    a log, or that a store and its driver may interpret as another folder.
    """

    uri: str

    def __post_init__(self) -> None:
        check_no_password(self.uri)
        check_folder_uri(self.uri)
        object.__setattr__(self, "uri", absolute_uri(self.uri))

    @property
    def filesystem(self) -> Any:
        return self._resolve()[0]

    @property
    def path(self) -> str:
        """The path on the folder's filesystem, absolute when that is the local disk."""
        return self._resolve()[1]

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, LocalFileSystem)

    @property
    def is_memory(self) -> bool:
        """Whether the folder is in this process's memory, invisible to other processes."""
        return self.uri.startswith("memory:")

    def _resolve(self) -> tuple[Any, str]:
        try:
            filesystem, path = open_store(self.uri)
        except (ValueError, ImportError) as error:
            remedy = "give a local path or a URI whose fsspec driver is installed"
            raise unusable_uri(self.uri, f"{error}; {remedy}") from error
        if "?" in self.uri and "://" in self.uri and not keeps_names(filesystem, self.uri, path):
            reason = "this store's driver reads what follows the ? as a query, not as a name"
            raise unusable_uri(self.uri, f"{reason}; give a folder without one")
        return filesystem, path

    def __truediv__(self, name: str) -> "Folder":
        base = self.uri if self.uri.endswith("://") else f"{self.uri.rstrip('/')}/"
        return Folder(f"{base}{name}")

    def __str__(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        return self.uri.rstrip("/").rsplit("/", 1)[-1]

    def join(self, name: str) -> str:
        """Return the filesystem path of `name` inside this folder."""
        return f"{self.path.rstrip('/')}/{name}"

    def exists(self, name: str = "") -> bool:
        return bool(self.filesystem.exists(self.join(name) if name else self.path))

    def size(self, name: str) -> int:
        return int(self.filesystem.size(self.join(name)))

    def read_bytes(self, name: str) -> bytes:
        return bytes(self.filesystem.cat_file(self.join(name)))

    def read_json(self, name: str) -> Any:
        return orjson.loads(self.read_bytes(name))

    def open(self, name: str) -> IO[bytes]:
        file: IO[bytes] = self.filesystem.open(self.join(name), "rb")
        return file

    def files(self) -> list[str]:
        """Return the names of all files below this folder, relative to it, sorted, not hidden."""
        self.filesystem.invalidate_cache()  # some drivers cache listings
        if not self.exists():
            return []
        prefix = self.path.rstrip("/") + "/"
        # A store may list the folder itself among its files.
        found = (str(path) for path in self.filesystem.find(self.path))
        paths = (path.removeprefix(prefix) for path in found if path.startswith(prefix))
        return sorted(name for name in paths if "/." not in f"/{name}")

    def folders(self) -> list[str]:
        """Return the names of the folders directly in this one, sorted, without hidden ones."""
        self.filesystem.invalidate_cache()
        return [name for name in list_folders(self.filesystem, self.path) if is_plain_name(name)]

    def remove(self, name: str = "") -> None:
        """Remove a file or folder if it exists."""
        remove(self.filesystem, self.join(name) if name else self.path)

    def remove_temporary(self) -> None:
        """Remove the temporary files of killed writers; only while nobody writes."""
        if self.is_local:
            for path in Path(self.path).glob(".*.tmp"):
                path.unlink(missing_ok=True)

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Write a file atomically: it appears whole, under its final name, or not at all.

        Local files are flushed to disk before they are renamed; elsewhere the finished file is
        uploaded. An exception inside the block leaves an existing file unchanged.
        """
        if self.is_local:
            target = Path(self.join(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            with replaced_when_complete(target) as temporary, temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        else:
            with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
                local = Path(scratch) / "file"
                with local.open("wb") as file:
                    yield file
                self.filesystem.makedirs(self.join(name).rsplit("/", 1)[0], exist_ok=True)
                self.filesystem.put_file(str(local), self.join(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        with self.create(name) as file:
            file.write(data)

    def write_json(self, name: str, value: Any) -> None:
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
        self.write_bytes(name, orjson.dumps(value, option=options))

    def upload(self, directory: Path) -> None:
        """Copy every file below the local `directory` into this folder, each one whole."""
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            name = path.relative_to(directory).as_posix()
            with self.create(name) as target, path.open("rb") as source:
                shutil.copyfileobj(source, target)

    def sha256(self, name: str) -> str:
        with self.open(name) as file:
            return stream_sha256(file)

    def local_file(self, name: str, sha256: str) -> Path:
        """Return a memory-mappable path: of the file itself, or of a verified copy in the cache.

        The processes of a machine share one copy, which one of them downloads. Raises ValueError if
        a remote file does not have the digest in its manifest.
        """
        if self.is_local:
            return Path(self.join(name))
        directory = cache_directory() / "objects" / sha256
        target = directory / name.rsplit("/", 1)[-1]
        if target.exists():
            return target
        lock = directory.with_name(f".{sha256}.lock")
        with locks.file_lock(lock):
            if not target.exists():
                directory.mkdir(parents=True, exist_ok=True)
                with replaced_when_complete(target) as temporary:
                    self._download(name, temporary)
                    actual = file_sha256(temporary)
                    if actual != sha256:
                        raise ValueError(
                            f"{self.uri}/{name}: sha256 is {actual}, expected {sha256}; "
                            "the file is damaged: remove its artifact and run the stage again"
                        )
            lock.unlink()
        return target

    def copy_to(self, directory: Path) -> None:
        """Copy every file below this folder into a local directory.

        An object whose name contains `..` counts as hidden, and is omitted.
        """
        for name in self.files():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(name, target)

    def _download(self, name: str, target: Path) -> None:
        # The drivers retry requests, but not a large file whose connection breaks half-way.
        for attempts_left in range(DOWNLOAD_ATTEMPTS - 1, -1, -1):
            try:
                self.filesystem.get_file(self.join(name), str(target))
                break
            except FileNotFoundError:
                raise
            except Exception as error:
                if attempts_left == 0:
                    raise
                logger.warning("%s/%s: %s; retrying", self, name, error)

    @property
    def lock_file(self) -> Path:
        """The file that `lock` locks for a folder on the local disk."""
        path = Path(self.path)
        return path.with_name(f".{path.name}.lock")

    def lock(self, *, wait: bool = True) -> AbstractContextManager[Confirm]:
        """Lock this folder for writing; a second driver waits, and logs who holds the lock.

        Yields a function that raises LockLostError once the lock is lost: another driver may take
        over a lease in an object store when its holder seems dead. Without `wait`, raises
        InUseError instead of waiting.
        """
        if self.is_local:
            return locks.file_lock(self.lock_file, wait=wait)
        parent, _, name = self.path.rstrip("/").rpartition("/")
        return locks.Lease(self.filesystem, f"{parent}/.{name}.lease").hold(wait=wait)
