"""A folder on any fsspec filesystem: whole-file writes, mappable reads, one writer at a time."""

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
import orjson
from fsspec.implementations.local import LocalFileSystem

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # an object-store lease older than this belongs to a dead driver

# Of the folders of `memory://`, which is one store for the whole process, as its locks must be.
_THREAD_LOCKS: dict[str, threading.Lock] = {}


def cache_directory() -> Path:
    """Where downloads and local copies of remote files are kept (`ELECTRA_PIPELINE_CACHE`)."""
    configured = os.environ.get("ELECTRA_PIPELINE_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "electra-pipeline"


@dataclass(frozen=True)
class Folder:
    """A directory named by a URI; it need not exist yet. Picklable.

    A relative path is made absolute at once: a worker's working directory is another one.
    """

    uri: str

    def __post_init__(self) -> None:
        if "://" not in self.uri:
            object.__setattr__(self, "uri", str(Path(self.uri).expanduser().absolute()))

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
            filesystem, path = fsspec.core.url_to_fs(self.uri)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"cannot use {self.uri!r} as a storage location: {error}; "
                "give a local path or a URI whose fsspec driver is installed"
            ) from error
        return filesystem, path

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.uri.rstrip('/')}/{name}")

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
        """Names of all files below this folder, sorted, relative to it, without temporary ones."""
        self.filesystem.invalidate_cache()  # object-store listings are cached by fsspec
        if not self.exists():
            return []
        prefix = self.path.rstrip("/") + "/"
        paths = (str(path).removeprefix(prefix) for path in self.filesystem.find(self.path))
        return sorted(name for name in paths if not name.rsplit("/", 1)[-1].startswith("."))

    def remove(self, name: str = "") -> None:
        """Remove a file or folder if it is there."""
        path = self.join(name) if name else self.path
        if self.filesystem.exists(path):
            self.filesystem.rm(path, recursive=True)

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
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            try:
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
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

        Raises ValueError if a remote file does not have the digest that its manifest gives.
        """
        if self.is_local:
            return Path(self.join(name))
        target = cache_directory() / "objects" / sha256 / name.rsplit("/", 1)[-1]
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            try:
                self.filesystem.get_file(self.join(name), str(temporary))
                with temporary.open("rb") as file:
                    actual = hashlib.file_digest(file, "sha256").hexdigest()
                if actual != sha256:
                    raise ValueError(
                        f"{self.uri}/{name}: sha256 is {actual}, the manifest says {sha256}; "
                        "the file is damaged: remove its artifact and run the stage again"
                    )
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def check_writable(self) -> None:
        """Raise ValueError, in one line, if nothing can be written here; leaves nothing behind."""
        probe = f".{uuid.uuid4().hex[:8]}.probe"
        try:
            self.write_bytes(probe, b"")
            self.remove(probe)
        except Exception as error:  # each filesystem has its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"root {self}: cannot be written ({reason}); give another --root, or check its "
                "address, credentials and permissions"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this folder for writing; a second driver waits, and says for what.

        On the local disk the operating system frees the lock when its holder dies. Elsewhere it is
        a lease that its holder renews and that goes stale after `LEASE_SECONDS`.
        """
        if self.is_local:
            holding = self._local_lock()
        else:
            holding = self._thread_lock() if self.is_memory else self._lease()
        with holding:
            yield

    @contextmanager
    def _thread_lock(self) -> Iterator[None]:
        """What lies in this process's memory has no writers but its threads."""
        lock = _THREAD_LOCKS.setdefault(self.path, threading.Lock())
        if not lock.acquire(blocking=False):
            logger.warning("%s is being written by another thread; waiting for it", self)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _local_lock(self) -> Iterator[None]:
        directory = Path(self.path)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with (directory.parent / f".{directory.name}.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                logger.warning("%s is being written by %s; waiting for it", self, file.read())
                fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    @contextmanager
    def _lease(self) -> Iterator[None]:
        owner = uuid.uuid4().hex
        name = ".lease.json"
        warned = False
        while True:
            started = time.monotonic()
            holder = self._lease_holder(name)
            if holder is None:
                self.write_json(name, {"owner": owner, "renewed_at": time.time()})
                # Let the write of a rival who looked at the same time land, however slow the store
                # is now; then look whose was the last.
                time.sleep(max(0.5, 2.0 * (time.monotonic() - started)))
                if self._lease_holder(name) == owner:
                    break
            elif not warned:
                logger.warning("%s is being written by another driver; waiting for it", self)
                warned = True
            time.sleep(1.0)
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(LEASE_SECONDS / 4):
                self.write_json(name, {"owner": owner, "renewed_at": time.time()})

        renewer = threading.Thread(target=renew, daemon=True, name="artifact-lease")
        renewer.start()
        try:
            yield
        finally:
            stop.set()
            renewer.join()
            self.remove(name)

    def _lease_holder(self, name: str) -> str | None:
        self.filesystem.invalidate_cache()
        try:
            lease = self.read_json(name)
        except FileNotFoundError:
            return None
        return lease["owner"] if time.time() - lease["renewed_at"] < LEASE_SECONDS else None
