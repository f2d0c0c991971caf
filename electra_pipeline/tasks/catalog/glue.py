"""GLUE's tasks (Wang et al. 2019), in the layout of its archive and on the Hub.

Epochs are those of the ELECTRA paper's table 7; numbers of rows those of the Hub's card of
nyu-mll/glue.
"""

from electra_pipeline.tasks.task import (
    TEST,
    TRAIN,
    VALIDATION,
    Columns,
    HubDataset,
    Published,
    Task,
    sizes,
)


def _archive(folder: str, unlabelled_columns: Columns | None = None) -> Published:
    """Return the layout of most tasks in GLUE's archive."""
    return Published(
        folders=(folder,),
        files={TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",)},
        unlabelled={TEST: f"{folder}/test.tsv"},
        unlabelled_columns=unlabelled_columns,
    )


def _hub(name: str, columns: Columns) -> HubDataset:
    return HubDataset(
        path="nyu-mll/glue", config=name, columns=columns, unlabelled={TEST: (name, "test")}
    )


_SENTENCE = Columns(text="sentence")
_SENTENCES = Columns(text="sentence1", pair="sentence2")
_QUESTION_SENTENCE = Columns(text="question", pair="sentence")
_QUESTIONS = Columns(text="question1", pair="question2")
_ZERO_ONE = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MISMATCHED = "validation_mismatched"

GLUE = (
    Task(
        name="cola",
        type="classification",
        metrics=("matthews", "accuracy"),
        columns=Columns(text=3, label=1),  # train and dev have no header row
        labels=("unacceptable", "acceptable"),
        label_values=_ZERO_ONE,
        format="tsv",
        num_rows=sizes(8551, 1043, 1063),
        published=_archive("CoLA", unlabelled_columns=_SENTENCE),
        hub=_hub("cola", _SENTENCE),
    ),
    Task(
        name="sst2",
        type="classification",
        metrics=("accuracy",),
        columns=_SENTENCE,
        labels=("negative", "positive"),
        label_values=_ZERO_ONE,
        format="tsv",
        num_rows=sizes(67_349, 872, 1821),
        published=_archive("SST-2"),
        hub=_hub("sst2", _SENTENCE),
    ),
    Task(
        name="mrpc",
        type="classification",
        metrics=("accuracy", "f1"),
        columns=Columns(text="#1 String", pair="#2 String", label="Quality"),
        labels=("not_equivalent", "equivalent"),
        label_values=_ZERO_ONE,
        symmetric=True,
        format="tsv",
        num_rows=sizes(3668, 408, 1725),
        published=_archive("MRPC"),
        hub=_hub("mrpc", _SENTENCES),
    ),
    Task(
        name="stsb",
        type="regression",
        epochs=10.0,
        columns=Columns(text="sentence1", pair="sentence2", label="score"),
        symmetric=True,
        format="tsv",
        num_rows=sizes(5749, 1500, 1379),
        published=_archive("STS-B"),
        hub=_hub("stsb", _SENTENCES),
    ),
    Task(
        name="qqp",
        type="classification",
        metrics=("accuracy", "f1"),
        columns=Columns(text="question1", pair="question2", label="is_duplicate"),
        labels=("not_duplicate", "duplicate"),
        label_values=_ZERO_ONE,
        short_rows="drop",  # line breaks split a few rows of the published train.tsv
        format="tsv",
        # of train: the Hub, TensorFlow Datasets' count of the archive, the first archive's lines
        num_rows={
            TRAIN: (363_846, 363_849, 363_870),
            VALIDATION: (40_430, 40_431),
            TEST: (390_965,),
        },
        published=_archive("QQP"),
        hub=_hub("qqp", _QUESTIONS),
    ),
    Task(
        name="mnli",
        type="classification",
        metrics=("accuracy",),
        columns=Columns(text="sentence1", pair="sentence2", label="gold_label"),
        labels=("entailment", "neutral", "contradiction"),
        format="tsv",
        num_rows={
            TRAIN: (392_702,),
            VALIDATION: (9815,),
            _MISMATCHED: (9832,),
            "test_matched": (9796,),
            "test_mismatched": (9847,),
            "ax": (1104,),
        },
        published=Published(
            folders=("MNLI",),
            files={
                TRAIN: ("train.tsv",),
                VALIDATION: ("dev_matched.tsv",),
                _MISMATCHED: ("dev_mismatched.tsv",),
            },
            unlabelled={
                "test_matched": "MNLI/test_matched.tsv",
                "test_mismatched": "MNLI/test_mismatched.tsv",
                "ax": "diagnostic/diagnostic.tsv",  # GLUE's diagnostics, predicted by MNLI's model
            },
        ),
        hub=HubDataset(
            path="nyu-mll/glue",
            config="mnli",
            columns=Columns(text="premise", pair="hypothesis"),
            splits={
                TRAIN: "train",
                VALIDATION: "validation_matched",
                _MISMATCHED: _MISMATCHED,
            },
            unlabelled={
                "test_matched": ("mnli", "test_matched"),
                "test_mismatched": ("mnli", "test_mismatched"),
                "ax": ("ax", "test"),
            },
        ),
    ),
    Task(
        name="qnli",
        type="classification",
        metrics=("accuracy",),
        columns=_QUESTION_SENTENCE,
        labels=_ENTAILMENT,
        format="tsv",
        num_rows=sizes(104_743, 5463, 5463),
        published=_archive("QNLI"),
        hub=_hub("qnli", _QUESTION_SENTENCE),
    ),
    Task(
        name="rte",
        type="classification",
        metrics=("accuracy",),
        epochs=10.0,
        columns=_SENTENCES,
        labels=_ENTAILMENT,
        format="tsv",
        num_rows=sizes(2490, 277, 3000),
        published=_archive("RTE"),
        hub=_hub("rte", _SENTENCES),
    ),
    Task(
        name="wnli",
        type="classification",
        metrics=("accuracy",),
        columns=_SENTENCES,
        labels=("not_entailment", "entailment"),
        label_values=_ZERO_ONE,
        format="tsv",
        num_rows=sizes(635, 71, 146),
        published=_archive("WNLI"),
        hub=_hub("wnli", _SENTENCES),
    ),
)
