"""What a task is, the published ones as rows of a table, and a task of the user's own."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from electra_pipeline.evaluation.metrics import (
    CLASSIFICATION_METRICS,
    QUESTION_METRICS,
    REGRESSION_METRICS,
    TAGGING_METRICS,
)
from electra_pipeline.files import FileReference
from electra_pipeline.identity import Config
from electra_pipeline.records import Format

Kind = Literal["classification", "regression", "tagging", "question-answering"]
TaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Column = int | str

METRICS: Mapping[Kind, tuple[str, ...]] = {
    "classification": CLASSIFICATION_METRICS,
    "regression": REGRESSION_METRICS,
    "tagging": TAGGING_METRICS,
    "question-answering": QUESTION_METRICS,
}
DEFAULT_METRICS: Mapping[Kind, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "regression": REGRESSION_METRICS,
    "tagging": TAGGING_METRICS,
    "question-answering": ("exact_match", "f1"),
}

TRAIN, VALIDATION = "train", "validation"


class Columns(Config):
    """Where a row keeps what: column names, or positions in a file without a header row."""

    text: Column = "text"
    pair: Column | None = None
    label: Column = "label"


class HubDataset(Config):
    """Where the Hugging Face Hub keeps a task."""

    path: str
    config: str | None = None
    revision: str | None = None
    columns: Columns = Columns()
    splits: Mapping[str, str] = {TRAIN: "train", VALIDATION: "validation"}


class Published(Config):
    """The layout in which a task's authors distribute it; each split has alternative file names."""

    folders: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    encodings: tuple[str, ...] = ("utf-8",)
    """Tried in turn; the CoNLL-2002 files were Latin-1 when they were published."""


class Task(Config):
    """A labelled data set and how it is scored."""

    name: TaskName
    type: Kind
    metrics: tuple[str, ...]
    epochs: float = 3.0  # ELECTRA paper, table 7: 10 for RTE and STS, 2 for SQuAD, 3 for the rest
    max_length: int = 128  # configure_finetuning.py:72, 139, 144: 128 GLUE, 512 SQuAD, 256 chunking
    columns: Columns = Columns()
    labels: tuple[str, ...] | None = None
    """Names of the classes, in the order of the Hub's class indexes; null takes them from train."""
    label_values: tuple[str, ...] | None = None
    """What the files have in place of the names, in the same order."""
    other_labels: Literal["error", "drop"] = "error"
    short_rows: Literal["error", "drop"] = "error"
    published: Published | None = None
    hub: HubDataset | None = None
    files: Mapping[str, FileReference] = {}
    """Explicit files of each split; they take precedence over the published layout."""
    format: Format = "auto"
    encoding: str | None = None
    validation_fraction: float = 0.1
    """Part of train that becomes the validation split where there is none."""
    max_examples: int | None = None


