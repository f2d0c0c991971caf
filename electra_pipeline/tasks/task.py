"""What a task is: kind, labels, scores, and where its data may lie."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import StringConstraints

from electra_pipeline.core.identity import Config
from electra_pipeline.inputs.files import FileReference
from electra_pipeline.inputs.records import Format

Kind = Literal["classification", "regression", "tagging", "question-answering", "multiple-choice"]
TaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Column = int | str

TRAIN, VALIDATION, TEST = "train", "validation", "test"

NumRows = Mapping[str, tuple[int, ...]]
"""Published number of examples of each split, one for each published version of it."""


def sizes(train: int, validation: int | None, test: int) -> NumRows:
    """The numbers of the usual splits, of one version; None: there is no such split."""
    splits = {TRAIN: train, VALIDATION: validation, TEST: test}
    return {split: (size,) for split, size in splits.items() if size is not None}


class Columns(Config):
    """Where a row keeps what: column names, or positions in a file without a header row."""

    text: Column = "text"
    pair: Column | None = None
    label: Column = "label"
    choices: tuple[Column, ...] = ("choices",)
    """For multiple choice: a column for each, or the one that lists them. What the pair column
    holds then begins each choice (SWAG's second sentence)."""


class HubDataset(Config):
    """Where the Hugging Face Hub keeps a task."""

    path: str
    config: str | None = None
    revision: str | None = None
    columns: Columns = Columns()
    splits: Mapping[str, str] = {TRAIN: "train", VALIDATION: "validation"}
    unlabelled: Mapping[str, tuple[str | None, str]] = {}
    """Configuration and split of what is predicted and not scored."""


class Published(Config):
    """The layout in which a task's authors distribute it; each split has alternative file names."""

    folders: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    unlabelled: Mapping[str, str] = {}
    """What is predicted and not scored, each as folder and file name; they may be absent."""
    unlabelled_columns: Columns | None = None
    """Their columns; null is those of the task."""
    encodings: tuple[str, ...] = ("utf-8",)
    """Tried in turn; the CoNLL-2002 files were Latin-1 when they were published."""


class Task(Config):
    """A labelled data set and how it is scored."""

    name: TaskName
    type: Kind
    metrics: tuple[str, ...] | None = None
    """Scores to report, the task's own first; null takes those that suit its data."""
    epochs: float = 3.0  # ELECTRA paper, table 7: 10 for RTE and STS, 2 for SQuAD, 3 for the rest
    max_length: int = 128  # configure_finetuning.py:72, 139, 144: 128 GLUE, 512 SQuAD, 256 chunking
    columns: Columns = Columns()
    labels: tuple[str, ...] | None = None
    """Names of the classes, in the order of the Hub's class indexes; null takes them from train."""
    label_values: tuple[str, ...] | None = None
    """What the files have in place of the names, in the same order."""
    other_labels: Literal["error", "drop"] = "error"
    short_rows: Literal["error", "drop"] = "error"
    symmetric: bool = False
    """Whether the order of a pair means nothing; training sees both (double_unordered)."""
    published: Published | None = None
    hub: HubDataset | None = None
    num_rows: Mapping[str, tuple[int, ...]] = {}
    files: Mapping[str, tuple[FileReference, ...]] = {}
    """Explicit files of each split; they take precedence over the published layout."""
    format: Format = "auto"
    encoding: str | None = None
    validation_fraction: float = 0.1
    """Part of train that becomes the validation split where there is none."""
    calibration_fraction: float = 0.05
    """Part of the contexts of train, not trained on, that choose when to answer nothing."""
    max_examples: int | None = None
