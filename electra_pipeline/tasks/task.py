"""Tasks: type, labels, metrics, and the sources of their data."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import StringConstraints

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.files import FileReference
from electra_pipeline.inputs.formats import Format

Kind = Literal["classification", "regression", "tagging", "question-answering", "multiple-choice"]
TaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Column = int | str

TRAIN, VALIDATION, TEST = "train", "validation", "test"

NumRows = Mapping[str, tuple[int, ...]]
"""Number of examples of each split, in each of its published versions."""


def sizes(train: int, validation: int | None, test: int) -> NumRows:
    """Return the numbers of rows of a task with one version; None: it has no such split."""
    splits = {TRAIN: train, VALIDATION: validation, TEST: test}
    return {split: (size,) for split, size in splits.items() if size is not None}


class Columns(Config):
    """The columns of a row: names, or positions in a file without a header row."""

    text: Column = "text"
    pair: Column | None = None
    label: Column = "label"
    choices: tuple[Column, ...] = ("choices",)
    """For multiple choice: one column for each choice, or one with a list. The pair column is then
    a prefix of each choice (SWAG's second sentence)."""


class HubDataset(Config):
    """A task's dataset on the Hugging Face Hub."""

    path: str
    config: str | None = None
    revision: str | None = None
    columns: Columns = Columns()
    splits: Mapping[str, str] = {TRAIN: "train", VALIDATION: "validation"}
    unlabelled: Mapping[str, tuple[str | None, str]] = {}
    """Configuration and split of the splits that are predicted, not scored."""


class Published(Config):
    """The file layout in which a task's authors distribute it, with alternative names."""

    folders: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    unlabelled: Mapping[str, str] = {}
    """Paths of the splits that are predicted, not scored; they may be absent."""
    unlabelled_columns: Columns | None = None
    """Their columns; None: those of the task."""
    encodings: tuple[str, ...] = ("utf-8",)
    """Tried in turn; the CoNLL-2002 files were published in Latin-1."""


class Task(Config):
    """A labelled dataset and its metrics."""

    name: TaskName
    type: Kind
    metrics: tuple[str, ...] | None = None
    """Metrics to report, the main one first; None: those that suit its data."""
    epochs: float = 3.0  # ELECTRA paper, table 7: 10 for RTE and STS, 2 for SQuAD, 3 for the rest
    max_length: int = 128  # configure_finetuning.py:72, 139, 144: 128 GLUE, 512 SQuAD, 256 chunking
    columns: Columns = Columns()
    labels: tuple[str, ...] | None = None
    """Names of the classes, in the order of the Hub's class indexes; None: those of train."""
    label_values: tuple[str, ...] | None = None
    """Values in the files for these names, in the same order."""
    other_labels: Literal["error", "drop"] = "error"
    short_rows: Literal["error", "drop"] = "error"
    symmetric: bool = False
    """Whether the order of a pair is irrelevant; training uses both (double_unordered)."""
    published: Published | None = None
    hub: HubDataset | None = None
    num_rows: Mapping[str, tuple[int, ...]] = {}
    files: Mapping[str, tuple[FileReference, ...]] = {}
    """The user's files of each split; they take precedence over the published layout."""
    format: Format = "auto"
    encoding: str | None = None
    validation_fraction: float = 0.1
    """Fraction of train that becomes the validation split if there is none."""
    calibration_fraction: float = 0.05
    """Fraction of the contexts of train held out to calibrate the no-answer threshold."""
    max_examples: int | None = None
