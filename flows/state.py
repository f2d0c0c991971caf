"""A run and Prefect's server kept of one mind, also after the server was away.

Prefect 3.8 watches for a cancel from the process around a flow, and stops watching for good after
three failed calls in a row: half a minute without a server (`critical_service_loop`). Around a flow
that was started by hand there is no such process. And heartbeats that no server heard make a run
Crashed that works on (infra/automations.yaml).
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

LOOK_SECONDS = 10.0
NUM_LOOKS = 3  # by the third, Prefect itself has acted, which makes it a run that is Cancelled


@contextmanager
def agreeing_with_server() -> Iterator[None]:
    """Within the block, look at the run's state from time to time.

    Where it is still being cancelled after three looks, this process gets SIGTERM and ends as one
    that Kubernetes stops: Crashed, all of its work stopped, fit to go on. Where others made it
    Crashed, it is Running again.
    """
    ended = threading.Event()
    arguments = (UUID(flow_run.id), ended)
    threading.Thread(target=_look, args=arguments, daemon=True, name="run-state").start()
    try:
        yield
    finally:
        ended.set()


def _look(run_id: UUID, ended: threading.Event) -> None:
    num_cancelling = 0
    with get_client(sync_client=True) as client:
        while not ended.wait(LOOK_SECONDS):
            try:
                state = client.read_flow_run(run_id).state
                if state is not None and state.is_crashed() and not ended.is_set():
                    logger.warning("this run was taken for dead (%s) and works on", state.message)
                    client.set_flow_run_state(run_id, Running(), force=True)
            except (httpx.HTTPError, PrefectException):
                continue  # the server is away
            is_cancelling = state is not None and state.is_cancelling()
            num_cancelling = num_cancelling + 1 if is_cancelling else 0
            if num_cancelling == NUM_LOOKS and not ended.is_set():
                logger.warning("this run was cancelled, and nobody else has stopped it")
                os.kill(os.getpid(), signal.SIGTERM)
                return
