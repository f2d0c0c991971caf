"""The flow that fine-tunes and evaluates a model that is already there."""

import time
from dataclasses import dataclass, field
from typing import Any

from prefect import flow

from electra_pipeline.artifact import Artifact, find_artifacts, open_artifact
from electra_pipeline.config import PipelineConfig
from electra_pipeline.evaluation.finetune import find_leg
from electra_pipeline.evaluation.results import table
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
def finetune(config: PipelineConfig, model: str | None = None) -> Summary:
    """Fine-tune and evaluate a published model on every task and seed of `config`.

    `model` is the folder or URI of a published model; null takes the newest that a run of this
    name left below `config.root`. Raises ValueError if there is none, or no task.
    """
    published = find_model(config, model)
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    with connected(config) as executor:
        return evaluate(config, published, executor)


def find_model(config: PipelineConfig, place: str | None) -> Artifact:
    """The published model at `place`, or else the newest of this name below the root."""
    if place is not None:
        model = open_artifact(Folder(place))
        if model is None or model.stage != "publish":
            raise ValueError(
                f"model: no published model at {place!r}; give a folder that the publish stage "
                "wrote (<root>/publish/<name>-<fingerprint>)"
            )
        return model
    models = [each for each in find_artifacts(config.root, "publish") if each.name == config.name]
    if not models:
        raise ValueError(
            f"model: no published model named {config.name!r} below {config.root}; "
            "run the flow electra or pretrain first, or give the model's folder"
        )
    return max(models, key=lambda each: str(each.observed["created_at"]))


def evaluate(config: PipelineConfig, model: Artifact, executor: RayExecutor) -> Summary:
    """Run every leg, record those that finished, and only then fail for those that did not."""
    legs = step(stages.plan, config, model)
    if not legs:
        return Summary(str(model.folder))
    missing = [leg for leg in legs if find_leg(leg) is None]
    started = time.monotonic()
    futures = [stages.finetune.submit(config, leg, executor) for leg in legs]
    finished, lost = [], []
    for leg, future in zip(legs, futures, strict=True):
        try:
            finished.append((leg, future.result()))
        except Exception as error:
            lost.append(f"{leg.label}: {error}")
    made = [(leg, artifact) for leg, artifact in finished if leg in missing]
    if len(made) > 1:
        step(stages.log_busy_share, config, made, executor, time.monotonic() - started)
    rows = step(stages.record, config, [artifact for _, artifact in finished])
    report = step(stages.report, config, model, rows)
    show_results(config, table.aggregate(rows), report)
    if lost:
        raise RuntimeError(
            f"{len(lost)} of {len(legs)} legs failed, the others are recorded: {'; '.join(lost)}"
        )
    return Summary(str(model.folder), report, rows)
