"""Options of all flows: names of flow runs, and hooks that log how to resume a run that failed."""

from typing import Any, cast

from prefect import Flow, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.settings import get_current_settings
from prefect.task_runners import ThreadPoolTaskRunner

from electra_pipeline.config import PipelineConfig


def log_resume_command(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log, as the last line, the command that resumes the run.

    A hook for runs that failed, crashed or were cancelled. Prefect calls it with these names.
    """
    command = (
        f"prefect flow-run retry {flow_run.id}"
        if flow_run.deployment_id is not None
        else "the same command again"
    )
    logger = flow_run_logger(flow_run, flow)
    logger.warning(
        "%s: finished stages are kept, pre-training resumes at its last checkpoint; to resume: %s",
        state.name,
        command,
    )
    # A process that got SIGTERM ends before its log records would be sent.
    for handler in logger.logger.handlers:
        handler.flush()


def run_name() -> str:
    """Return configuration, scheduled time (UTC) and end of the id: `small-20261201T020000-9f3c`.

    A run that is retried keeps its name.
    """
    run = runtime.flow_run
    config = cast(PipelineConfig, run.parameters["config"])
    return f"{config.name}-{run.scheduled_start_time:%Y%m%dT%H%M%S}-{str(run.id)[-4:]}"


def task_runner() -> ThreadPoolTaskRunner[Any]:
    """Return Prefect's default task runner, with two threads at least.

    The task `evaluate` occupies one thread while it waits for its trials, which need another one.
    """
    limit = get_current_settings().tasks.runner.thread_pool_max_workers
    return ThreadPoolTaskRunner(max_workers=max(2, limit) if limit is not None else None)


# Arguments of `@flow` for all flows.
FLOW: dict[str, Any] = {
    "task_runner": task_runner(),
    "flow_run_name": run_name,
    "persist_result": False,
    "on_failure": [log_resume_command],
    "on_crashed": [log_resume_command],
    "on_cancellation": [log_resume_command],
}
