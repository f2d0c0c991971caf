"""Locks for one writer at a time: file locks, and leases in an object store."""

import fcntl
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # the holder of a lease that was not renewed for so long is dead

Confirm = Callable[[], None]
"""Returns while the lock is held; raises LockLostError once it is lost."""


class InUseError(RuntimeError):
    """Another driver holds the lock, and the caller chose not to wait."""


class LockLostError(RuntimeError):
    """Another driver took over the lock, as it considered this one dead."""


def _always() -> None:
    """Confirm a lock that cannot be lost."""


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[Confirm]:
    """Lock a local file; the operating system releases it when its holder dies.

    The holder may remove the file as its last action.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                _warn_or_raise(str(path), file.read() or "another process", wait)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):  # its holder removed it: lock the next one
                continue
            file.seek(0)
            file.truncate()
            file.write(_this_process())
            file.flush()
            yield _always
            return


def _is_at(file: IO[str], path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _warn_or_raise(path: str, holder: str, wait: bool) -> None:
    if not wait:
        raise InUseError(f"{path} is locked by {holder}")
    logger.warning("%s is locked by %s; waiting for it", path, holder)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@dataclass(frozen=True)
class Entry:
    """Content of the newest object of a lease; number 0 precedes the first."""

    number: int = 0
    driver: str = ""
    holder: str = ""
    """Process and host of the holder, for messages; empty if nobody holds the lease."""


class Lease:
    """A lock in an object store that supports writing an object only if it does not exist.

    The lease is a series of numbered objects; the one with the greatest number names the holder. To
    acquire, renew or release the lease is to write the next number, which succeeds for one driver
    only; the object before is then removed. The greatest stays, so that no number is used twice: a
    driver that was suspended for an hour finds that others have used higher numbers. Clocks of two
    machines are never compared: a holder is dead if its number has not changed for `LEASE_SECONDS`
    by the clock of the driver that waits.
    """

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem = filesystem
        self._path = path
        self._driver = uuid.uuid4().hex
        self._held = Entry()
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, *, wait: bool = True) -> Iterator[Confirm]:
        """Acquire the lease, renew it during the block, and release it.

        Without `wait`, raises InUseError as soon as another holder is seen to renew it.
        """
        self._held = self.take(wait=wait)
        stop = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(stop,), daemon=True, name="lease")
        renewer.start()
        try:
            yield self._confirm
        finally:
            stop.set()
            renewer.join()
            with suppress(Exception):  # it expires by itself
                self.put_after(self._held, holder="")

    def take(self, *, wait: bool = True) -> Entry:
        """Wait until nobody holds the lease or its holder is dead, and acquire it; see `hold`."""
        seen, since, has_warned = self.newest(), time.monotonic(), False
        while True:
            is_dead = time.monotonic() - since > LEASE_SECONDS
            if (not seen.holder or is_dead) and (taken := self.put_after(seen, _this_process())):
                return taken
            if seen.holder and wait and not has_warned:
                _warn_or_raise(self._path, seen.holder, wait)
                has_warned = True
            time.sleep(LEASE_SECONDS / 60)
            newest = self.newest()
            if newest != seen:
                if newest.holder and not wait:
                    _warn_or_raise(self._path, newest.holder, wait)
                seen, since = newest, time.monotonic()

    def put_after(self, seen: Entry, holder: str) -> Entry | None:
        """Write the entry after the one that was seen; return None if another driver was faster."""
        number = seen.number + 1
        data = orjson.dumps({"driver": self._driver, "holder": holder})
        try:
            self._filesystem.pipe_file(self._object(number), data, mode="create")
        except Exception:
            # Each store has its own error for an existing object, and this write may have succeeded
            # although its response was lost: the newest object decides.
            if self.newest().number < number:
                raise
        # A number that was removed can be written again, but never becomes the greatest.
        newest = self.newest()
        if newest.driver != self._driver:
            return None
        if seen.number:
            with suppress(Exception):  # one that remains, as after a crash, does no harm
                self._filesystem.rm_file(self._object(seen.number))
        return newest

    def newest(self) -> Entry:
        """Return the entry with the greatest number."""
        while numbers := self._numbers():
            with suppress(FileNotFoundError):  # removed since it was listed: a greater one exists
                found = orjson.loads(self._filesystem.cat_file(self._object(numbers[-1])))
                return Entry(numbers[-1], found["driver"], found["holder"])
        return Entry()

    def _renew(self, stop: threading.Event) -> None:
        while not stop.wait(LEASE_SECONDS / 6):
            try:
                self._confirm()
            except LockLostError as lost:
                logger.error("%s", lost)
                return
            except Exception as error:  # the store may be available again before the lease expires
                logger.warning("%s cannot be renewed (%s); retrying", self._path, error)

    def _confirm(self) -> None:
        with self._guard:
            renewed = self.put_after(self._held, _this_process())
            if renewed is None:
                raise LockLostError(
                    f"{self._path}: taken over by {self.newest().holder or 'another driver'}, as "
                    f"it was not renewed for {LEASE_SECONDS:g} s; run again to resume"
                )
            self._held = renewed

    def _numbers(self) -> list[int]:
        self._filesystem.invalidate_cache(self._path)
        try:
            paths = self._filesystem.ls(self._path, detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in paths)
        return sorted(int(name) for name in names if name.isdigit())

    def _object(self, number: int) -> str:
        return f"{self._path}/{number:012d}"
