"""A cancel that reaches a run whatever became of those who should bring it.

Prefect 3.8 watches for it from the process around a flow, and stops watching for good after three
failed calls in a row: half a minute without a server (`critical_service_loop`). Around a flow that
was started by hand there is no such process.
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

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
NUM_LOOKS = 3  # by the third, Prefect itself has acted, which makes it a run that is Cancelled


@contextmanager
def heeding_cancel() -> Iterator[None]:
    """SIGTERM for this process where the run is still being cancelled after three looks.

    It ends as one that Kubernetes stops: Crashed, all of its work stopped, fit to go on.
    """
    ended = threading.Event()
    arguments = (UUID(flow_run.id), ended)
    threading.Thread(target=_look, args=arguments, daemon=True, name="heeding-cancel").start()
    try:
        yield
    finally:
        ended.set()


def _look(run_id: UUID, ended: threading.Event) -> None:
    num_seen = 0
    with get_client(sync_client=True) as client:
        while not ended.wait(LOOK_SECONDS):
            try:
                state = client.read_flow_run(run_id).state
            except (httpx.HTTPError, PrefectException):
                continue  # the server is away: so is whoever would cancel
            num_seen = num_seen + 1 if state is not None and state.is_cancelling() else 0
            if num_seen == NUM_LOOKS and not ended.is_set():
                logger.warning("this run was cancelled, and nobody else has stopped it")
                os.kill(os.getpid(), signal.SIGTERM)
                return
