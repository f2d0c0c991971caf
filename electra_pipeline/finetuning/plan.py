"""Plan fine-tuning: one trial for each task, init, grid point and seed."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from electra_pipeline.core.execution import StageContext
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.hyperparameters import Hyperparameters
from electra_pipeline.finetuning.order import longest_first
from electra_pipeline.finetuning.recipes import recipe_values
from electra_pipeline.finetuning.resources import EncoderShape, Estimate
from electra_pipeline.finetuning.trial import PRETRAINED, RANDOM, Trial, find_trial
from electra_pipeline.inputs.files import FileReference, PackageFile, UrlFile
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.uri import absolute_uri
from electra_pipeline.tasks.catalog.user_task import find_task
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.encoder import Encoder, architecture, find_encoder, num_positions
from electra_pipeline.tasks.task import Task


def check(config: FinetuneConfig) -> None:
    """Read every task's data. Raises ValueError for invalid data, before any model is trained."""
    for task in _tasks(config):
        load(task, _data_folder(config))


def scored_texts(config: FinetuneConfig) -> dict[str, list[str]]:
    """Return, by task, the texts of all scored examples, for decontamination of the corpus."""
    return {
        task.name: [
            example.content
            for examples in load(task, _data_folder(config)).scored.values()
            for example in examples
        ]
        for task in _tasks(config)
    }


def plan(config: FinetuneConfig, model: Artifact | str, context: StageContext) -> list[Trial]:
    """Return all trials, the longest first, after reading and checking every task's data.

    `model` is an artifact, a Hugging Face directory, a URI or a hub name. Raises ValueError for a
    model that cannot be found, a missing file or column, a label outside the task's set, or a
    length that the model does not support.
    """
    tested = find_encoder(model)
    inits: dict[str, Encoder | None] = {PRETRAINED: tested}
    inits |= {each: None if each == RANDOM else find_encoder(each) for each in config.baselines}
    architectures = {init: architecture(each or tested) for init, each in inits.items()}
    shape_of = cache(lambda init: EncoderShape.of(architectures[init]))  # takes a second
    data = _data_folder(config)
    parent_tasks = _parent_tasks(config)
    trials: dict[tuple[Any, ...], Trial] = {}
    # tasks of the first round come first: a trial of the second refers to its parent
    for task in sorted(_tasks(config), key=lambda task: task.name not in parent_tasks):
        loaded = load(task, data)
        texts = [example.content for example in loaded.train]
        for init, (number, (point, configured)) in itertools.product(
            inits, enumerate(config.points())
        ):
            hyperparameters = resolve(configured, task, architectures[init])
            estimate: Estimate | None = None
            for seed in config.seeds:
                is_first = init == PRETRAINED and seed == config.seeds[0]
                trial = Trial(
                    run=context.name,
                    root=absolute_uri(context.root),
                    task=task,
                    metrics=loaded.metrics,
                    data=data,
                    init=init,
                    seed=seed,
                    model=tested,
                    encoder=inits[init],
                    hyperparameters=hyperparameters,
                    digests=loaded.digests,
                    keep_model=config.keep_models == "all"
                    or (config.keep_models == "first-seed" and is_first)
                    or task.name in parent_tasks,
                    estimate=Estimate(0.0, 0),
                    parent=trials.get((config.intermediate.get(task.name), init, number, seed)),
                    grid_point=point,
                )
                if find_trial(trial) is None:  # of a finished one, nothing is left to be done
                    estimate = estimate or shape_of(init).estimate(texts, hyperparameters)
                    trial = replace(trial, estimate=estimate)
                trials[task.name, init, number, seed] = trial
    return longest_first(list(trials.values()))


def resolve(config: FinetuneConfig, task: Task, architecture: Any) -> Hyperparameters:
    """Return the hyperparameters for a task and a transformers config.

    Raises ValueError if the configured length exceeds the model's positions.
    """
    positions = num_positions(architecture) or math.inf
    if config.max_length is not None and config.max_length > positions:
        raise ValueError(
            f"finetune.max_length is {config.max_length}, but the model has {positions} "
            f"positions; set it to {positions} or less"
        )
    defaults = {
        **recipe_values(config.recipe, architecture.hidden_size),
        "epochs": task.epochs,
        "max_length": min(task.max_length, positions),
    }
    configured = {key: getattr(config, key) for key in Hyperparameters.model_fields}
    return Hyperparameters(
        **{key: defaults[key] if value is None else value for key, value in configured.items()}
    )


def _data_folder(config: FinetuneConfig) -> str | None:
    return None if config.data is None else absolute_uri(config.data)


def _parent_tasks(config: FinetuneConfig) -> set[str]:
    """Return the names of the tasks of the first round, whose models a second one starts from."""
    names = [find_task(given).name for given in config.tasks]
    return {config.intermediate[name] for name in names if name in config.intermediate}


def _tasks(config: FinetuneConfig) -> Iterator[Task]:
    """Yield the tasks, then those of the first round that are not among them."""
    tasks = {task.name: task for task in map(find_task, config.tasks)}
    for name in sorted(_parent_tasks(config) - set(tasks)):
        tasks[name] = find_task(name)
    for task in tasks.values():
        files = {
            split: tuple(map(_absolute_file, references))
            for split, references in task.files.items()
        }
        yield task.model_copy(update={"files": files})


def _absolute_file(file: FileReference) -> FileReference:
    match file:
        case str():
            return absolute_uri(file)
        case UrlFile():
            return file.model_copy(update={"url": absolute_uri(file.url)})
        case PackageFile():
            return file
