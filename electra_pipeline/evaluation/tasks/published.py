"""The published tasks as rows of a table: layouts, columns, labels, scores.

Sources: GLUE (Wang et al. 2019) as its archive unpacks; CoNLL-2000, 2002 and 2003 shared tasks;
WNUT 2017; SQuAD (Rajpurkar et al. 2016, 2018); SWAG (Zellers et al. 2018); ARC (Clark et al. 2018);
PIQA (Bisk et al. 2020). Epochs and lengths as in ELECTRA's table 7 and code. Numbers of rows as the
Hub's cards and the archives have them; the CoNLL sets are counted without the empty sentence that
ends the Hub's.
"""

from collections.abc import Mapping
from typing import Literal

from electra_pipeline.evaluation.problems.metrics import (
    CHOICE_METRICS,
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
    num_rows: Mapping[str, int | tuple[int, ...]],
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
        num_rows=_versions(num_rows),
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


def _versions(num_rows: Mapping[str, int | tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {split: n if isinstance(n, tuple) else (n,) for split, n in num_rows.items()}


def _sizes(train: int, validation: int | None, test: int) -> dict[str, int]:
    sizes = {TRAIN: train, VALIDATION: validation, TEST: test}
    return {split: size for split, size in sizes.items() if size is not None}


def _sentences(first: Column, second: Column | None, label: Column = "label") -> Columns:
    return Columns(text=first, pair=second, label=label)


def _conll(
    name: str,
    folders: tuple[str, ...],
    files: Mapping[str, tuple[str, ...]],
    hub: HubDataset,
    num_rows: Mapping[str, int],
    encodings: tuple[str, ...] = ("utf-8",),
    label: int = -1,
    metrics: tuple[str, ...] = TAGGING_METRICS,
) -> Task:
    return Task(
        name=name,
        type="tagging",
        metrics=metrics,
        max_length=256,
        columns=Columns(text=0, label=label),
        num_rows=_versions(num_rows),
        published=Published(folders=folders, files=files, encodings=encodings),
        hub=hub,
    )


def _conll_hub(path: str, config: str | None, label: str, validation: bool = True) -> HubDataset:
    splits = {TRAIN: "train", TEST: "test"} | ({VALIDATION: "validation"} if validation else {})
    return HubDataset(
        path=path,
        config=config,
        # These are loading scripts, which datasets 4 and later refuse; the Hub has converted them.
        revision="refs/convert/parquet",
        columns=Columns(text="tokens", label=label),
        splits=splits,
    )


def _choices(
    name: str,
    columns: Columns,
    path: str,
    config: str | None,
    num_rows: Mapping[str, int],
    *,
    revision: str | None = None,
    has_test_labels: bool = False,
    published: Published | None = None,
) -> Task:
    splits = {TRAIN: "train", VALIDATION: "validation"} | (
        {TEST: "test"} if has_test_labels else {}
    )
    return Task(
        name=name,
        type="multiple-choice",
        metrics=CHOICE_METRICS,
        columns=columns,
        num_rows=_versions(num_rows),
        published=published,
        hub=HubDataset(
            path=path,
            config=config,
            revision=revision,
            columns=columns,
            splits=splits,
            unlabelled={} if has_test_labels else {TEST: (config, "test")},
        ),
    )


def _topics(name: str, path: str, labels: tuple[str, ...], num_rows: Mapping[str, int]) -> Task:
    """Texts with one class that the Hub alone has in one layout."""
    splits = {split: split for split in num_rows}
    return Task(
        name=name,
        type="classification",
        metrics=("accuracy", "macro_f1"),
        max_length=256,
        labels=labels,
        num_rows=_versions(num_rows),
        hub=HubDataset(path=path, splits=splits),
    )


TEST = "test"
_ZERO_ONE = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MATCHED = {TRAIN: ("train.tsv",), VALIDATION: ("dev_matched.tsv",)}
_MISMATCHED = {"validation_mismatched": ("dev_mismatched.tsv",)}
_CONLL2000 = {TRAIN: ("train.txt",), TEST: ("test.txt",)}
_CONLL2003 = {
    TRAIN: ("eng.train", "train.txt"),
    VALIDATION: ("eng.testa", "valid.txt"),
    TEST: ("eng.testb", "test.txt"),
}
_ENDINGS = ("ending0", "ending1", "ending2", "ending3")

_TASKS = (
    _glue(
        "cola",
        "CoLA",
        Columns(text=3, label=1),  # train and dev have no header row
        _sentences("sentence", None),
        ("unacceptable", "acceptable"),
        _sizes(8551, 1043, 1063),
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
        _sizes(67349, 872, 1821),
        label_values=_ZERO_ONE,
    ),
    _glue(
        "mrpc",
        "MRPC",
        _sentences("#1 String", "#2 String", "Quality"),
        _sentences("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        _sizes(3668, 408, 1725),
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
        _sizes(5749, 1500, 1379),
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
        # the Hub's; TensorFlow Datasets' count of the archive; the lines of the first archive
        {TRAIN: (363_846, 363_849, 363_870), VALIDATION: (40_430, 40_431), TEST: 390_965},
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
            TRAIN: 392_702,
            VALIDATION: 9815,
            "validation_mismatched": 9832,
            "test_matched": 9796,
            "test_mismatched": 9847,
            "ax": 1104,
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
        _sizes(104_743, 5463, 5463),
    ),
    _glue(
        "rte",
        "RTE",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        _ENTAILMENT,
        _sizes(2490, 277, 3000),
        epochs=10.0,
    ),
    _glue(
        "wnli",
        "WNLI",
        _sentences("sentence1", "sentence2"),
        _sentences("sentence1", "sentence2"),
        ("not_entailment", "entailment"),
        _sizes(635, 71, 146),
        label_values=_ZERO_ONE,
    ),
    _conll(
        "conll2000",
        ("conll2000",),
        _CONLL2000,
        _conll_hub("eriktks/conll2000", None, "chunk_tags", validation=False),
        _sizes(8936, None, 2012),
    ),
    _conll(
        "conll2000-pos",
        ("conll2000",),
        _CONLL2000,
        _conll_hub("eriktks/conll2000", None, "pos_tags", validation=False),
        _sizes(8936, None, 2012),
        label=1,
        metrics=("accuracy",),
    ),
    _conll(
        "conll2002-es",
        ("conll2002-es", "conll2002"),
        {TRAIN: ("esp.train",), VALIDATION: ("esp.testa",), TEST: ("esp.testb",)},
        _conll_hub("eriktks/conll2002", "es", "ner_tags"),
        _sizes(8323, 1915, 1517),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2002-nl",
        ("conll2002-nl", "conll2002"),
        {TRAIN: ("ned.train",), VALIDATION: ("ned.testa",), TEST: ("ned.testb",)},
        _conll_hub("eriktks/conll2002", "nl", "ner_tags"),
        _sizes(15806, 2895, 5195),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2003",
        ("conll2003",),
        _CONLL2003,
        _conll_hub("eriktks/conll2003", None, "ner_tags"),
        _sizes(14041, 3250, 3453),
    ),
    _conll(
        "conll2003-pos",
        ("conll2003",),
        _CONLL2003,
        _conll_hub("eriktks/conll2003", None, "pos_tags"),
        _sizes(14041, 3250, 3453),
        label=1,
        metrics=("accuracy",),
    ),
    _conll(
        "wnut17",
        ("wnut17",),
        {
            TRAIN: ("wnut17train.conll",),
            VALIDATION: ("emerging.dev.conll",),
            TEST: ("emerging.test.annotated",),
        },
        _conll_hub("leondz/wnut_17", None, "ner_tags"),
        _sizes(3394, 1009, 1287),
    ),
    Task(
        name="squad",
        type="question-answering",
        metrics=("exact_match", "f1"),
        epochs=2.0,
        max_length=512,
        num_rows={TRAIN: (87_599,), VALIDATION: (10_570,)},
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
        num_rows={TRAIN: (130_319,), VALIDATION: (11_873,)},
        published=Published(
            folders=("squad", "squad_v2", "squad2.0"),
            files={
                TRAIN: ("train-v2.0.json", "*v2.0*train*.json"),  # or a part under another name
                VALIDATION: ("dev-v2.0.json", "*v2.0*dev*.json"),
            },
        ),
        hub=HubDataset(path="rajpurkar/squad_v2"),
    ),
    _choices(
        "swag",
        Columns(text="sent1", pair="sent2", choices=_ENDINGS),
        "allenai/swag",
        "regular",
        _sizes(73_546, 20_006, 20_005),
        published=Published(
            folders=("swag", "swagaf"),
            files={TRAIN: ("train.csv",), VALIDATION: ("val.csv",)},
            unlabelled={TEST: "swag/test.csv"},
        ),
    ),
    _choices(
        "arc_easy",
        Columns(text="question", label="answerKey"),
        "allenai/ai2_arc",
        "ARC-Easy",
        _sizes(2251, 570, 2376),
        has_test_labels=True,
    ),
    _choices(
        "arc_challenge",
        Columns(text="question", label="answerKey"),
        "allenai/ai2_arc",
        "ARC-Challenge",
        _sizes(1119, 299, 1172),
        has_test_labels=True,
    ),
    _choices(
        "piqa",
        Columns(text="goal", choices=("sol1", "sol2")),
        "ybisk/piqa",
        None,
        _sizes(16_113, 1838, 3084),
        revision="refs/convert/parquet",  # a loading script, as for CoNLL
    ),
    _topics(
        "ag_news",
        "fancyzhx/ag_news",
        ("World", "Sports", "Business", "Sci/Tech"),
        _sizes(120_000, None, 7600),
    ),
    _topics(
        "rotten_tomatoes",
        "cornell-movie-review-data/rotten_tomatoes",
        ("neg", "pos"),
        _sizes(8530, 1066, 1066),
    ),
    _topics("imdb", "stanfordnlp/imdb", ("neg", "pos"), _sizes(25_000, None, 25_000)),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _TASKS}