class UserTask(Config):
    """A task of the user's own, given by its files."""

    name: TaskName
    """Names the task in the results table."""
    type: Kind
    """What is predicted: a class, a number, a tag for each word, or a span that answers."""
    train: FileReference
    """File to train on: a path or URL, one with its digest, or a data file in a PyPI wheel."""
    validation: FileReference | None = None
    """File to score on; null takes a part of train, chosen by content hash."""
    format: Format = "auto"
    """Format of the files; auto goes by their suffix. Tagging files in columns need no format."""
    encoding: str = "utf-8"
    """Character encoding of the files."""
    text_column: Column | None = None
    """Column of the text; null is `text`, or for tagging the first column (`tokens` in records)."""
    pair_column: Column | None = None
    """Column of the second text of a pair; null where there is none."""
    label_column: Column | None = None
    """Column of the label; null is `label`, or for tagging the last column (`tags` in records)."""
    labels: tuple[str, ...] | None = None
    """Allowed labels; null takes those that train has."""
    other_labels: Literal["error", "drop"] = "error"
    """What becomes of rows whose label is not allowed: refuse the file, or drop and count them."""
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Scores to report; null reports the usual ones of the type."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    max_length: int = Field(default=128, ge=16)
    """Longest input in tokens; longer texts are cut, longer sentences and contexts are windowed."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of train that becomes the validation split when no validation file is given."""
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
        return self

    def as_task(self) -> Task:
        """The same in the form that the published tasks have."""
        in_columns = self.type == "tagging"
        text = self.text_column if self.text_column is not None else (0 if in_columns else "text")
        label = self.label_column if self.label_column is not None else (-1 if in_columns else "label")
        given = {TRAIN: self.train, VALIDATION: self.validation}
        return Task(
            name=self.name,
            type=self.type,
            metrics=self.metrics or DEFAULT_METRICS[self.type],
            epochs=self.epochs,
            max_length=self.max_length,
            columns=Columns(text=text, pair=self.pair_column, label=label),
            labels=self.labels,
            other_labels=self.other_labels,
            files={split: file for split, file in given.items() if file is not None},
            format=self.format,
            encoding=self.encoding,
            validation_fraction=self.validation_fraction,
            max_examples=self.max_examples,
        )


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


