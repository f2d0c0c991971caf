"""A folder on any fsspec filesystem: whole-file writes, mappable reads, one writer at a time."""

import errno
import hashlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.storage import local_folders, locks
from electra_pipeline.storage.locks import Confirm
from electra_pipeline.storage.names import check_name, is_plain_name
from electra_pipeline.storage.stores import keeps_names, list_folders, open_store, remove
from electra_pipeline.storage.uri import absolute, refuse_password

logger = logging.getLogger(__name__)

DOWNLOAD_ATTEMPTS = 4
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_directory() -> Path:
    """Where downloads and local copies of remote files are kept (`ELECTRA_PIPELINE_CACHE`).

    Raises ValueError, with the variable, if it cannot be written.
    """
    folder = local_folders.cache()
    if not os.access(folder.path, os.W_OK):  # a full one has what it has; a new one is looked at
        folder.check()
    return folder.path


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to, renamed to it where the block ends without an error."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        if error.errno in NO_SPACE_ERRNOS and error.filename is None:  # it does not say where
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Folder:
    """A directory named by a URI; it need not exist yet. Picklable.

    The name is literal: no character of it stands for others. A relative path is made absolute at
    once: a worker's working directory is another one. Raises ValueError for a name that cannot be
    one line of a log, or that a store and its driver may take for another folder.
    """

    uri: str

    def __post_init__(self) -> None:
        refuse_password(self.uri)
        check_name(self.uri)
        object.__setattr__(self, "uri", absolute(self.uri))

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
        """Whether the folder lives in this process's memory, where no other process can see it."""
        return self.uri.startswith("memory:")

    def _resolve(self) -> tuple[Any, str]:
        try:
            filesystem, path = open_store(self.uri)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"cannot use {self.uri!r} as a storage location: {error}; "
                "give a local path or a URI whose fsspec driver is installed"
            ) from error
        if "?" in self.uri and "://" in self.uri and not keeps_names(filesystem, self.uri, path):
            raise ValueError(
                f"cannot use {self.uri!r} as a storage location: this store's driver takes what "
                "follows the ? for a query, not for a name; give a folder without one"
            )
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
        """The filesystem path of `name` inside this folder."""
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
        """Names of all files below this folder, sorted, relative to it, without hidden ones."""
        self.filesystem.invalidate_cache()  # some drivers keep listings
        if not self.exists():
            return []
        prefix = self.path.rstrip("/") + "/"
        # A store may list the folder itself among its files.
        found = (str(path) for path in self.filesystem.find(self.path))
        paths = (path.removeprefix(prefix) for path in found if path.startswith(prefix))
        return sorted(name for name in paths if "/." not in f"/{name}")

    def folders(self) -> list[str]:
        """Names of the folders directly in this one, sorted, without hidden ones."""
        self.filesystem.invalidate_cache()
        return [name for name in list_folders(self.filesystem, self.path) if is_plain_name(name)]

    def remove(self, name: str = "") -> None:
        """Remove a file or folder if it is there."""
        remove(self.filesystem, self.join(name) if name else self.path)

    def remove_temporary(self) -> None:
        """Remove what killed writers left half-written here; only while nobody writes."""
        if self.is_local:
            for path in Path(self.path).glob(".*.tmp"):
                path.unlink(missing_ok=True)

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Write a file that appears whole, under its final name, or not at all.

        Local files are flushed to disk before they are renamed; elsewhere the finished file is
        uploaded. An exception inside the block leaves what was there before.
        """
        if self.is_local:
            target = Path(self.join(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            with appearing(target) as temporary, temporary.open("wb") as file:
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
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def local_file(self, name: str, sha256: str) -> Path:
        """A path that can be memory-mapped: the file itself, or a verified copy in the cache.

        The processes of a machine share one copy, which one of them brings. Raises ValueError if a
        remote file does not have the digest that its manifest gives.
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
                with appearing(target) as temporary:
                    self._download(name, temporary)
                    with temporary.open("rb") as file:
                        actual = hashlib.file_digest(file, "sha256").hexdigest()
                    if actual != sha256:
                        raise ValueError(
                            f"{self.uri}/{name}: sha256 is {actual}, the manifest says {sha256}; "
                            "the file is damaged: remove its artifact and run the stage again"
                        )
            lock.unlink()
        return target

    def copy_to(self, directory: Path) -> None:
        """Copy every file below this folder into a local directory.

        An object's name may have `..` as any other text; it counts as hidden, and is left out.
        """
        for name in self.files():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(name, target)

    def _download(self, name: str, target: Path) -> None:
        # The drivers try requests again, but not a large file whose connection breaks half-way.
        for attempts_left in range(DOWNLOAD_ATTEMPTS - 1, -1, -1):
            try:
                self.filesystem.get_file(self.join(name), str(target))
                break
            except FileNotFoundError:
                raise
            except Exception as error:
                if attempts_left == 0:
                    raise
                logger.warning("%s/%s: %s; trying again", self, name, error)

    @property
    def lock_file(self) -> Path:
        """What `lock` holds of a folder on the local disk."""
        path = Path(self.path)
        return path.with_name(f".{path.name}.lock")

    @contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[Confirm]:
        """Hold this folder for writing; a second driver waits, and says for whom.

        Gives a function that raises LockLostError once the lock is lost: a lease in an object store
        can be taken from a driver that was taken for dead. With `wait` off, raises InUseError
        instead of waiting.
        """
        parent, _, name = self.path.rstrip("/").rpartition("/")
        if self.is_local:
            holding = locks.file_lock(self.lock_file, wait=wait)
        elif self.is_memory:
            holding = locks.thread_lock(self.path, wait=wait)
        else:
            holding = locks.Lease(self.filesystem, f"{parent}/.{name}.lease").hold(wait=wait)
        with holding as confirm:
            yield confirm
