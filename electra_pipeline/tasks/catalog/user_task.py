"""Which task a user means: a published one by its name, or one of their own by its files."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.files import FileReference
from electra_pipeline.inputs.records import Format
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.task import (
    METRICS,
    TEST,
    TRAIN,
    VALIDATION,
    Column,
    Columns,
    Kind,
    Task,
    TaskName,
)


def _label(given: Any) -> Any:
    """Numbers as texts. Raises ValueError for what YAML 1.1 makes of no, off, yes and on."""
    if isinstance(given, bool):
        raise ValueError(f"{given} is what YAML makes of no, off, yes or on; quote the label")
    return str(given) if isinstance(given, int | float) else given


Label = Annotated[str, BeforeValidator(_label)]
FileReferences = Annotated[
    Annotated[FileReference, Tag("one")]
    | Annotated[tuple[FileReference, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
]


class UserTask(Config):
    """A task of the user's own, given by its files."""

    name: TaskName
    """Names the task in the results table."""
    type: Kind
    """What is predicted: a class, a number, a tag for each word, a span that answers, a choice."""
    train: FileReferences
    """File to train on: a path, pattern or URL, one with its digest, or a data file in a PyPI
    wheel; or several. Of texts with a class also a folder with a folder of files for each class."""
    validation: FileReferences | None = None
    """File to score on, or several; null takes a part of train, chosen by content hash."""
    test: FileReferences | None = None
    """File to score on as well, as split test, or several; what has no labels is predicted."""
    format: Format = "auto"
    """Format of the files; auto goes by their suffix. Tagging files in columns need no format."""
    encoding: str = "utf-8"
    """Character encoding of the files."""
    text_column: Column | None = None
    """Column of the text; null is `text`, or for tagging the first column (`tokens` in records)."""
    pair_column: Column | None = None
    """Column of the second text of a pair, or of what begins each choice; null: there is none."""
    label_column: Column | None = None
    """Column of the label; null is `label`, or for tagging the last column (`tags` in records). Of
    plain text with a class a line has no label: the file's name holds it (rt-polarity.neg)."""
    choice_columns: tuple[Column, ...] | None = Field(default=None, min_length=1)
    """Columns of the choices, or the one that lists them; null is `choices`. The label is then the
    number of the right one from 0, its letter, or its name (ARC's `{"text", "label"}`)."""
    labels: tuple[Label, ...] | None = None
    """Allowed labels, in the order of the classes; null takes those that train has, sorted. Names
    stand for the numbers from 0 where files have these."""
    label_values: tuple[Label, ...] | None = None
    """What files have in place of the labels, in the same order; null is labels themselves."""
    other_labels: Literal["error", "drop"] = "error"
    """What becomes of rows whose label is not allowed: refuse the file, or drop and count them."""
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Scores to report, the task's own first; null reports those that suit the type and the data
    (tags that mark no chunks have accuracy alone). One that the data does not have is refused."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    max_length: int = Field(default=128, ge=16)
    """Longest input in tokens; longer texts are cut, longer sentences and contexts are windowed."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of train that becomes the validation split when no validation file is given."""
    calibration_fraction: float = Field(default=0.05, gt=0, lt=1)
    """Fraction of the contexts of train, not trained on, that choose when to answer nothing."""
    max_examples: int | None = Field(default=None, ge=2)
    """Largest number of examples to keep of each file, chosen by content hash; null keeps all."""

    @model_validator(mode="after")
    def _check(self) -> "UserTask":
        if self.name in TASKS:
            raise ValueError(f"{self.name!r} is the name of a published task; choose another")
        unknown = sorted(set(self.metrics or ()) - set(METRICS[self.type]))
        if unknown:
            allowed = ", ".join(METRICS[self.type])
            raise ValueError(f"metrics {unknown} are not for {self.type}; choose from {allowed}")
        if self.labels is not None and len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError(f"labels {list(self.labels)} must be two or more different ones")
        if self.labels is not None and self.type not in ("classification", "tagging"):
            raise ValueError(f"labels are not for {self.type}; leave them out")
        if self.label_values is not None and len(self.label_values) != len(self.labels or ()):
            raise ValueError("label_values must be as many as labels, in the same order")
        if self.choice_columns is not None and self.type != "multiple-choice":
            raise ValueError(f"choice_columns are not for {self.type}; leave them out")
        named = [
            self.text_column,
            self.pair_column,
            self.label_column,
            *(self.choice_columns or ()),
        ]
        twice = [column for column in named if column is not None and named.count(column) > 1]
        if twice:
            raise ValueError(
                f"the column {twice[0]!r} is named twice among text_column, pair_column, "
                "label_column and choice_columns; each needs its own"
            )
        return self

    def as_task(self) -> Task:
        """The same in the form that the published tasks have."""
        in_columns = self.type == "tagging"
        text = self.text_column if self.text_column is not None else (0 if in_columns else "text")
        label = (
            self.label_column if self.label_column is not None else (-1 if in_columns else "label")
        )
        given = {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}
        return Task(
            name=self.name,
            type=self.type,
            metrics=self.metrics,
            epochs=self.epochs,
            max_length=self.max_length,
            columns=Columns(
                text=text,
                pair=self.pair_column,
                label=label,
                choices=self.choice_columns or ("choices",),
            ),
            labels=self.labels,
            label_values=self.label_values,
            other_labels=self.other_labels,
            files={
                split: file if isinstance(file, tuple) else (file,)
                for split, file in given.items()
                if file is not None
            },
            format=self.format,
            encoding=self.encoding,
            validation_fraction=self.validation_fraction,
            calibration_fraction=self.calibration_fraction,
            max_examples=self.max_examples,
        )


GivenTask = Annotated[
    Annotated[str, Tag("str")] | Annotated[UserTask, Tag("UserTask")],
    Discriminator(lambda given: "UserTask" if isinstance(given, dict | UserTask) else "str"),
]


def find_task(given: str | UserTask) -> Task:
    """The task of that name, or the user's own. Raises ValueError for an unknown name."""
    if isinstance(given, UserTask):
        return given.as_task()
    if given not in TASKS:
        raise ValueError(
            f"finetune.tasks: unknown task {given!r}; choose from {', '.join(TASKS)}, "
            "or give name, type and train of a task of your own"
        )
    return TASKS[given]
