"""The flow that fine-tunes and evaluates an existing model."""

from dataclasses import dataclass, field
from typing import Any

from prefect import flow

from electra_pipeline.config import PipelineConfig
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.storage.artifact import Artifact, find_newest
from electra_pipeline.workflows.evaluate import find_model
from flows import tasks, trials
from flows.flow_options import FLOW
from flows.runtime import flow_runtime, run_task


@dataclass(frozen=True)
class Summary:
    """The result of a run: paths or URIs of model and report, and its rows of the results table."""

    model: str
    report: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


@flow(name="finetune", **FLOW)
def finetune(config: PipelineConfig, model: str | None = None) -> Summary:
    """Fine-tune and evaluate an existing model on every task and seed of `config`.

    `model` is a published artifact, a Hugging Face directory, the URI of either or a hub name, of
    any encoder; null takes the newest published model named `config.name` below `config.root`.
    Raises ValueError if there is none, or no task.
    """
    found = find_model(model) if model is not None else _newest_model(config)
    with flow_runtime(config, tasks.check_evaluation) as executor:
        return evaluate(config, found, executor)


def _newest_model(config: PipelineConfig) -> Artifact:
    model = find_newest(config.root, "publish", config.name)
    if model is None:
        raise ValueError(
            f"model: no published model named {config.name!r} below {config.root}; "
            "run the flow electra or pretrain first, or give the model's path or URI"
        )
    return model


def evaluate(config: PipelineConfig, model: Artifact | str, executor: RayExecutor) -> Summary:
    """Run every trial, record those that finished, and fail last if some did not."""
    uri = str(model.folder) if isinstance(model, Artifact) else model
    if config.finetune is None:
        return Summary(uri)
    found = run_task(trials.evaluate, config, model, executor)
    found.raise_errors()
    return Summary(uri, found.report, found.rows)
