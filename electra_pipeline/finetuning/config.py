"""Which tasks a model is fine-tuned on, how often, and how."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.core.optim import Schedule
from electra_pipeline.finetuning.grid_selection import SelectBy
from electra_pipeline.finetuning.recipes import Recipe
from electra_pipeline.finetuning.trial import MAJORITY, PRETRAINED, RANDOM
from electra_pipeline.results.pretraining import TASK as PRETRAINING
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.catalog.user_task import GivenTask, find_task

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
    """Which tasks to fine-tune on, how often, and how."""

    tasks: tuple[GivenTask, ...] = Field(min_length=1)
    """Names of published tasks, or tasks of your own with their files."""
    data: str | None = None
    """Folder or URI with the published GLUE tsv, SQuAD JSON, CoNLL columns; null takes the Hub."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    """One fine-tuning per seed; the paper reports the median of 10."""
    baselines: tuple[str, ...] = (RANDOM,)
    """Models to fine-tune alike, to stand beside the one under test: random (its architecture with
    random weights), and any other by hub name, folder or URI. Their rows bear the name given."""
    intermediate: Mapping[str, str] = {}
    """Two rounds: `{rte: mnli}` starts RTE from the encoder fine-tuned on MNLI with the same seed.
    The first round is run, and recorded, even if its task is not among `tasks`."""
    recipe: Recipe = "google"
    """Where values that are null come from: google, the published code, or paper, its table 7."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate; null is the recipe's for the model's size."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Factor of the learning rate from each layer to the one below; null is the recipe's."""
    layer_extra_exponent: int | None = Field(default=None, ge=0)
    """Additional power of layer_decay on everything but the head; null is the recipe's."""
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
    schedule: Schedule = "linear"  # table 7
    """How the learning rate goes on after its rise."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)  # table 7; model/optimization.py:50-56
    """Decay of Adam's mean of gradients."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of Adam's mean of squared gradients."""
    adam_epsilon: float = Field(default=1e-6, gt=0)
    """What is added to the root of the squares."""
    max_gradient_norm: float = Field(default=1.0, gt=0)  # model/optimization.py:63
    """Norm to which all gradients together are clipped."""
    batch_examples: int = Field(default=32, ge=1)  # table 7; configure_finetuning.py:73
    """Examples of one optimizer step."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; null is the task's own number."""
    max_length: int | None = Field(default=None, ge=16)
    """Longest input in tokens; null is the task's own, or less where the model takes less."""
    grid: Mapping[GridKey, tuple[int | float, ...]] = {}
    """Values to try of some of the above: every combination is fine-tuned, in both rounds alike."""
    choose: SelectBy = "median"
    """Which point of the grid is reported for a model and task: the one whose seeds have the
    highest median, or best, of the task's first metric on validation. Its rows' note tells."""
    keep_models: Literal["none", "first-seed", "all"] = "first-seed"
    """Which fine-tuned models stay on disk; first-seed keeps one pre-trained one for each task.
    Those that a second round starts from stay in any case."""

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: tuple[GivenTask, ...]) -> tuple[GivenTask, ...]:
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
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        _distinct("seeds", seeds)
        if min(seeds) < 0:
            raise ValueError(f"seed {min(seeds)} is negative; seeds count from 0")
        return seeds

    @field_validator("baselines")
    @classmethod
    def _others(cls, baselines: tuple[str, ...]) -> tuple[str, ...]:
        _distinct("baselines", baselines)
        for name in {PRETRAINED, MAJORITY, ""} & set(baselines):
            raise ValueError(
                f"{name!r} is in the table anyway; give random, or a model's hub name or folder"
            )
        return baselines

    @model_validator(mode="after")
    def _two_rounds(self) -> "FinetuneConfig":
        names = {find_task(task).name for task in self.tasks}
        for task, parent in self.intermediate.items():
            for name in (task, parent):
                if name not in names and name not in TASKS:
                    raise ValueError(
                        f"finetune.intermediate: unknown task {name!r}; name one of tasks or a "
                        "published one"
                    )
            if parent in self.intermediate:
                raise ValueError(
                    f"finetune.intermediate: {task} starts from {parent}, which starts from "
                    f"{self.intermediate[parent]}; there are two rounds"
                )
        return self

    @model_validator(mode="after")
    def _each_point(self) -> "FinetuneConfig":
        for key, values in self.grid.items():
            if not values:
                raise ValueError(f"finetune.grid.{key}: expected at least one value")
            _distinct(f"grid.{key}", values)
            for value in values:
                given = self.model_dump(mode="json", exclude={"grid"}) | {key: value}
                try:
                    FinetuneConfig.model_validate(given)
                except ValidationError as error:
                    told = error.errors()[0]["msg"]
                    raise ValueError(f"finetune.grid.{key}: {value}: {told}") from error
        return self

    def points(self) -> Iterator[tuple[dict[str, float], "FinetuneConfig"]]:
        """Each combination of the grid's values, and the configuration that it makes."""
        for combination in itertools.product(*self.grid.values()):
            point = dict(zip(map(str, self.grid), combination, strict=True))
            yield point, self.model_copy(update=point)


def _distinct(key: str, values: Sequence[Any]) -> None:
    twice = {value for value in values if list(values).count(value) > 1}
    if twice:
        raise ValueError(f"finetune.{key}: {sorted(twice)[0]!r} is there twice; keep one")
