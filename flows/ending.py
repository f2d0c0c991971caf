"""What all flows have in common: the names of runs, and how one that did not finish is resumed."""

from typing import Any, cast

from prefect import Flow, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from electra_pipeline.config import PipelineConfig


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


def run_name() -> str:
    """Configuration, time (UTC) when due, end of the id: `small-20261201T020000-9f3c`.

    A run that is retried keeps its name.
    """
    run = runtime.flow_run
    config = cast(PipelineConfig, run.parameters["config"])
    return f"{config.name}-{run.scheduled_start_time:%Y%m%dT%H%M%S}-{str(run.id)[-4:]}"


# What all flows have in common.
FLOW: dict[str, Any] = {
    "flow_run_name": run_name,
    "persist_result": False,
    "on_failure": [say_how_it_goes_on],
    "on_crashed": [say_how_it_goes_on],
    "on_cancellation": [say_how_it_goes_on],
}
