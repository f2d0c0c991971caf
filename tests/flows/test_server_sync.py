"""Runs whose state on Prefect's server is wrong."""

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

from flows import server_sync
from tests.faults.stack import wait_until


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Signals to this process, which are caught; polls are a tenth of a second apart."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(server_sync, "POLL_SECONDS", 0.1)
    kill = os.kill

    def keep(pid: int, number: int) -> None:
        if (pid, number) == (os.getpid(), signal.SIGTERM):
            sent.append((pid, number))
        else:  # whoever else asks, or asks who is alive
            kill(pid, number)

    monkeypatch.setattr(os, "kill", keep)
    return sent


def become(client: SyncPrefectClient, kind: StateType) -> None:
    """Set the state of the run that calls this, as an operator would."""
    wanted: State[Any] = State(type=kind)
    client.set_flow_run_state(UUID(flow_run.id), wanted, force=True)


def test_a_cancel_is_noticed_without_a_runner(
    prefect_server: str, signals: list[tuple[int, int]]
) -> None:
    client = SyncPrefectClient(api=prefect_server)

    @flow
    def long() -> None:
        with server_sync.synced_with_server():
            threading.Event().wait(1)  # ten polls without a cancel
            assert signals == []
            become(client, StateType.CANCELLING)
            wait_until(lambda: signals, "it is noticed")
            become(client, StateType.RUNNING)

    long()
    assert signals == [(os.getpid(), signal.SIGTERM)]


def test_a_run_that_is_marked_as_crashed_becomes_running_again(
    prefect_server: str, signals: list[tuple[int, int]]
) -> None:
    client = SyncPrefectClient(api=prefect_server)

    @flow
    def long() -> None:
        with server_sync.synced_with_server():
            become(client, StateType.CRASHED)
            mine = UUID(flow_run.id)
            wait_until(lambda: client.read_flow_run(mine).state.is_running(), "it is running")

    long()
    assert signals == []
