"""GLUE's tasks as its archive unpacks (Wang et al. 2019) and as the Hub has them.

Epochs as in ELECTRA's table 7. Numbers of rows as on the Hub's card of nyu-mll/glue.
"""

from collections.abc import Mapping
from typing import Literal

from electra_pipeline.tasks.kinds.metrics import METRICS
from electra_pipeline.tasks.task import (
    TEST,
    TRAIN,
    VALIDATION,
    Column,
    Columns,
    HubDataset,
    Kind,
    NumRows,
    Published,
    Task,
    sizes,
)


def _glue(
    name: str,
    folder: str,
    columns: Columns,
    hub_columns: Columns,
    labels: tuple[str, ...] | None,
    num_rows: NumRows,
    *,
    label_values: tuple[str, ...] | None = None,
    metrics: tuple[str, ...] = ("accuracy",),
    kind: Kind = "classification",
    epochs: float = 3.0,
    files: Mapping[str, tuple[str, ...]] | None = None,
    hub_splits: Mapping[str, str] | None = None,
    unlabelled: Mapping[str, str] | None = None,
    unlabelled_columns: Columns | None = None,
    hub_unlabelled: Mapping[str, tuple[str, str]] | None = None,
    short_rows: Literal["error", "drop"] = "error",
    symmetric: bool = False,
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
        symmetric=symmetric,
        num_rows=num_rows,
        published=Published(
            folders=(folder,),
            files=files or {TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",)},
            unlabelled=unlabelled or {TEST: f"{folder}/test.tsv"},
            unlabelled_columns=unlabelled_columns,
        ),
        hub=HubDataset(
            path="nyu-mll/glue",
            config=name,
            columns=hub_columns,
            splits=hub_splits or HubDataset.model_fields["splits"].default,
            unlabelled=hub_unlabelled or {TEST: (name, "test")},
        ),
    )


def _sentences(first: Column, second: Column | None, label: Column = "label") -> Columns:
    return Columns(text=first, pair=second, label=label)


_ZERO_ONE = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MATCHED = {TRAIN: ("train.tsv",), VALIDATION: ("dev_matched.tsv",)}
_MISMATCHED = {"validation_mismatched": ("dev_mismatched.tsv",)}

GLUE = (
    _glue(
        "cola",
        "CoLA",
        Columns(text=3, label=1),  # train and dev have no header row
        _sentences("sentence", None),
        ("unacceptable", "acceptable"),
        sizes(8551, 1043, 1063),
        unlabelled_columns=_sentences("sentence", None),
        label_values=_ZERO_ONE,
        metrics=("matthews", "accuracy"),
    ),
    _glue(
        "sst2",
        "SST-2",
        _sentences("sentence", None),
        _sentences("sentence", None),
        ("negative", "positive"),
        sizes(67349, 872, 1821),
        label_values=_ZERO_ONE,
    ),
    _glue(
        "mrpc",
        "MRPC",
        _sentences("#1 String", "#2 String", "Quality"),
        _sentences("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        sizes(3668, 408, 1725),
        label_values=_ZERO_ONE,
        metrics=("accuracy", "f1"),
        symmetric=True,
    ),
    _glue(
        "stsb",
        "STS-B",
        _sentences("sentence1", "sentence2", "score"),
        _sentences("sentence1", "sentence2"),
        None,
        sizes(5749, 1500, 1379),
        metrics=tuple(METRICS["regression"]),
        kind="regression",
        epochs=10.0,
        symmetric=True,
    ),
    _glue(
        "qqp",
        "QQP",
        _sentences("question1", "question2", "is_duplicate"),
        _sentences("question1", "question2"),
        ("not_duplicate", "duplicate"),
        # the Hub's; TensorFlow Datasets' count of the archive; the lines of the first archive
        {TRAIN: (363_846, 363_849, 363_870), VALIDATION: (40_430, 40_431), TEST: (390_965,)},
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
        {
            TRAIN: (392_702,),
            VALIDATION: (9815,),
            "validation_mismatched": (9832,),
            "test_matched": (9796,),
            "test_mismatched": (9847,),
            "ax": (1104,),
        },
        unlabelled={
            "test_matched": "MNLI/test_matched.tsv",
            "test_mismatched": "MNLI/test_mismatched.tsv",
            "ax": "diagnostic/diagnostic.tsv",  # GLUE's diagnostics are for the model of MNLI
        },
        hub_unlabelled={
            "test_matched": ("mnli", "test_matched"),
            "test_mismatched": ("mnli", "test_mismatched"),
            "ax": ("ax", "test"),
        },
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
        sizes(104_743, 5463, 5463),
    ),
    _glue(
        "rte",
        "RTE",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        _ENTAILMENT,
        sizes(2490, 277, 3000),
        epochs=10.0,
    ),
    _glue(
        "wnli",
        "WNLI",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        ("not_entailment", "entailment"),
        sizes(635, 71, 146),
        label_values=_ZERO_ONE,
    ),
)
