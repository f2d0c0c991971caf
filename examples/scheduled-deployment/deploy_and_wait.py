"""Start a Prefect server, deploy, start a worker, and wait for a scheduled run to finish."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
TIMEOUT_SECONDS = 600
STOP_SECONDS = 15


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(
        PREFECT_HOME=str(Path("prefect-home").resolve()),
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="5",
        PREFECT_WORKER_QUERY_SECONDS="1",
        DO_NOT_TRACK="1",
    )
    with ExitStack() as stack:
        start(stack, "server", "start", "--host", "127.0.0.1", "--port", str(port))
        wait_for(lambda: is_up(f"{os.environ['PREFECT_API_URL']}/health"))
        print("server ", os.environ["PREFECT_API_URL"], flush=True)
        run("work-pool", "create", "example", "--type", "process")
        # One run at a time, so that runs do not accumulate on a machine that is slower than 20 s
        run("work-pool", "set-concurrency-limit", "example", "1")
        run("deploy", "--all")
        start(stack, "worker", "start", "--pool", "example")
        wait_for(finished_runs)
        for name, started in finished_runs():
            print(f"finished {name}, scheduled, started {started:%H:%M:%S}")


def run(*command: str) -> None:
    subprocess.run([*PREFECT, *command], check=True)


def start(stack: ExitStack, *command: str) -> None:
    """Start a command of Prefect that stays until the end; its output goes to a file."""
    log_file = Path(f"{command[0]}.log")
    log = stack.enter_context(log_file.open("w"))
    process = subprocess.Popen([*PREFECT, *command], stdout=log, stderr=log, start_new_session=True)
    stack.callback(stop, process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a command with its child processes.

    A worker with a run in progress does not end at SIGTERM while the schedule creates more runs.
    """
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_up(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (OSError, urllib.error.URLError):
        return False
    return True


def finished_runs() -> list[tuple[str, object]]:
    """Return name and start of the scheduled runs that finished; raise if one failed."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.auto_scheduled]
    for run in runs:
        if run.state.is_failed() or run.state.is_crashed():
            raise RuntimeError(f"run {run.name}: {run.state.message}")
    return [(run.name, run.start_time) for run in runs if run.state.is_completed()]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT_SECONDS} seconds; see server.log, worker.log")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
