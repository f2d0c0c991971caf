"""Fine-tuning: the legs of task x seed x starting weights.

Heads are those of transformers, so that the result loads there; the published code puts a single
dense layer on [CLS].
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import transformers
from pydantic import Field, field_validator

from electra_pipeline.artifact import Artifact
from electra_pipeline.evaluation.cost import EncoderShape
from electra_pipeline.evaluation.leg import (
    MAJORITY,
    MODEL_FOLDER,
    Leg,
    Start,
    find_leg,
    rows,
    run_leg,
)
from electra_pipeline.evaluation.order import longest_first, parents
from electra_pipeline.evaluation.tasks.data import load
from electra_pipeline.evaluation.tasks.given import GivenTask, find_task
from electra_pipeline.evaluation.tasks.task import Task
from electra_pipeline.evaluation.training import Hyperparameters
from electra_pipeline.identity import Config
from electra_pipeline.inputs.files import PackageFile, UrlFile

__all__ = [
    "MAJORITY",
    "FinetuneConfig",
    "Leg",
    "check",
    "find_leg",
    "longest_first",
    "parents",
    "plan",
    "resolve",
    "rows",
    "run_leg",
]

Recipe = Literal["google", "paper"]
Size = Literal["small", "base", "large"]

# google: configure_finetuning.py:54-60, 71-73, 150-151 (google-research/electra 8a46635), with the
# extra power of layer_decay of its issue 51 and an Adam without bias correction. paper: table 7;
# how it reduces the loss is not said, and its Adam is taken as defined (Kingma and Ba 2015).
_GOOGLE = {
    "weight_decay": 0.01,
    "layer_extra_exponent": 1,
    "loss_reduction": "sum",
    "adam_bias_correction": False,
}
_PAPER = {
    "weight_decay": 0.0,
    "layer_extra_exponent": 0,
    "loss_reduction": "mean",
    "adam_bias_correction": True,
}
RECIPES: Mapping[Recipe, Mapping[Size, Mapping[str, Any]]] = {
    "google": {
        "small": {"learning_rate": 1e-4, "layer_decay": 0.8, **_GOOGLE},
        "base": {"learning_rate": 1e-4, "layer_decay": 0.8, **_GOOGLE},
        "large": {"learning_rate": 5e-5, "layer_decay": 0.9, **_GOOGLE},
    },
    "paper": {
        "small": {"learning_rate": 3e-4, "layer_decay": 0.8, **_PAPER},
        "base": {"learning_rate": 1e-4, "layer_decay": 0.8, **_PAPER},
        "large": {"learning_rate": 5e-5, "layer_decay": 0.9, **_PAPER},
    },
}


class FinetuneConfig(Config):
    """Which tasks to fine-tune on, how often, and how."""

    tasks: tuple[GivenTask, ...] = Field(min_length=1)
    """Names of published tasks, or tasks of your own with their files."""
    data: str | None = None
    """Folder or URI with the published GLUE tsv, SQuAD JSON, CoNLL columns; null takes the Hub."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    """One fine-tuning per seed; the paper reports the median of 10."""
    baselines: tuple[Literal["random"], ...] = ("random",)
    """Other starting weights to fine-tune alike, so that the table shows what pre-training gave."""
    recipe: Recipe = "google"
    """Where values that are null come from: google, the published code, or paper, its table 7."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; null is the recipe's for the model's size."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Factor of the learning rate from each layer to the one below; null is the recipe's."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Decoupled weight decay; null is the recipe's."""
    loss_reduction: Literal["sum", "mean"] | None = None
    """How the losses of a batch are joined before gradients are clipped; null is the recipe's."""
    adam_bias_correction: bool | None = None
    """Whether Adam's first steps are corrected for moments that start at 0; null is the recipe's.
    Without it they are up to 6.6 times as long, which short runs and small models do not survive
    at higher rates (Zhang et al. 2021, arXiv:2006.05987, section 4)."""
    warmup_fraction: float = Field(default=0.1, ge=0, le=1)  # table 7; configure_finetuning.py:60
    """Fraction of the steps over which the learning rate rises."""
    max_gradient_norm: float = Field(default=1.0, gt=0)  # model/optimization.py:63
    """Norm to which all gradients together are clipped."""
    batch_examples: int = Field(default=32, ge=1)  # table 7; configure_finetuning.py:73
    """Examples of one optimizer step."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; null is the task's own number."""
    max_length: int | None = Field(default=None, ge=16)
    """Longest input in tokens; null is the task's own, or less where the model takes less."""
    keep_models: Literal["none", "first-seed", "all"] = "first-seed"
    """Which fine-tuned models stay on disk; first-seed keeps one pre-trained one for each task."""

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: tuple[GivenTask, ...]) -> tuple[GivenTask, ...]:
        _distinct("tasks", [find_task(task).name for task in tasks])
        return tasks

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        _distinct("seeds", seeds)
        if min(seeds) < 0:
            raise ValueError(f"seed {min(seeds)} is negative; seeds count from 0")
        return seeds