def _glue(
    name: str,
    folder: str,
    columns: Columns,
    hub_columns: Columns,
    labels: tuple[str, ...] | None,
    *,
    label_values: tuple[str, ...] | None = None,
    metrics: tuple[str, ...] = ("accuracy",),
    kind: Kind = "classification",
    epochs: float = 3.0,
    files: Mapping[str, tuple[str, ...]] | None = None,
    hub_splits: Mapping[str, str] | None = None,
    short_rows: Literal["error", "drop"] = "error",
) -> Task:
    return Task(
        name=name,
        type=kind,
        metrics=metrics,
        epochs=epochs,
        columns=columns,
        labels=labels,
        label_values=label_values,
        format="tsv",
        short_rows=short_rows,
        published=Published(
            folders=(folder,), files=files or {TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",)}
        ),
        hub=HubDataset(
            path="nyu-mll/glue",
            config=name,
            columns=hub_columns,
            **({"splits": hub_splits} if hub_splits else {}),
        ),
    )


def _sentences(first: Column, second: Column | None, label: Column = "label") -> Columns:
    return Columns(text=first, pair=second, label=label)


def _conll(
    name: str,
    folders: tuple[str, ...],
    files: Mapping[str, tuple[str, ...]],
    hub: HubDataset,
    encodings: tuple[str, ...] = ("utf-8",),
) -> Task:
    return Task(
        name=name,
        type="tagging",
        metrics=TAGGING_METRICS,
        max_length=256,
        columns=Columns(text=0, label=-1),
        published=Published(folders=folders, files=files, encodings=encodings),
        hub=hub,
    )


def _conll_hub(path: str, config: str | None, label: str, validation: bool = True) -> HubDataset:
    splits = {TRAIN: "train", "test": "test"} | ({VALIDATION: "validation"} if validation else {})
    return HubDataset(
        path=path,
        config=config,
        # These data sets are loading scripts, which datasets 4 and later refuse; the Hub converts them.
        revision="refs/convert/parquet",
        columns=Columns(text="tokens", label=label),
        splits=splits,
    )


_ZERO_ONE = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MATCHED = {TRAIN: ("train.tsv",), VALIDATION: ("dev_matched.tsv",)}
_MISMATCHED = {"validation_mismatched": ("dev_mismatched.tsv",)}

_TASKS = (
    _glue(
        "cola",
        "CoLA",
        Columns(text=3, label=1),  # train and dev have no header row
        _sentences("sentence", None),
        ("unacceptable", "acceptable"),
        label_values=_ZERO_ONE,
        metrics=("matthews", "accuracy"),
    ),
    _glue(
        "sst2",
        "SST-2",
        _sentences("sentence", None),
        _sentences("sentence", None),
        ("negative", "positive"),
        label_values=_ZERO_ONE,
    ),
    _glue(
        "mrpc",
        "MRPC",
        _sentences("#1 String", "#2 String", "Quality"),
        _sentences("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        label_values=_ZERO_ONE,
        metrics=("accuracy", "f1"),
    ),
    _glue(
        "stsb",
        "STS-B",
        _sentences("sentence1", "sentence2", "score"),
        _sentences("sentence1", "sentence2"),
        None,
        metrics=REGRESSION_METRICS,
        kind="regression",
        epochs=10.0,
    ),
    _glue(
        "qqp",
        "QQP",
        _sentences("question1", "question2", "is_duplicate"),
        _sentences("question1", "question2"),
        ("not_duplicate", "duplicate"),
        label_values=_ZERO_ONE,
        metrics=("accuracy", "f1"),
        short_rows="drop",  # the published train.tsv has a few rows that a line break tore apart
    ),
    _glue(
        "mnli",
        "MNLI",
        _sentences("sentence1", "sentence2", "gold_label"),
        _sentences("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        files=_MATCHED | _MISMATCHED,
        hub_splits={
            TRAIN: "train",
            VALIDATION: "validation_matched",
            "validation_mismatched": "validation_mismatched",
        },
    ),
    _glue(
        "qnli",
        "QNLI",
        _sentences("question", "sentence"),
        _sentences("question", "sentence"),
        _ENTAILMENT,
    ),
    _glue(
        "rte",
        "RTE",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        _ENTAILMENT,
        epochs=10.0,
    ),
    _glue(
        "wnli",
        "WNLI",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        ("not_entailment", "entailment"),
        label_values=_ZERO_ONE,
    ),
    _conll(
        "conll2000",
        ("conll2000",),
        {TRAIN: ("train.txt",), "test": ("test.txt",)},
        _conll_hub("eriktks/conll2000", None, "chunk_tags", validation=False),
    ),
    _conll(
        "conll2002-es",
        ("conll2002-es", "conll2002"),
        {TRAIN: ("esp.train",), VALIDATION: ("esp.testa",), "test": ("esp.testb",)},
        _conll_hub("eriktks/conll2002", "es", "ner_tags"),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2002-nl",
        ("conll2002-nl", "conll2002"),
        {TRAIN: ("ned.train",), VALIDATION: ("ned.testa",), "test": ("ned.testb",)},
        _conll_hub("eriktks/conll2002", "nl", "ner_tags"),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2003",
        ("conll2003",),
        {
            TRAIN: ("eng.train", "train.txt"),
            VALIDATION: ("eng.testa", "valid.txt"),
            "test": ("eng.testb", "test.txt"),
        },
        _conll_hub("eriktks/conll2003", None, "ner_tags"),
    ),
    _conll(
        "wnut17",
        ("wnut17",),
        {
            TRAIN: ("wnut17train.conll",),
            VALIDATION: ("emerging.dev.conll",),
            "test": ("emerging.test.annotated",),
        },
        _conll_hub("leondz/wnut_17", None, "ner_tags"),
    ),
    Task(
        name="squad",
        type="question-answering",
        metrics=("exact_match", "f1"),
        epochs=2.0,
        max_length=512,
        published=Published(
            folders=("squad", "squad1.1"),
            files={TRAIN: ("train-v1.1.json",), VALIDATION: ("dev-v1.1.json",)},
        ),
        hub=HubDataset(path="rajpurkar/squad"),
    ),
    Task(
        name="squad_v2",
        type="question-answering",
        metrics=QUESTION_METRICS,
        epochs=2.0,
        max_length=512,
        published=Published(
            folders=("squad", "squad_v2", "squad2.0"),
            files={TRAIN: ("train-v2.0.json",), VALIDATION: ("dev-v2.0.json",)},
        ),
        hub=HubDataset(path="rajpurkar/squad_v2"),
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _TASKS}
