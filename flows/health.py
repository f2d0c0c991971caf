"""Checks of a Prefect server for `electra-pipeline doctor`: what delays or blocks runs."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from electra_pipeline.core.errors import one_line
from electra_pipeline.workflows.doctor import Finding

# Runs in these states occupy the slots of their queue.
OCCUPYING = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
# Within these times, infra/automations.yaml or the server itself ends a dead run.
MAX_MINUTES = {StateType.PENDING: 16, StateType.CANCELLING: 6}
AUTOMATIONS = (
    "crash-silent-runs",
    "crash-runs-that-never-start",
    "crash-containers-that-never-start",
)


def examine_server() -> Iterator[Finding]:
    """Check the server of PREFECT_API_URL, if it is set: version, automations, full queues."""
    if not PREFECT_API_URL.value():
        return
    with get_client(sync_client=True) as client:
        try:
            yield from (_version(client), _automations(client), *_queues(client))
        except httpx.TransportError:
            return  # doctor has a check of its own for this
        except (httpx.HTTPError, PrefectException) as error:
            remedy = "set PREFECT_API_AUTH_STRING if it demands one; else see the server's log"
            yield Finding("Prefect server", one_line(error, 200), remedy)


def _version(client: SyncPrefectClient) -> Finding:
    local, remote = version("prefect"), client.api_version()
    remedy = f"run Prefect {local} there" if remote.split(".")[:2] != local.split(".")[:2] else ""
    return Finding("Prefect server", remote, remedy)


def _automations(client: SyncPrefectClient) -> Finding:
    present = {name: client.read_automations_by_name(name) for name in AUTOMATIONS}
    missing = [name for name, found in present.items() if not any(a.enabled for a in found)]
    if not missing:
        return Finding("automations", "on")
    remedy = "python -m flows.deploying, in the folder of prefect.yaml; enable those that exist"
    return Finding("automations", f"missing or disabled: {', '.join(missing)}", remedy)


def _queues(client: SyncPrefectClient) -> Iterator[Finding]:
    """Yield each queue that is full, with the runs that fill it, or whose runs no worker takes."""
    occupying = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(OCCUPYING)))
    late = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))
    occupants = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=occupying))
    due = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=late))
    for queue in client.read_work_queues():
        running = [run for run in occupants if run.work_queue_id == queue.id]
        num_due = sum(run.work_queue_id == queue.id for run in due)
        limit = queue.concurrency_limit
        if limit is not None and len(running) >= limit:
            stuck = [r for r in running if _minutes(r) > MAX_MINUTES.get(_type(r), math.inf)]
            remedy = "; ".join(f"prefect flow-run delete {run.id}" for run in stuck)
            shown = [f"{r.name} ({r.state_name}, {_minutes(r):.0f} min)" for r in running]
            found = f"full: {', '.join(shown) or 'its limit is 0'}; {num_due} more are due"
            yield Finding(f"queue {queue.name}", found, remedy)
        elif num_due:
            found = f"{num_due} runs are due and not taken"
            remedy = f"prefect worker start --pool {queue.work_pool_name}"
            yield Finding(f"queue {queue.name}", found, remedy)


def _type(run: FlowRun) -> StateType:
    return run.state_type or StateType.SCHEDULED


def _minutes(run: FlowRun) -> float:
    """Return how long the run has been in its state."""
    since = run.state.timestamp if run.state is not None else datetime.now(UTC)
    return (datetime.now(UTC) - since).total_seconds() / 60
