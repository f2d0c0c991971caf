"""Run the chain from a terminal: on the configured Prefect server, else on a temporary one.

Prefect reads its settings when it is imported, so it is imported inside the functions.
"""

import logging
import os
import signal
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING

from electra_pipeline.config import PipelineConfig
from electra_pipeline.storage import local_folders
from electra_pipeline.storage.uri import redacted

if TYPE_CHECKING:
    from flows.finetune import Summary

ENVIRONMENT = {
    # The server starts as `python -m`, which could import a random.py of the current folder.
    "PYTHONSAFEPATH": "1",
    # No telemetry: the first is for the server, the second for the client.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A first start creates the database, which takes 12 s on a quiet machine; the default is 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Log records of the library become part of the run.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "electra_pipeline",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # infra/automations.yaml marks a run without heartbeats as crashed; the default is 180 seconds.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
CONNECT_TIMEOUT_SECONDS = 5.0


def run_here(config: PipelineConfig, *, debug: bool = False) -> "Summary":
    """Run the whole chain in this process and return its summary.

    `debug` shows the tracebacks that Prefect logs. Raises the exception that ended the run, and
    ValueError in one line if the configured Prefect server does not answer.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    local_folders.of_prefect().check()
    check_server()
    start_temporary_server()

    from flows.electra import electra

    if not debug:
        for handler in logging.getLogger().handlers + logging.getLogger("prefect").handlers:
            handler.addFilter(without_traceback)
    return electra(config)


def check_server() -> None:
    """Raise ValueError if the configured Prefect server does not answer within 5 seconds.

    Also if something else answers: another service (404), or Prefect's UI, whose pages are HTML,
    because `/api` is missing at the end of the URL.
    """
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return
    health = f"{url.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(health, timeout=CONNECT_TIMEOUT_SECONDS) as answer:
            is_prefect = answer.headers.get_content_type() != "text/html"
    except urllib.error.HTTPError as error:  # Prefect itself reports missing authorization
        is_prefect = error.code != HTTPStatus.NOT_FOUND
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot reach the Prefect server at {redacted(url)} (PREFECT_API_URL): {error}; "
            "start it with `prefect server start`, or unset PREFECT_API_URL"
        ) from error
    if not is_prefect:
        raise ValueError(
            f"no Prefect server at {redacted(url)} (PREFECT_API_URL), but another service; give "
            "the address of its API, as http://127.0.0.1:4200/api"
        )


def start_temporary_server() -> None:
    """Without a configured server, start a temporary one that ignores Ctrl-C.

    A terminal sends SIGINT to all processes of a command. If it ends Prefect's server, the run
    cannot report its final state, and retries for a minute. A blocked signal stays blocked in child
    processes.

    The server takes three seconds to start, as do the imports of the stages: both are done at once.
    """
    from prefect.client.orchestration import get_client

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        get_client(sync_client=True)

    # The mask is that of this thread, which ends; the main thread can still be interrupted.
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(start)
        import_module("electra_pipeline.workflows.evaluate")
        started.result()


def without_traceback(record: logging.LogRecord) -> bool:
    """Drop records with a traceback: the command line prints the error in one line at the end."""
    return record.exc_info is None
