"""Ctrl-C ends a command even where it waits for something that never comes."""

import signal
import subprocess
import sys
import textwrap

import psutil

STUBBORN = textwrap.dedent(
    """
    import subprocess, sys, threading
    from electra_pipeline.interruption import bounded_interrupt

    with bounded_interrupt({timeout_seconds}):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            print(child.pid, flush=True)  # from here on the signal may come
            threading.Event().wait()
        except KeyboardInterrupt:
            {then}
    {after}
    """
)


def interrupted(
    timeout_seconds: float, then: str, after: str = ""
) -> tuple[int, psutil.Process, str]:
    """Exit code, child and standard error of a command after Ctrl-C."""
    script = STUBBORN.format(timeout_seconds=timeout_seconds, then=then, after=after)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    return process.returncode, child, errors


def test_what_does_not_end_is_ended_by_force_with_its_processes() -> None:
    code, child, errors = interrupted(0.5, "threading.Event().wait()")
    assert code == 130
    assert errors == (
        "interrupted, and ended by force 0.5 seconds later; the same command goes on from here\n"
    )
    child.wait(timeout=120)


def test_what_ends_in_time_is_left_alone() -> None:
    # Had the timer not been stopped, its end would be that of the process.
    outlive = (
        "for thread in threading.enumerate():\n"
        "    if isinstance(thread, threading.Timer):\n"
        "        thread.join()\n"
        "sys.exit(7)"
    )
    code, child, errors = interrupted(60, "child.kill(); child.wait()", outlive)
    assert (code, errors) == (7, "")
    assert not child.is_running()
