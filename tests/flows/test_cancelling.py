"""A cancel that Prefect's own processes do not bring."""

import os
import signal
import threading
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from flows import cancelling


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_who_cancels_is_heard_without_a_runner(
    is_cancelled: bool, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()
    signals: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        signals.append((pid, number))
        heard.set()

    monkeypatch.setattr(cancelling, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(cancelling.os, "kill", kill)
    client = SyncPrefectClient(api=prefect_server)

    def become(kind: StateType) -> None:
        state: State[Any] = State(type=kind)
        client.set_flow_run_state(UUID(flow_run.id), state, force=True)

    @flow
    def long() -> None:
        with cancelling.heeding_cancel():
            if is_cancelled:
                become(StateType.CANCELLING)
                assert heard.wait(60)
                become(StateType.RUNNING)
            else:
                assert not heard.wait(2)

    long()
    assert signals == ([(os.getpid(), signal.SIGTERM)] if is_cancelled else [])
