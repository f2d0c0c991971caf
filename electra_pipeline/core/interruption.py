"""Handle Ctrl-C and SIGTERM: shut down with all child processes within a bounded time."""

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

RESUMABLE = "the same command resumes from here"
# Ctrl-C in a terminal; what `kill`, systemd, Kubernetes and Slurm send before SIGKILL
SIGNALS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
# Shutting down Ray and reporting to Prefect's server take six seconds. Kubernetes sends SIGKILL
# after 30 seconds.
TIMEOUT_SECONDS = 25.0


@dataclass
class Interruption:
    """The signal that interrupted the command; SIGINT until one is received."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """130 or 143, as in a shell."""
        return 128 + self.number

    def __str__(self) -> str:
        return SIGNALS[self.number]


@contextmanager
def bounded_interrupt(timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Interruption]:
    """Limit the time between SIGINT or SIGTERM and the end of the block, then kill the process.

    Both signals raise KeyboardInterrupt; the object that is yielded holds which one it was. The
    shutdown of a run waits for Ray and for Prefect's server, either of which may not respond any
    more. Killing loses no data: files on disk are whole at any moment. Must be called from the main
    thread.
    """
    interruption = Interruption()
    ended = threading.Event()
    # Prefect replaces the handler of SIGTERM while a flow runs. The wake-up file descriptor
    # receives each signal nevertheless, and starts the timeout.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while (number := os.read(reader, 1)) and number[0] not in SIGNALS:
            pass
        if number:
            interruption.number = number[0]
            if not ended.wait(timeout_seconds):
                _kill(timeout_seconds, interruption)
        os.close(reader)  # not before: a second signal is written to it, too

    def interrupt(number: int, frame: Any) -> None:
        interruption.number = number
        raise KeyboardInterrupt

    threading.Thread(target=watch, daemon=True, name="interruption").start()
    handlers = {number: signal.signal(number, interrupt) for number in SIGNALS}
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        ended.set()
        os.close(writer)


def _kill(timeout_seconds: float, interruption: Interruption) -> None:
    if faulthandler.is_enabled():
        faulthandler.dump_traceback()  # shows what the shutdown waited for
    print(
        f"{interruption}, and killed {timeout_seconds:g} seconds later; {RESUMABLE}",
        file=sys.stderr,
        flush=True,
    )
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            process.kill()
    os._exit(interruption.exit_code)
