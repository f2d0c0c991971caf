"""Tasks in a configuration: a published one by its name, or the user's own by its files."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.files import FileReference
from electra_pipeline.inputs.formats import Format
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.task import (
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
    """Return a number as text. Raises ValueError for a boolean: YAML's no, off, yes or on."""
    if isinstance(given, bool):
        raise ValueError(
            f"invalid label: expected text, got {given}, which YAML reads for no, off, yes or on; "
            "quote the label"
        )
    return str(given) if isinstance(given, int | float) else given


Label = Annotated[str, BeforeValidator(_label)]
FileReferences = Annotated[
    Annotated[FileReference, Tag("one")]
    | Annotated[tuple[FileReference, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda given: "several" if isinstance(given, list | tuple) else "one"),
]


def _check_metrics(kind: Kind, metrics: Sequence[str]) -> None:
    from electra_pipeline.tasks.kinds.metrics import METRICS  # imports NumPy

    if unknown := sorted(set(metrics) - set(METRICS[kind])):
        allowed = ", ".join(METRICS[kind])
        raise ValueError(f"invalid metrics for {kind}: expected some of {allowed}, got {unknown}")


class UserTask(Config):
    """A user's own task, defined by its files."""

    name: TaskName
    """Name of the task in the results table."""
    type: Kind
    """Prediction: a class, a number, a tag for each word, an answer span, or one of the choices."""
    train: FileReferences
    """Training file or files, each a path, pattern or URL, one with its digest, or a data file in a
    PyPI wheel. For classification also a folder with one folder of text files for each class."""
    validation: FileReferences | None = None
    """Validation file or files; null takes a part of train, chosen by content hash."""
    test: FileReferences | None = None
    """Test file or files; they are scored, or predicted only if they have no labels."""
    format: Format = "auto"
    """Format of the files; auto infers it from the suffix. CoNLL columns need no format."""
    encoding: str = "utf-8"
    """Character encoding of the files."""
    text_column: Column | None = None
    """Column with the text; null is `text`, for tagging the first column (`tokens` in records)."""
    pair_column: Column | None = None
    """Column with the second text of a pair, or with a prefix of each choice; null: none."""
    label_column: Column | None = None
    """Column with the label; null is `label`, for tagging the last column (`tags` in records). The
    label of a plain text file with one text a line is in its name (rt-polarity.neg)."""
    choice_columns: tuple[Column, ...] | None = Field(default=None, min_length=1)
    """Columns with the choices, or one column with a list; null is `choices`. The label is the
    number of the right choice from 0, its letter, or its name (ARC's `{"text", "label"}`)."""
    labels: tuple[Label, ...] | None = None
    """Allowed labels, in the order of the classes; null takes those of train, sorted. Numbers from
    0 in the files are indexes of these names."""
    label_values: tuple[Label, ...] | None = None
    """Values in the files for the labels, in the same order; null: the labels themselves."""
    other_labels: Literal["error", "drop"] = "error"
    """Rows with a label that is not allowed: raise an error, or drop and count them."""
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Metrics to report, the main one first; null reports those that suit the type and the data
    (for tags that are not chunks, accuracy only). One that does not suit the data is an error."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    max_length: int = Field(default=128, ge=16)
    """Longest input in tokens; longer texts are cut, longer sentences and contexts windowed."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of train that becomes the validation split without a validation file."""
    calibration_fraction: float = Field(default=0.05, gt=0, lt=1)
    """Fraction of the contexts of train held out to calibrate the no-answer threshold."""
    max_examples: int | None = Field(default=None, ge=2)
    """Most examples to keep of each split, chosen by content hash; null keeps all."""

    @model_validator(mode="after")
    def _check(self) -> "UserTask":
        if self.name in TASKS:
            raise ValueError(f"{self.name!r} is the name of a published task; choose another one")
        if self.metrics:
            _check_metrics(self.type, self.metrics)
        if self.labels is not None and len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError(
                f"invalid labels: expected two or more different ones, got {list(self.labels)}"
            )
        if self.labels is not None and self.type not in ("classification", "tagging"):
            raise ValueError(f"labels are not for {self.type}; leave them out")
        if self.label_values is not None and len(self.label_values) != len(self.labels or ()):
            raise ValueError("label_values and labels differ in number; give one for each label")
        if self.choice_columns is not None and self.type != "multiple-choice":
            raise ValueError(f"choice_columns are not for {self.type}; leave them out")
        columns = [self.text_column, self.pair_column, self.label_column]
        columns += self.choice_columns or ()
        for column in columns:
            if column is not None and columns.count(column) > 1:
                raise ValueError(
                    f"the column {column!r} is named twice among text_column, pair_column, "
                    "label_column and choice_columns; each needs its own"
                )
        return self

    def as_task(self) -> Task:
        """Return the same task in the form of the published ones."""
        in_columns = self.type == "tagging"
        text, label = (0, -1) if in_columns else ("text", "label")
        files = {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}
        shared = set(UserTask.model_fields) & set(Task.model_fields)  # they mean the same in both
        return Task(
            **{name: getattr(self, name) for name in shared},
            columns=Columns(
                text=text if self.text_column is None else self.text_column,
                pair=self.pair_column,
                label=label if self.label_column is None else self.label_column,
                choices=self.choice_columns or ("choices",),
            ),
            files={
                split: file if isinstance(file, tuple) else (file,)
                for split, file in files.items()
                if file is not None
            },
        )


GivenTask = Annotated[
    Annotated[str, Tag("str")] | Annotated[UserTask, Tag("UserTask")],
    Discriminator(lambda given: "UserTask" if isinstance(given, dict | UserTask) else "str"),
]


def find_task(given: str | UserTask) -> Task:
    """Return the published task of that name, or the user's own. Raises ValueError if unknown."""
    if isinstance(given, UserTask):
        return given.as_task()
    if given not in TASKS:
        raise ValueError(
            f"finetune.tasks: unknown task {given!r}; choose from {', '.join(TASKS)}, "
            "or give name, type and train of a task of your own"
        )
    return TASKS[given]
