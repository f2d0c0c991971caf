"""Configuration of fine-tuning: tasks, seeds, baselines, hyperparameters."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.core.schedule import Schedule
from electra_pipeline.finetuning.recipes import Recipe
from electra_pipeline.finetuning.trial import MAJORITY, PRETRAINED, RANDOM
from electra_pipeline.results.pretraining import TASK as PRETRAINING
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.catalog.user_task import GivenTask, find_task

SelectBy = Literal["median", "best"]
GridKey = Literal[
    "learning_rate",
    "layer_decay",
    "weight_decay",
    "warmup_fraction",
    "max_gradient_norm",
    "batch_examples",
    "epochs",
    "max_length",
]


class FinetuneConfig(Config):
    """Tasks to fine-tune on, with seeds, baselines and hyperparameters."""

    tasks: tuple[GivenTask, ...] = Field(min_length=1)
    """Names of published tasks, or your own tasks with their files."""
    data: str | None = None
    """Folder or URI with published GLUE tsv, SQuAD JSON or CoNLL files; null: the Hub."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    """One trial per seed; the paper reports the median of 10."""
    baselines: tuple[str, ...] = (RANDOM,)
    """Models to fine-tune in the same way for comparison: random (the same architecture with random
    weights), or any other by hub name, folder or URI. Their rows have this name."""
    intermediate: Mapping[str, str] = {}
    """Two rounds: `{rte: mnli}` starts RTE from the encoder fine-tuned on MNLI with the same seed.
    The first round runs and is recorded even if its task is not in `tasks`."""
    recipe: Recipe = "google"
    """Source of the values that are null: google, the published code, or paper, its table 7."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; null is the recipe's for the model's size."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Factor of the learning rate from each layer to the one below; null is the recipe's."""
    layer_extra_exponent: int | None = Field(default=None, ge=0)
    """Additional power of layer_decay on everything but the head; null is the recipe's."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Decoupled weight decay; null is the recipe's."""
    loss_reduction: Literal["sum", "mean"] | None = None
    """Reduction of a batch's losses before gradients are clipped; null is the recipe's."""
    adam_bias_correction: bool | None = None
    """Whether Adam's first steps are corrected for moments that start at 0; null is the recipe's.
    Without it they are up to 6.6 times as long, and short runs and small models fail at higher
    learning rates (Zhang et al. 2021, arXiv:2006.05987, section 4)."""
    warmup_fraction: float = Field(default=0.1, ge=0, le=1)  # table 7; configure_finetuning.py:60
    """Fraction of the steps in which the learning rate rises."""
    schedule: Schedule = "linear"  # table 7
    """Schedule of the learning rate after warmup."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)  # table 7; model/optimization.py:50-56
    """Decay rate of Adam's mean of gradients."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay rate of Adam's mean of squared gradients."""
    adam_epsilon: float = Field(default=1e-6, gt=0)
    """Constant added to Adam's denominator."""
    max_gradient_norm: float = Field(default=1.0, gt=0)  # model/optimization.py:63
    """Maximum norm of all gradients together; larger ones are clipped."""
    batch_examples: int = Field(default=32, ge=1)  # table 7; configure_finetuning.py:73
    """Examples per optimizer step."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; null is the task's."""
    max_length: int | None = Field(default=None, ge=16)
    """Longest input in tokens; null is the task's, or the model's positions if these are fewer."""
    grid: Mapping[GridKey, tuple[int | float, ...]] = {}
    """Values to try of these keys: every combination is fine-tuned, the same in both rounds."""
    choose: SelectBy = "median"
    """Grid point to report for a model and task: the one whose seeds have the highest median, or
    best, of the task's first metric on validation. The note of its rows names it."""
    keep_models: Literal["none", "first-seed", "all"] = "first-seed"
    """Fine-tuned models to keep; first-seed keeps the pretrained init's first seed of each task.
    Those that a second round starts from are always kept."""

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, tasks: tuple[GivenTask, ...]) -> tuple[GivenTask, ...]:
        names = [find_task(task).name for task in tasks]
        _distinct("tasks", names)
        if PRETRAINING in names:
            raise ValueError(
                f"invalid task name {PRETRAINING!r}: the results table has the metrics of "
                "pre-training under it; choose another"
            )
        return tasks

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        _distinct("seeds", seeds)
        if min(seeds) < 0:
            raise ValueError(f"invalid seed: expected 0 or more, got {min(seeds)}")
        return seeds

    @field_validator("baselines")
    @classmethod
    def _check_baselines(cls, baselines: tuple[str, ...]) -> tuple[str, ...]:
        _distinct("baselines", baselines)
        for name in {PRETRAINED, MAJORITY, ""} & set(baselines):
            raise ValueError(
                f"invalid baseline: expected random, or a model's hub name or folder, got {name!r}"
            )
        return baselines

    @model_validator(mode="after")
    def _check_rounds(self) -> "FinetuneConfig":
        names = {find_task(task).name for task in self.tasks}
        for task, parent in self.intermediate.items():
            for name in (task, parent):
                if name not in names and name not in TASKS:
                    raise ValueError(
                        f"finetune.intermediate: unknown task {name!r}; give one of finetune.tasks "
                        "or a published one"
                    )
            if parent in self.intermediate:
                raise ValueError(
                    f"finetune.intermediate: {task} starts from {parent}, which starts from "
                    f"{self.intermediate[parent]}; only two rounds are supported"
                )
        return self

    @model_validator(mode="after")
    def _check_grid(self) -> "FinetuneConfig":
        for key, values in self.grid.items():
            if not values:
                raise ValueError(f"finetune.grid.{key}: expected at least one value")
            _distinct(f"grid.{key}", values)
            for value in values:
                point = self.model_dump(mode="json", exclude={"grid"}) | {key: value}
                try:
                    FinetuneConfig.model_validate(point)
                except ValidationError as error:
                    message = error.errors()[0]["msg"]
                    raise ValueError(f"finetune.grid.{key}: {value}: {message}") from error
        return self

    def points(self) -> Iterator[tuple[dict[str, float], "FinetuneConfig"]]:
        """Yield each combination of the grid's values with the configuration for it."""
        for combination in itertools.product(*self.grid.values()):
            point = dict(zip(map(str, self.grid), combination, strict=True))
            yield point, self.model_copy(update=point)


def _distinct(key: str, values: Sequence[Any]) -> None:
    twice = {value for value in values if list(values).count(value) > 1}
    if twice:
        raise ValueError(f"finetune.{key}: {sorted(twice)[0]!r} is listed twice; keep one")
