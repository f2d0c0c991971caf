"""The flow that fine-tunes and evaluates a model that is already there."""

import time
from dataclasses import dataclass, field
from typing import Any

from prefect import allow_failure, flow

from electra_pipeline import stages as pipeline
from electra_pipeline.config import PipelineConfig
from electra_pipeline.finetuning.trial import find_trial
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.results.tables import table
from electra_pipeline.storage.artifact import Artifact, find_artifacts
from flows import stages
from flows.ending import FLOW
from flows.session import connected, step, timed
from flows.watching import show_results


@dataclass(frozen=True)
class Summary:
    """What a run made: the model's place, the report's place, and its rows of the results table."""

    model: str
    report: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


@flow(name="finetune", **FLOW)
def finetune(config: PipelineConfig, model: str | None = None) -> Summary:
    """Fine-tune and evaluate a model that is there on every task and seed of `config`.

    `model` is a published artifact, a Hugging Face directory, the URI of either or a hub name, of
    any encoder; null takes the newest that a run of this name left below `config.root`. Raises
    ValueError if there is none, or no task.
    """
    found = find_model(config, model)
    with connected(config, stages.check_evaluation) as executor:
        return evaluate(config, found, executor)


def find_model(config: PipelineConfig, place: str | None) -> Artifact | str:
    """The model at `place`, or else the newest published one of this name below the root."""
    if place is not None:
        return pipeline.find_model(place)
    models = [each for each in find_artifacts(config.root, "publish") if each.name == config.name]
    if not models:
        raise ValueError(
            f"model: no published model named {config.name!r} below {config.root}; "
            "run the flow electra or pretrain first, or give the model's folder"
        )
    return max(models, key=lambda each: str(each.observed["created_at"]))


def evaluate(config: PipelineConfig, model: Artifact | str, executor: RayExecutor) -> Summary:
    """Run every trial, record those that finished, and only then fail for those that did not."""
    place = str(model.folder) if isinstance(model, Artifact) else model
    trials = step(stages.plan, config, model)
    if not trials:
        return Summary(place)
    missing = [trial for trial in trials if find_trial(trial) is None]
    started = time.monotonic()
    futures: dict[str, Any] = {}
    for trial in sorted(trials, key=lambda trial: trial.parent is not None):
        # A trial whose parent fails is let run: it says itself what it misses.
        parents = [allow_failure(futures[trial.parent.label])] if trial.parent is not None else []
        submit: Any = timed(stages.finetune, config).submit  # its types do not know allow_failure
        futures[trial.label] = submit(config, trial, executor, wait_for=parents)
    finished, lost = [], []
    for trial in trials:
        try:
            finished.append((trial, futures[trial.label].result()))
        except Exception as error:
            lost.append(f"{trial.label}: {error}")
    made = [(trial, artifact) for trial, artifact in finished if trial in missing]
    if len(made) > 1:
        step(stages.log_utilization, config, made, executor, time.monotonic() - started)
    rows = step(stages.record, config, [artifact for _, artifact in finished])
    report = step(stages.report, config, model, rows)
    costs = step(stages.costs, config)
    show_results(config, table.aggregate(rows), report, costs)
    if lost:
        raise RuntimeError(
            f"{len(lost)} of {len(trials)} trials failed, the others are recorded: "
            f"{'; '.join(lost)}"
        )
    return Summary(place, report, rows)
