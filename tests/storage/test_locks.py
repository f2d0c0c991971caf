"""File locks, and leases in an object store under every interleaving."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.storage import locks
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.locks import Entry, InUseError, Lease, LockLostError


class Turns:
    """Lets one thread at a time do one operation; `choices` select it, and whether it fails."""

    def __init__(self, choices: list[int], threads: int) -> None:
        self.choices, self.running = iter(choices), threads
        self.waiting: dict[int, threading.Event] = {}
        self.changed = threading.Condition()
        self.fault = 0

    def take(self) -> int:
        """Wait for a turn; 1 if the answer is to be lost, 2 if the request is, else 0."""
        turn = threading.Event()
        with self.changed:
            self.waiting[threading.get_ident()] = turn
            self._next()
        turn.wait()
        return self.fault

    def leave(self) -> None:
        with self.changed:
            self.running -= 1
            self._next()

    def _next(self) -> None:
        if self.waiting and len(self.waiting) == self.running:
            choice = next(self.choices, 0)
            self.fault = {8: 1, 9: 2}.get(choice // 10, 0)
            chosen = sorted(self.waiting)[choice % 10 % len(self.waiting)]
            self.waiting.pop(chosen).set()


class Store:
    """An object store: each operation is atomic, and a write may be conditional (create)."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.objects: dict[str, bytes] = {}
        self.became_greatest: dict[str, str] = {}
        """By the content of an entry, the greatest object before it."""

    def pipe_file(self, path: str, data: bytes, mode: str) -> None:
        assert mode == "create"
        fault = self.turns.take()
        if fault == 2:
            raise OSError("the request was lost")
        if path in self.objects:
            raise FileExistsError(path)
        greatest = max(self.objects, default="")
        self.objects[path] = data
        if path > greatest:
            self.became_greatest[path] = greatest
        if fault == 1:
            raise OSError("the answer was lost")

    def cat_file(self, path: str) -> bytes:
        self.turns.take()
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path]

    def ls(self, path: str, detail: bool) -> list[str]:
        self.turns.take()
        return list(self.objects)

    def rm_file(self, path: str) -> None:
        self.turns.take()
        del self.objects[path]

    def invalidate_cache(self, path: str) -> None: ...


@given(st.lists(st.integers(0, 99), max_size=80))
@settings(max_examples=150)
def test_only_one_driver_extends_an_entry(choices: list[int]) -> None:
    drivers = 3
    turns = Turns(choices, drivers)
    store = Store(turns)
    gone_on: list[tuple[int, Entry, Entry]] = []

    def drive(driver: int) -> None:
        lease = Lease(store, "lease")
        try:
            for _ in range(3):
                seen = lease.newest()
                if entry := lease.put_after(seen, str(driver)):
                    gone_on.append((driver, seen, entry))
        except OSError:
            pass  # it dies without holding the lease
        finally:
            turns.leave()

    threads = [threading.Thread(target=drive, args=(driver,)) for driver in range(drivers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [entry.number for _, _, entry in gone_on]
    assert len(set(numbers)) == len(numbers)
    for driver, seen, entry in gone_on:
        assert entry.holder == str(driver)
        if entry.number == seen.number + 1:
            before = f"lease/{seen.number:012d}" if seen.number else ""
            assert store.became_greatest[f"lease/{entry.number:012d}"] == before
    if not any(choice >= 80 for choice in choices):  # without a fault, one of them always does
        assert numbers


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: dict[float, Callable[[], Any]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in sorted(moment for moment in self.at if moment <= self.now):
            self.at.pop(moment)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(locks, "time", clock)
    return clock


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    filesystem = MemoryFileSystem()
    yield filesystem
    filesystem.rm("/lease", recursive=True)


def test_a_lease_is_taken_over_only_from_a_dead_driver(
    store: MemoryFileSystem, clock: Clock
) -> None:
    """Only the clock of the waiting driver counts."""
    holder, rival = Lease(store, "/lease"), Lease(store, "/lease")
    held = holder.take()
    signs_of_life = [10.0 * n for n in range(1, 31)]
    for moment in signs_of_life:
        clock.at[moment] = holder._confirm
    holder._held = held
    rival.take()
    assert clock.now == pytest.approx(300 + locks.LEASE_SECONDS, abs=3)
    with pytest.raises(LockLostError, match="not renewed for 60 s"):
        holder._confirm()
    assert [str(path) for path in store.ls("/lease", detail=False)] == [f"/lease/{32:012d}"]


def test_without_wait_a_living_holder_raises_in_use_error(
    store: MemoryFileSystem, clock: Clock
) -> None:
    holder = Lease(store, "/lease")
    holder._held = holder.take()
    clock.at[10.0] = holder._confirm
    with pytest.raises(InUseError, match=f"locked by process {os.getpid()}"):
        Lease(store, "/lease").take(wait=False)
    assert clock.now < 12
    Lease(store, "/lease").take(wait=False)  # it showed no life since


def test_a_released_lease_is_free_at_once(store: MemoryFileSystem, clock: Clock) -> None:
    for _ in range(3):
        with Lease(store, "/lease").hold() as confirm:
            confirm()
    assert clock.now == 0.0


def hold_lock(root: str, held: Any) -> None:
    with (Folder(root) / "things").lock():
        held.set()
        time.sleep(600)


@pytest.mark.integration
def test_a_killed_driver_releases_its_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold_lock, args=(str(tmp_path), held))
    process.start()
    assert held.wait(600)
    folder = Folder(str(tmp_path)) / "things"
    with (
        pytest.raises(InUseError, match=f"locked by process {process.pid}"),
        folder.lock(wait=False),
    ):
        pass
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with folder.lock():
        pass


def test_a_lock_file_removed_by_its_holder_still_excludes_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside, most_inside, num_done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most_inside, num_done
        for _ in range(50):
            with locks.file_lock(path):
                inside += 1
                most_inside = max(most_inside, inside)
                inside -= 1
                num_done += 1
                path.unlink()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most_inside, num_done) == (1, 200)
