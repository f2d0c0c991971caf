"""Sync the run's state with the Prefect server after an outage.

Prefect 3.8 watches for a cancel in the process around a flow, and stops watching for good after
three failed calls in a row: half a minute without a server (`critical_service_loop`). A flow that
was started by hand has no such process. And without heartbeats, which the server missed during its
outage, a run that still works becomes Crashed (infra/automations.yaml).
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Running

logger = logging.getLogger(__name__)

POLL_SECONDS = 10.0
NUM_POLLS = 3  # before the third, Prefect itself has acted, and the run becomes Cancelled


@contextmanager
def synced_with_server() -> Iterator[None]:
    """Within the block, poll the run's state on the server and act on it.

    If the run is still Cancelling at the third poll, this process gets SIGTERM and ends like one
    that Kubernetes stops: Crashed, all of its work stopped, ready to be resumed. If an automation
    marked the run as Crashed, it is set to Running again.
    """
    ended = threading.Event()
    arguments = (UUID(flow_run.id), ended)
    threading.Thread(target=_poll, args=arguments, daemon=True, name="run-state").start()
    try:
        yield
    finally:
        ended.set()


def _poll(run_id: UUID, ended: threading.Event) -> None:
    num_cancelling = 0
    with get_client(sync_client=True) as client:
        while not ended.wait(POLL_SECONDS):
            try:
                state = client.read_flow_run(run_id).state
                if state is not None and state.is_crashed() and not ended.is_set():
                    logger.warning(
                        "this run was marked as Crashed (%s) but still works", state.message
                    )
                    client.set_flow_run_state(run_id, Running(), force=True)
            except (httpx.HTTPError, PrefectException):
                continue  # the server does not answer
            is_cancelling = state is not None and state.is_cancelling()
            num_cancelling = num_cancelling + 1 if is_cancelling else 0
            if num_cancelling == NUM_POLLS and not ended.is_set():
                logger.warning("this run was cancelled and is still running; stopping it")
                os.kill(os.getpid(), signal.SIGTERM)
                return
