"""The flow that fine-tunes and evaluates a model that is already there."""

from dataclasses import dataclass, field
from typing import Any

from prefect import flow
from prefect.futures import wait

from electra_pipeline.artifact import Artifact, open_artifact
from electra_pipeline.config import PipelineConfig
from electra_pipeline.evaluation import results
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.storage import Folder
from flows import stages
from flows.session import connected, step
from flows.watching import show_results


@dataclass(frozen=True)
class Summary:
    """What a run made: the model's place, the report's place, and its rows of the results table."""

    model: str
    report: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


@flow(name="finetune", flow_run_name="{config.name}", persist_result=False)
def finetune(config: PipelineConfig, model: str) -> Summary:
    """Fine-tune `model`, the place of a published model, on every task and seed of `config`."""
    published = open_artifact(Folder(model))
    if published is None:
        raise ValueError(
            f"model: no published model at {model!r}; give the folder that the publish stage "
            "returned (<root>/publish/<name>-<fingerprint>)"
        )
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance {tasks: [cola]}")
    with connected(config) as executor:
        return evaluate(config, published, executor)


def evaluate(config: PipelineConfig, model: Artifact, executor: RayExecutor) -> Summary:
    """Run every leg, record those that finished, and only then fail for those that did not."""
    legs = step(stages.plan, config, model)
    if not legs:
        return Summary(str(model.folder))
    futures = [stages.finetune.submit(config, leg, executor) for leg in legs]
    wait(futures)
    finished, lost = [], []
    for leg, future in zip(legs, futures, strict=True):
        value = future.result(raise_on_failure=False)
        if isinstance(value, Artifact):
            finished.append(value)
        else:
            lost.append(f"{leg.label}: {value}")
    rows = step(stages.record, config, finished)
    report = step(stages.report, config, model, rows)
    show_results(config, results.aggregate(rows), report)
    if lost:
        raise RuntimeError(
            f"{len(lost)} of {len(legs)} legs failed, the others are recorded: {'; '.join(lost)}"
        )
    return Summary(str(model.folder), report, rows)
