"""Evaluate a model in a flow, each trial as a Prefect task run.

The order of trials, their dependencies and the utilization are those of
`electra_pipeline.workflows.evaluate`: it maps over an executor, and `TrialTasks` is one.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack, cast

from prefect import task
from prefect.futures import PrefectConcurrentFuture

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import (
    Executor,
    MapOptions,
    Outcome,
    Resources,
    Waiting,
    one_cpu,
)
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.results import store
from electra_pipeline.results.aggregation import aggregate
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.workflows import evaluate as evaluation
from electra_pipeline.workflows.evaluate import Evaluation
from flows.prefect_artifacts import RunProgress, show_results
from flows.runtime import with_timeout
from flows.tasks import RETRIED

Item = TypeVar("Item")
Value = TypeVar("Value")

TRIAL_LINE_SECONDS = 20.0  # many trials run at once, and each line is a call to the server


@task(name="evaluate", task_run_name="evaluate", **RETRIED)
def evaluate(config: PipelineConfig, model: Artifact | str, executor: RayExecutor) -> Evaluation:
    """Run every trial of a model, record and report those that finished."""
    trials = evaluation.plan_trials(config, model)
    context = config.context(
        cast(Executor, TrialTasks(config, executor)), RunProgress(executor.check_open)
    )
    found = evaluation.evaluate(config, model, trials, context)
    costs = store.read_costs(config.database_url, run=config.name)
    show_results(config, aggregate(found.rows), found.report, costs)
    return found


@task(name="finetune", task_run_name="{trial.label}", **RETRIED)
def finetune(
    trial: Trial, executor: RayExecutor, function: Callable[..., Any], resources: Resources
) -> Any:
    """Fine-tune and evaluate one trial, in one Ray task."""
    (outcome,) = executor.map(
        function,
        [trial],
        resources=lambda _: resources,
        progress=RunProgress(line_seconds=TRIAL_LINE_SECONDS),
    )
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


@dataclass(frozen=True)
class TrialTasks:
    """The part of an executor that trials need; runs each in a Prefect task run of its own.

    All trials without an unfinished parent are submitted at once: Ray queues them, and a cluster
    that scales with its queue grows.
    """

    config: PipelineConfig
    executor: RayExecutor

    def map(
        self, function: Callable[..., Value], items: Sequence[Item], **options: Unpack[MapOptions]
    ) -> Iterator[Outcome[Value]]:
        """Apply `function` to each trial; see `Executor.map`. Each task run shows its progress."""
        run = with_timeout(finetune, self.config)
        resources = options.get("resources", one_cpu)
        waiting = Waiting(len(items), options.get("after", {}))
        running: dict[Future[Any], tuple[int, PrefectConcurrentFuture[Value]]] = {}
        while waiting or running:
            self.executor.check_open()
            while (index := waiting.take()) is not None:
                item = items[index]
                submitted = run.submit(item, self.executor, function, resources(item))
                future = cast(PrefectConcurrentFuture[Value], submitted)
                running[future.wrapped_future] = index, future
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                index, future = running.pop(each)
                try:
                    outcome = Outcome(index, value=future.result())
                except Exception as error:
                    outcome = Outcome(index, error=error)
                yield from waiting.finish(outcome)

    def trial_resources(self, scale: Any, memory_bytes: int) -> Resources:
        return self.executor.trial_resources(scale, memory_bytes)

    def slots(self, resources: Resources) -> int:
        return self.executor.slots(resources)
