"""The flow that pre-trains a model and publishes it."""

from typing import Any

from prefect import flow

from electra_pipeline.config import PipelineConfig
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.storage.artifact import Artifact
from flows import tasks
from flows.flow_options import FLOW
from flows.prefect_artifacts import show_model
from flows.runtime import flow_runtime, run_task, run_until


@flow(name="pretrain", **FLOW)
def pretrain(config: PipelineConfig) -> str:
    """Corpus to published model; returns the model's path or URI."""
    with flow_runtime(config) as executor:
        model, _ = make_model(config, executor)
        return str(model.folder)


def make_model(
    config: PipelineConfig, executor: RayExecutor
) -> tuple[Artifact, list[dict[str, Any]]]:
    """Run the chain up to the published model; finished stages are reused.

    Returns the model and the rows of its pre-training in the results table.
    """
    made = run_until("publish", config, executor)
    rows = run_task(tasks.record_pretraining, config, made)
    show_model(config, made)
    return made["publish"], rows