def _distinct(key: str, values: Any) -> None:
    twice = {value for value in values if list(values).count(value) > 1}
    if twice:
        raise ValueError(f"finetune.{key}: {sorted(twice)[0]!r} is there twice; keep one")


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


def plan(config: FinetuneConfig, model: Artifact, *, root: str, name: str) -> list[Leg]:
    """All legs, the longest first, with every task's data read and checked.

    Raises ValueError, before any leg has started, for a missing file, a wrong column, a label
    outside the set, or a length that the model does not take.
    """
    architecture = transformers.ElectraConfig.from_pretrained(model.local_folder(MODEL_FOLDER))
    shape = EncoderShape.of(architecture)
    data = _data_folder(config)
    legs = []
    for task in _tasks(config):
        loaded = load(task, data)
        hyperparameters = resolve(config, task, architecture)
        cost = shape.cost((example.content for example in loaded.train), hyperparameters)
        starts: tuple[Start, ...] = ("pretrained", *config.baselines)
        for start in starts:
            for seed in config.seeds:
                is_first = start == "pretrained" and seed == config.seeds[0]
                legs.append(
                    Leg(
                        run=name,
                        root=_absolute(root),
                        task=task,
                        data=data,
                        start=start,
                        seed=seed,
                        model=_absolute(str(model.folder)),
                        model_fingerprint=model.fingerprint,
                        hyperparameters=hyperparameters,
                        digests=loaded.digests,
                        keep_model=config.keep_models == "all"
                        or (config.keep_models == "first-seed" and is_first),
                        cost=cost,
                    )
                )
    return longest_first(legs)


def resolve(config: FinetuneConfig, task: Task, architecture: Any) -> Hyperparameters:
    """The values that a task is fine-tuned with. Raises ValueError if the model is too short."""
    width = architecture.hidden_size  # table 6: 256, 768, 1024
    size: Size = "small" if width < 768 else "base" if width < 1024 else "large"
    recipe = RECIPES[config.recipe][size]
    positions = architecture.max_position_embeddings
    if config.max_length is not None and config.max_length > positions:
        raise ValueError(
            f"finetune.max_length is {config.max_length}, but the model has {positions} positions; "
            f"set it to {positions} or less"
        )
    given = {key: getattr(config, key, None) for key in recipe}
    return Hyperparameters(
        **{key: recipe[key] if value is None else value for key, value in given.items()},
        warmup_fraction=config.warmup_fraction,
        batch_examples=config.batch_examples,
        epochs=config.epochs or task.epochs,
        max_length=config.max_length or min(task.max_length, positions),
        max_gradient_norm=config.max_gradient_norm,
    )


def _data_folder(config: FinetuneConfig) -> str | None:
    return None if config.data is None else _absolute(config.data)


def _tasks(config: FinetuneConfig) -> Iterator[Task]:
    for given in config.tasks:
        task = find_task(given)
        files = {split: _absolute_file(file) for split, file in task.files.items()}
        yield task.model_copy(update={"files": files})


def _absolute(uri: str) -> str:
    """A local path made absolute: a worker's working directory is another one."""
    return uri if "://" in uri or "::" in uri else str(Path(uri).expanduser().absolute())


def _absolute_file(file: str | UrlFile | PackageFile) -> str | UrlFile | PackageFile:
    match file:
        case str():
            return _absolute(file)
        case UrlFile():
            return file.model_copy(update={"url": _absolute(file.url)})
        case PackageFile():
            return file
