"""One writer at a time: locks of the operating system, of this process, and leases in a store."""

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

LEASE_SECONDS = 60.0  # a lease that shows no sign of life for so long belongs to a dead driver

Confirm = Callable[[], None]
"""Returns while the right to write is held; raises LockLostError when it is not."""

# Of the folders of `memory://`, which is one store for the whole process, as its locks must be.
_THREAD_LOCKS: dict[str, threading.Lock] = {}


class InUseError(RuntimeError):
    """Another driver is at work there, and the caller did not want to wait for it."""


class LockLostError(RuntimeError):
    """Another driver took this one for dead."""


def _always() -> None:
    """Of a lock that cannot be lost."""


@contextmanager
def thread_lock(path: str, *, wait: bool = True) -> Iterator[Confirm]:
    """Hold a path among the threads of this process."""
    lock = _THREAD_LOCKS.setdefault(path, threading.Lock())
    if not lock.acquire(blocking=False):
        _say_or_raise(path, "another thread", wait)
        lock.acquire()
    try:
        yield _always
    finally:
        lock.release()


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[Confirm]:
    """Hold a file of the local disk; the operating system frees it when its holder dies.

    The holder may remove the file as the last thing that it does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                _say_or_raise(str(path), file.read() or "another process", wait)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):  # its holder removed it: the next one makes another
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


def _say_or_raise(place: str, holder: str, wait: bool) -> None:
    if not wait:
        raise InUseError(f"{place} is held by {holder}")
    logger.warning("%s is held by %s; waiting for it", place, holder)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@dataclass(frozen=True)
class Entry:
    """What the newest object of a lease says; number 0 is before the first."""

    number: int = 0
    driver: str = ""
    holder: str = ""
    """Who writes, for people to read; empty where nobody does."""


class Lease:
    """The right to write, kept in a store of objects that can put one only if it is not there.

    The lease is a row of numbered objects, of which the greatest says who holds it. To take, to
    renew and to give back is to put the next number, which only one can do; the one before is
    then removed. The greatest stays, so that no number comes twice: a driver that slept for an hour
    finds that others have counted on. No two clocks are compared: a holder is dead when its number
    has stayed for `LEASE_SECONDS` by the clock of the one who waits.
    """

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem = filesystem
        self._path = path
        self._driver = uuid.uuid4().hex
        self._held = Entry()
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, *, wait: bool = True) -> Iterator[Confirm]:
        """Take the lease, renew it meanwhile, and give it back.

        With `wait` off, raises InUseError as soon as another holder shows life.
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
            with suppress(Exception):  # it goes stale by itself
                self.put_after(self._held, holder="")

    def take(self, *, wait: bool = True) -> Entry:
        """Wait until nobody holds the lease or its holder is dead, and take it; see `hold`."""
        seen, since, told = self.newest(), time.monotonic(), False
        while True:
            is_dead = time.monotonic() - since > LEASE_SECONDS
            if (not seen.holder or is_dead) and (taken := self.put_after(seen, _this_process())):
                return taken
            if seen.holder and wait and not told:
                _say_or_raise(self._path, seen.holder, wait)
                told = True
            time.sleep(LEASE_SECONDS / 60)
            newest = self.newest()
            if newest != seen:
                if newest.holder and not wait:
                    _say_or_raise(self._path, newest.holder, wait)
                seen, since = newest, time.monotonic()

    def put_after(self, seen: Entry, holder: str) -> Entry | None:
        """Put the entry after the one that was seen; None if another driver has gone on from it."""
        number = seen.number + 1
        data = orjson.dumps({"driver": self._driver, "holder": holder})
        try:
            self._filesystem.pipe_file(self._object(number), data, mode="create")
        except Exception:
            # Each store has its own error for an object that is there, and our own put may have
            # come to pass although its answer was lost: what lies there tells.
            if self.newest().number < number:
                raise
        # A number that was gone already can be put again, but never becomes the greatest.
        newest = self.newest()
        if newest.driver != self._driver:
            return None
        if seen.number:
            with suppress(Exception):  # one that stays, as after a crash, does no harm
                self._filesystem.rm_file(self._object(seen.number))
        return newest

    def newest(self) -> Entry:
        """The greatest entry that is there now."""
        while numbers := self._numbers():
            with suppress(FileNotFoundError):  # removed since it was listed: there is a greater one
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
            except Exception as error:  # the store may come back before the lease is stale
                logger.warning("%s cannot be renewed (%s); trying again", self._path, error)

    def _confirm(self) -> None:
        with self._guard:
            renewed = self.put_after(self._held, _this_process())
            if renewed is None:
                raise LockLostError(
                    f"{self._path}: lost to {self.newest().holder or 'another driver'}, which saw "
                    f"no sign of life for {LEASE_SECONDS:g} s; run it again to go on"
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
