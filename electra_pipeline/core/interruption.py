"""Ctrl-C and SIGTERM: a command that is told to stop ends, and all its processes with it."""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

RESUMABLE = "the same command goes on from here"
# Ctrl-C in a terminal; what `kill`, systemd, Kubernetes and Slurm send before they kill.
SIGNALS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# Closing Ray and telling Prefect's server takes six seconds. Kubernetes kills after 30 seconds.
TIMEOUT_SECONDS = 25.0


@dataclass
class Interruption:
    """Which signal told the command to stop; until one comes, it counts as Ctrl-C."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """130 or 143, as in a shell."""
        return 128 + self.number

    def __str__(self) -> str:
        return SIGNALS[self.number]


@contextmanager
def bounded_interrupt(timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Interruption]:
    """After SIGINT or SIGTERM within the block, leave it in time; if need be, end it by force.

    Both raise KeyboardInterrupt, and the object that the block is given says which one it was. A
    closing run waits for Ray and for Prefect's server, and either may no longer answer. By force
    nothing is lost: what is on disk is whole at any moment. Call it from the main thread.
    """
    interruption = Interruption()
    ended = threading.Event()
    # Prefect handles SIGTERM itself while a flow runs. What is written here at each signal, whoever
    # handles it, starts the clock.
    told, tell = os.pipe()
    os.set_blocking(tell, False)

    def watch() -> None:
        while (number := os.read(told, 1)) and number[0] not in SIGNALS:
            pass
        if number:
            interruption.number = number[0]
            if not ended.wait(timeout_seconds):
                _end_by_force(timeout_seconds, interruption)
        os.close(told)  # not before: a second signal is written there, too

    def interrupt(number: int, frame: Any) -> None:
        interruption.number = number
        raise KeyboardInterrupt

    threading.Thread(target=watch, daemon=True, name="interruption").start()
    handlers = {number: signal.signal(number, interrupt) for number in SIGNALS}
    others = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(others)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        ended.set()
        os.close(tell)


def _end_by_force(timeout_seconds: float, interruption: Interruption) -> None:
    if faulthandler.is_enabled():
        faulthandler.dump_traceback()  # for whoever asks what it waited for
    print(
        f"{interruption}, and ended by force {timeout_seconds:g} seconds later; {RESUMABLE}",
        file=sys.stderr,
        flush=True,
    )
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended by itself
            process.kill()
    os._exit(interruption.exit_code)
