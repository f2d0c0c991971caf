"""What a Prefect server has that holds runs up, for `electra-pipeline doctor`."""

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

# Runs in these states hold the slots of their queue.
HOLDING = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
# Within these, infra/automations.yaml or the server itself ends a run that is dead.
MOST_MINUTES = {StateType.PENDING: 16, StateType.CANCELLING: 6}
AUTOMATIONS = (
    "crash-silent-runs",
    "crash-runs-that-never-start",
    "crash-containers-that-never-start",
)


def examine_server() -> Iterator[Finding]:
    """Look at the server of PREFECT_API_URL: its version, automations, full queues.

    Without one there is nothing to look at.
    """
    if not PREFECT_API_URL.value():
        return
    with get_client(sync_client=True) as client:
        try:
            yield from (_version(client), _automations(client), *_queues(client))
        except httpx.TransportError:
            return  # doctor itself looks whether it answers
        except (httpx.HTTPError, PrefectException) as error:
            remedy = "set PREFECT_API_AUTH_STRING if it demands one; else see the server's log"
            yield Finding("Prefect server", one_line(error, 200), remedy)


def _version(client: SyncPrefectClient) -> Finding:
    ours, theirs = version("prefect"), client.api_version()
    remedy = f"run Prefect {ours} there" if theirs.split(".")[:2] != ours.split(".")[:2] else ""
    return Finding("Prefect server", theirs, remedy)


def _automations(client: SyncPrefectClient) -> Finding:
    present = {name: client.read_automations_by_name(name) for name in AUTOMATIONS}
    missing = [name for name, found in present.items() if not any(a.enabled for a in found)]
    if not missing:
        return Finding("automations", "on")
    remedy = "python -m flows.deploying, in the folder of prefect.yaml; if there, switch them on"
    return Finding("automations", f"not there, or off: {', '.join(missing)}", remedy)


def _queues(client: SyncPrefectClient) -> Iterator[Finding]:
    """Each queue that is full, with the runs that hold it, or whose runs no worker takes."""
    holding = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(HOLDING)))
    late = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"]))
    held = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=holding))
    due = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=late))
    for queue in client.read_work_queues():
        held_by = [run for run in held if run.work_queue_id == queue.id]
        num_due = sum(run.work_queue_id == queue.id for run in due)
        limit = queue.concurrency_limit
        if limit is not None and len(held_by) >= limit:
            stuck = [r for r in held_by if _minutes(r) > MOST_MINUTES.get(_type(r), math.inf)]
            remedy = "; ".join(f"prefect flow-run delete {run.id}" for run in stuck)
            shown = [f"{r.name} ({r.state_name}, {_minutes(r):.0f} min)" for r in held_by]
            found = f"full: {', '.join(shown) or 'its limit is 0'}; {num_due} more are due"
            yield Finding(f"queue {queue.name}", found, remedy)
        elif num_due:
            found = f"{num_due} runs are due and not taken"
            remedy = f"prefect worker start --pool {queue.work_pool_name}"
            yield Finding(f"queue {queue.name}", found, remedy)


def _type(run: FlowRun) -> StateType:
    return run.state_type or StateType.SCHEDULED


def _minutes(run: FlowRun) -> float:
    """How long the run is in its state."""
    since = run.state.timestamp if run.state is not None else datetime.now(UTC)
    return (datetime.now(UTC) - since).total_seconds() / 60
