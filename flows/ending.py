"""What a run that did not finish leaves behind for its operator: how it goes on."""

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger


def say_how_it_goes_on(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The last line of the log: what is kept, and the command that goes on from there.

    A hook for runs that failed, crashed or were cancelled. Prefect calls it with these names.
    """
    command = (
        f"prefect flow-run retry {flow_run.id}"
        if flow_run.deployment_id is not None
        else "the same command again"
    )
    logger = flow_run_logger(flow_run, flow)
    logger.warning(
        "%s: what is finished is kept, pre-training goes on at its newest checkpoint; to go on: %s",
        state.name,
        command,
    )
    # A process that got SIGTERM ends before it would send what it logged.
    for handler in logger.logger.handlers:
        handler.flush()


# What all flows have in common.
FLOW: dict[str, Any] = {
    "flow_run_name": "{config.name}",
    "persist_result": False,
    "on_failure": [say_how_it_goes_on],
    "on_crashed": [say_how_it_goes_on],
    "on_cancellation": [say_how_it_goes_on],
}
