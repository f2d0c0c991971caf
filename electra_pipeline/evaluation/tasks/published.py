"""The published tasks as rows of a table: layouts, columns, labels, scores.

Sources: GLUE (Wang et al. 2019) as its archive unpacks; CoNLL-2000, 2002 and 2003 shared tasks;
WNUT 2017; SQuAD (Rajpurkar et al. 2016, 2018). Epochs and lengths as in ELECTRA's table 7 and code.
"""

from collections.abc import Mapping
from typing import Literal

from electra_pipeline.evaluation.problems.metrics import (
    QUESTION_METRICS,
    REGRESSION_METRICS,
    TAGGING_METRICS,
)
from electra_pipeline.evaluation.tasks.task import (
    TRAIN,
    VALIDATION,
    Column,
    Columns,
    HubDataset,
    Kind,
    Published,
    Task,
)


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
        published=Published(
            folders=(folder,), files=files or {TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",)}
        ),
        hub=HubDataset(
            path="nyu-mll/glue",
            config=name,
            columns=hub_columns,
            splits=hub_splits or HubDataset.model_fields["splits"].default,
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
        # These are loading scripts, which datasets 4 and later refuse; the Hub has converted them.
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
        symmetric=True,
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
        symmetric=True,
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
            files={
                TRAIN: ("train-v1.1.json", "*v1.1*train*.json"),  # or a part under another name
                VALIDATION: ("dev-v1.1.json", "*v1.1*dev*.json"),
            },
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
            files={
                TRAIN: ("train-v2.0.json", "*v2.0*train*.json"),  # or a part under another name
                VALIDATION: ("dev-v2.0.json", "*v2.0*dev*.json"),
            },
        ),
        hub=HubDataset(path="rajpurkar/squad_v2"),
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _TASKS}
