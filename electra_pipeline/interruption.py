"""Ctrl-C: a command that is interrupted ends, and all its processes with it."""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

INTERRUPTED = 128 + signal.SIGINT  # exit code of what Ctrl-C ended, as in a shell
RESUMABLE = "the same command goes on from here"
# Closing Ray and telling Prefect's server takes six seconds.
TIMEOUT_SECONDS = 30.0


@contextmanager
def bounded_interrupt(timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[None]:
    """After Ctrl-C within the block, leave it in time; if need be, end this process by force.

    A closing run waits for Ray and for Prefect's server, and either may no longer answer. By force
    nothing is lost: what is on disk is whole at any moment. Call it from the main thread.
    """
    timer = threading.Timer(timeout_seconds, _end_by_force, [timeout_seconds])
    timer.daemon = True

    def interrupt(number: int, frame: Any) -> None:
        if not timer.is_alive():
            timer.start()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def _end_by_force(timeout_seconds: float) -> None:
    if faulthandler.is_enabled():
        faulthandler.dump_traceback()  # for whoever asks what it waited for
    print(
        f"interrupted, and ended by force {timeout_seconds:g} seconds later; {RESUMABLE}",
        file=sys.stderr,
        flush=True,
    )
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended by itself
            process.kill()
    os._exit(INTERRUPTED)
