"""SIGINT and SIGTERM end a command in bounded time, even while it waits."""

import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

pytestmark = pytest.mark.integration
STUBBORN = textwrap.dedent(
    """
    import subprocess, sys, threading
    from electra_pipeline.core.interruption import bounded_interrupt

    with bounded_interrupt({timeout_seconds}):
        {before}
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
    timeout_seconds: float,
    then: str,
    after: str = "",
    *,
    number: int = signal.SIGINT,
    before: str = "",
) -> tuple[int, psutil.Process, str]:
    """Exit code, child and standard error of a command after a signal."""
    script = STUBBORN.format(timeout_seconds=timeout_seconds, then=then, after=after, before=before)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    return process.returncode, child, errors


@pytest.mark.parametrize(
    ("number", "exit_code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_hanging_shutdown_is_killed_with_its_child_processes(
    number: int, exit_code: int, said: str
) -> None:
    code, child, errors = interrupted(0.5, "threading.Event().wait()", number=number)
    assert code == exit_code
    assert errors == (f"{said}, and killed 0.5 seconds later; the same command resumes from here\n")
    child.wait(timeout=120)


def test_a_shutdown_within_the_timeout_is_not_killed() -> None:
    # Had the clock not been stopped, its end would be that of the process.
    outlive = (
        "for thread in threading.enumerate():\n"
        "    if thread is not threading.main_thread():\n"
        "        thread.join()\n"
        "sys.exit(7)"
    )
    code, child, errors = interrupted(60, "child.kill(); child.wait()", outlive)
    assert (code, errors) == (7, "")
    assert not child.is_running()


def test_the_timeout_starts_even_if_another_handler_receives_the_signal() -> None:
    # as Prefect does while a flow runs
    code, child, errors = interrupted(
        0.5,
        "pass",
        number=signal.SIGTERM,
        before="import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
    )
    assert code == 143
    assert errors.startswith("terminated, and killed")
    child.wait(timeout=120)


def test_repeated_sigint_during_shutdown_prints_nothing() -> None:
    # A write to a closed pipe would be reported on standard error.
    lines = """\
        child.kill(); child.wait()
        import os, time
        time.sleep(0.3)  # the first one has been read
        try:
            os.kill(os.getpid(), 2)
            time.sleep(600)
        except KeyboardInterrupt:
            pass"""
    code, _, errors = interrupted(600, lines.lstrip(), "sys.exit(7)")
    assert (code, errors) == (7, "")
