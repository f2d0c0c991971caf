"""Fine-tuning: the trials of task x seed x starting weights.

Heads are those of transformers, so that the result loads there; the published code puts a single
dense layer on [CLS].
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from electra_pipeline.core.execution import StageContext
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.grid_selection import choose
from electra_pipeline.finetuning.loop import Hyperparameters
from electra_pipeline.finetuning.order import longest_first, parents
from electra_pipeline.finetuning.recipes import recipe_values
from electra_pipeline.finetuning.resources import EncoderShape
from electra_pipeline.finetuning.trial import PRETRAINED, RANDOM, Trial, find_trial, rows, run_trial
from electra_pipeline.inputs.files import PackageFile, UrlFile
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.uri import absolute_uri
from electra_pipeline.tasks.catalog.user_task import find_task
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.encoder import Encoder, architecture, find_encoder, num_positions
from electra_pipeline.tasks.task import Task

__all__ = [
    "FinetuneConfig",
    "Trial",
    "check",
    "find_trial",
    "longest_first",
    "parents",
    "plan",
    "resolve",
    "results",
    "rows",
    "run_trial",
]

# What is the same in both recipes and for every task
COMMON = (
    *("warmup_fraction", "schedule", "adam_beta1", "adam_beta2", "adam_epsilon"),
    *("max_gradient_norm", "batch_examples"),
)


def check(config: FinetuneConfig) -> None:
    """Read every task's data, so that a mistake in it is told before any model is trained."""
    for task in _tasks(config):
        load(task, _data_folder(config))


def scored_texts(config: FinetuneConfig) -> dict[str, list[str]]:
    """By task, the text of every example that models are scored on: no corpus should have them."""
    return {
        task.name: [
            example.content
            for examples in load(task, _data_folder(config)).scored.values()
            for example in examples
        ]
        for task in _tasks(config)
    }


def plan(config: FinetuneConfig, model: Artifact | str, context: StageContext) -> list[Trial]:
    """All trials, the longest first, with every task's data read and checked.

    `model` is an artifact, a Hugging Face directory, a URI or a hub name. Raises ValueError, before
    any trial has started, for a model that is not there, a missing file, a wrong column, a label
    outside the set, or a length that the model does not take.
    """
    tested = find_encoder(model)
    starts: dict[str, Encoder | None] = {PRETRAINED: tested}
    starts |= {each: None if each == RANDOM else find_encoder(each) for each in config.baselines}
    architectures = {start: architecture(each or tested) for start, each in starts.items()}
    shapes = {start: EncoderShape.of(each) for start, each in architectures.items()}
    data = _data_folder(config)
    first_round = _parents(config)
    trials: dict[tuple[Any, ...], Trial] = {}
    # tasks of the first round come first: a trial of the second holds its parent
    for task in sorted(_tasks(config), key=lambda task: task.name not in first_round):
        loaded = load(task, data)
        texts = [example.content for example in loaded.train]
        for start, (place, point_config) in itertools.product(starts, enumerate(config.points())):
            point, configured = point_config
            hyperparameters = resolve(configured, task, architectures[start])
            cost = shapes[start].cost(texts, hyperparameters)
            for seed in config.seeds:
                is_first = start == PRETRAINED and seed == config.seeds[0]
                trials[task.name, start, place, seed] = Trial(
                    run=context.name,
                    root=absolute_uri(context.root),
                    task=task,
                    metrics=loaded.metrics,
                    data=data,
                    start=start,
                    seed=seed,
                    model=tested,
                    encoder=starts[start],
                    hyperparameters=hyperparameters,
                    digests=loaded.digests,
                    keep_model=config.keep_models == "all"
                    or (config.keep_models == "first-seed" and is_first)
                    or task.name in first_round,
                    cost=cost,
                    parent=trials.get((config.intermediate.get(task.name), start, place, seed)),
                    point=point,
                )
    return longest_first(list(trials.values()))


def results(config: FinetuneConfig, trials: Iterable[Artifact]) -> list[dict[str, Any]]:
    """The results table's rows of finished trials; of a grid, those of the points chosen."""
    return [row for trial, note in choose(list(trials), config.choose) for row in rows(trial, note)]


def resolve(config: FinetuneConfig, task: Task, architecture: Any) -> Hyperparameters:
    """The values that a task is fine-tuned with. Raises ValueError if the model is too short."""
    recipe = recipe_values(config.recipe, architecture.hidden_size)
    positions = num_positions(architecture)
    longest = config.max_length or task.max_length
    if positions is not None and longest > positions:
        if config.max_length is not None:
            raise ValueError(
                f"finetune.max_length is {config.max_length}, but the model has {positions} "
                f"positions; set it to {positions} or less"
            )
        longest = positions
    given = {key: getattr(config, key, None) for key in recipe}
    return Hyperparameters(
        **{key: recipe[key] if value is None else value for key, value in given.items()},
        **{key: getattr(config, key) for key in COMMON},
        epochs=config.epochs or task.epochs,
        max_length=longest,
    )


def _data_folder(config: FinetuneConfig) -> str | None:
    return None if config.data is None else absolute_uri(config.data)


def _parents(config: FinetuneConfig) -> set[str]:
    """Names of the tasks whose models a second round starts from."""
    names = [find_task(given).name for given in config.tasks]
    return {config.intermediate[name] for name in names if name in config.intermediate}


def _tasks(config: FinetuneConfig) -> Iterator[Task]:
    """The tasks, and those of the first round that are not among them."""
    given = {task.name: task for task in map(find_task, config.tasks)}
    for name in sorted(_parents(config) - set(given)):
        given[name] = find_task(name)
    for task in given.values():
        files = {
            split: tuple(map(_absolute_file, references))
            for split, references in task.files.items()
        }
        yield task.model_copy(update={"files": files})


def _absolute_file(file: str | UrlFile | PackageFile) -> str | UrlFile | PackageFile:
    match file:
        case str():
            return absolute_uri(file)
        case UrlFile():
            return file.model_copy(update={"url": absolute_uri(file.url)})
        case PackageFile():
            return file
