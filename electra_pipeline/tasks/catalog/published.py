"""The published tasks as rows of a table: layouts, columns, labels, scores.

Sources: GLUE (see `glue`); CoNLL-2000, 2002 and 2003 shared tasks; WNUT 2017; SQuAD (Rajpurkar et
al. 2016, 2018); SWAG (Zellers et al. 2018); ARC (Clark et al. 2018); PIQA (Bisk et al. 2020).
Epochs and lengths as in ELECTRA's table 7 and code. Numbers of rows as the Hub's cards have them,
of the CoNLL sets without the empty sentence that ends the Hub's.
"""

from collections.abc import Mapping

from electra_pipeline.tasks.catalog.glue import GLUE
from electra_pipeline.tasks.kinds.metrics import METRICS
from electra_pipeline.tasks.task import (
    TEST,
    TRAIN,
    VALIDATION,
    Columns,
    HubDataset,
    NumRows,
    Published,
    Task,
    sizes,
)


def _conll(
    name: str,
    folders: tuple[str, ...],
    files: Mapping[str, tuple[str, ...]],
    hub: HubDataset,
    num_rows: NumRows,
    encodings: tuple[str, ...] = ("utf-8",),
    label: int = -1,
    metrics: tuple[str, ...] = tuple(METRICS["tagging"]),
) -> Task:
    return Task(
        name=name,
        type="tagging",
        metrics=metrics,
        max_length=256,
        columns=Columns(text=0, label=label),
        num_rows=num_rows,
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
    num_rows: NumRows,
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
        metrics=tuple(METRICS["multiple-choice"]),
        columns=columns,
        num_rows=num_rows,
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


def _topics(name: str, path: str, labels: tuple[str, ...], num_rows: NumRows) -> Task:
    """Texts with one class that the Hub alone has in one layout."""
    splits = {split: split for split in num_rows}
    return Task(
        name=name,
        type="classification",
        metrics=("accuracy", "macro_f1"),
        max_length=256,
        labels=labels,
        num_rows=num_rows,
        hub=HubDataset(path=path, splits=splits),
    )


_CONLL2000 = {TRAIN: ("train.txt",), TEST: ("test.txt",)}
_CONLL2003 = {
    TRAIN: ("eng.train", "train.txt"),
    VALIDATION: ("eng.testa", "valid.txt"),
    TEST: ("eng.testb", "test.txt"),
}
_ENDINGS = ("ending0", "ending1", "ending2", "ending3")

_TASKS = (
    *GLUE,
    _conll(
        "conll2000",
        ("conll2000",),
        _CONLL2000,
        _conll_hub("eriktks/conll2000", None, "chunk_tags", validation=False),
        sizes(8936, None, 2012),
    ),
    _conll(
        "conll2000-pos",
        ("conll2000",),
        _CONLL2000,
        _conll_hub("eriktks/conll2000", None, "pos_tags", validation=False),
        sizes(8936, None, 2012),
        label=1,
        metrics=("accuracy",),
    ),
    _conll(
        "conll2002-es",
        ("conll2002-es", "conll2002"),
        {TRAIN: ("esp.train",), VALIDATION: ("esp.testa",), TEST: ("esp.testb",)},
        _conll_hub("eriktks/conll2002", "es", "ner_tags"),
        sizes(8323, 1915, 1517),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2002-nl",
        ("conll2002-nl", "conll2002"),
        {TRAIN: ("ned.train",), VALIDATION: ("ned.testa",), TEST: ("ned.testb",)},
        _conll_hub("eriktks/conll2002", "nl", "ner_tags"),
        sizes(15806, 2895, 5195),
        encodings=("utf-8", "iso-8859-1"),
    ),
    _conll(
        "conll2003",
        ("conll2003",),
        _CONLL2003,
        _conll_hub("eriktks/conll2003", None, "ner_tags"),
        sizes(14041, 3250, 3453),
    ),
    _conll(
        "conll2003-pos",
        ("conll2003",),
        _CONLL2003,
        _conll_hub("eriktks/conll2003", None, "pos_tags"),
        sizes(14041, 3250, 3453),
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
        sizes(3394, 1009, 1287),
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
        metrics=("exact_match", "f1", "best_exact_match", "best_f1"),
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
        sizes(73_546, 20_006, 20_005),
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
        sizes(2251, 570, 2376),
        has_test_labels=True,
    ),
    _choices(
        "arc_challenge",
        Columns(text="question", label="answerKey"),
        "allenai/ai2_arc",
        "ARC-Challenge",
        sizes(1119, 299, 1172),
        has_test_labels=True,
    ),
    _choices(
        "piqa",
        Columns(text="goal", choices=("sol1", "sol2")),
        "ybisk/piqa",
        None,
        sizes(16_113, 1838, 3084),
        revision="refs/convert/parquet",  # a loading script, as for CoNLL
    ),
    _topics(
        "ag_news",
        "fancyzhx/ag_news",
        ("World", "Sports", "Business", "Sci/Tech"),
        sizes(120_000, None, 7600),
    ),
    _topics(
        "rotten_tomatoes",
        "cornell-movie-review-data/rotten_tomatoes",
        ("neg", "pos"),
        sizes(8530, 1066, 1066),
    ),
    _topics("imdb", "stanfordnlp/imdb", ("neg", "pos"), sizes(25_000, None, 25_000)),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _TASKS}
