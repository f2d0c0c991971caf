"""All published tasks by name: file layouts, columns, labels, metrics.

Sources: GLUE (see `glue`); CoNLL-2000, 2002 and 2003 shared tasks; WNUT 2017; SQuAD (Rajpurkar et
al. 2016, 2018); SWAG (Zellers et al. 2018); ARC (Clark et al. 2018); PIQA (Bisk et al. 2020).
Epochs and lengths are those of the ELECTRA paper's table 7 and code. Numbers of rows are those of
the Hub's cards; for the CoNLL sets without the empty sentence at the end of the Hub's.
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

_WORDS = Columns(text=0, label=-1)
_WORDS_WITH_POS = Columns(text=0, label=1)
_CONLL2000 = Published(folders=("conll2000",), files={TRAIN: ("train.txt",), TEST: ("test.txt",)})
_CONLL2003 = Published(
    folders=("conll2003",),
    files={
        TRAIN: ("eng.train", "train.txt"),
        VALIDATION: ("eng.testa", "valid.txt"),
        TEST: ("eng.testb", "test.txt"),
    },
)


def _conll_hub(
    path: str, config: str | None, label: str, splits: tuple[str, ...] = (TRAIN, TEST, VALIDATION)
) -> HubDataset:
    return HubDataset(
        path=path,
        config=config,
        # These datasets are loading scripts, which datasets 4 and later refuse; the Hub has
        # converted them.
        revision="refs/convert/parquet",
        columns=Columns(text="tokens", label=label),
        splits={split: split for split in splits},
    )


def _conll2002(language: str, prefix: str, num_rows: NumRows) -> Task:
    name = f"conll2002-{language}"
    return Task(
        name=name,
        type="tagging",
        metrics=tuple(METRICS["tagging"]),
        max_length=256,
        columns=_WORDS,
        num_rows=num_rows,
        published=Published(
            folders=(name, "conll2002"),
            files={
                TRAIN: (f"{prefix}.train",),
                VALIDATION: (f"{prefix}.testa",),
                TEST: (f"{prefix}.testb",),
            },
            encodings=("utf-8", "iso-8859-1"),
        ),
        hub=_conll_hub("eriktks/conll2002", language, "ner_tags"),
    )


def _arc(name: str, config: str, num_rows: NumRows) -> Task:
    columns = Columns(text="question", label="answerKey")
    return Task(
        name=name,
        type="multiple-choice",
        metrics=tuple(METRICS["multiple-choice"]),
        columns=columns,
        num_rows=num_rows,
        hub=HubDataset(
            path="allenai/ai2_arc",
            config=config,
            columns=columns,
            splits={split: split for split in num_rows},
        ),
    )


def _topics(name: str, path: str, labels: tuple[str, ...], num_rows: NumRows) -> Task:
    """Return a task of texts with one class each that only the Hub has in one layout."""
    return Task(
        name=name,
        type="classification",
        metrics=("accuracy", "macro_f1"),
        max_length=256,
        labels=labels,
        num_rows=num_rows,
        hub=HubDataset(path=path, splits={split: split for split in num_rows}),
    )


_SWAG_COLUMNS = Columns(
    text="sent1", pair="sent2", choices=("ending0", "ending1", "ending2", "ending3")
)
_PIQA_COLUMNS = Columns(text="goal", choices=("sol1", "sol2"))

_TASKS = (
    *GLUE,
    Task(
        name="conll2000",
        type="tagging",
        metrics=tuple(METRICS["tagging"]),
        max_length=256,
        columns=_WORDS,
        num_rows=sizes(8936, None, 2012),
        published=_CONLL2000,
        hub=_conll_hub("eriktks/conll2000", None, "chunk_tags", (TRAIN, TEST)),
    ),
    Task(
        name="conll2000-pos",
        type="tagging",
        metrics=("accuracy",),
        max_length=256,
        columns=_WORDS_WITH_POS,
        num_rows=sizes(8936, None, 2012),
        published=_CONLL2000,
        hub=_conll_hub("eriktks/conll2000", None, "pos_tags", (TRAIN, TEST)),
    ),
    _conll2002("es", "esp", sizes(8323, 1915, 1517)),
    _conll2002("nl", "ned", sizes(15_806, 2895, 5195)),
    Task(
        name="conll2003",
        type="tagging",
        metrics=tuple(METRICS["tagging"]),
        max_length=256,
        columns=_WORDS,
        num_rows=sizes(14_041, 3250, 3453),
        published=_CONLL2003,
        hub=_conll_hub("eriktks/conll2003", None, "ner_tags"),
    ),
    Task(
        name="conll2003-pos",
        type="tagging",
        metrics=("accuracy",),
        max_length=256,
        columns=_WORDS_WITH_POS,
        num_rows=sizes(14_041, 3250, 3453),
        published=_CONLL2003,
        hub=_conll_hub("eriktks/conll2003", None, "pos_tags"),
    ),
    Task(
        name="wnut17",
        type="tagging",
        metrics=tuple(METRICS["tagging"]),
        max_length=256,
        columns=_WORDS,
        num_rows=sizes(3394, 1009, 1287),
        published=Published(
            folders=("wnut17",),
            files={
                TRAIN: ("wnut17train.conll",),
                VALIDATION: ("emerging.dev.conll",),
                TEST: ("emerging.test.annotated",),
            },
        ),
        hub=_conll_hub("leondz/wnut_17", None, "ner_tags"),
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
                TRAIN: ("train-v1.1.json", "*v1.1*train*.json"),  # or a subset, renamed
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
                TRAIN: ("train-v2.0.json", "*v2.0*train*.json"),  # or a subset, renamed
                VALIDATION: ("dev-v2.0.json", "*v2.0*dev*.json"),
            },
        ),
        hub=HubDataset(path="rajpurkar/squad_v2"),
    ),
    Task(
        name="swag",
        type="multiple-choice",
        metrics=tuple(METRICS["multiple-choice"]),
        columns=_SWAG_COLUMNS,
        num_rows=sizes(73_546, 20_006, 20_005),
        published=Published(
            folders=("swag", "swagaf"),
            files={TRAIN: ("train.csv",), VALIDATION: ("val.csv",)},
            unlabelled={TEST: "swag/test.csv"},
        ),
        hub=HubDataset(
            path="allenai/swag",
            config="regular",
            columns=_SWAG_COLUMNS,
            unlabelled={TEST: ("regular", "test")},
        ),
    ),
    _arc("arc_easy", "ARC-Easy", sizes(2251, 570, 2376)),
    _arc("arc_challenge", "ARC-Challenge", sizes(1119, 299, 1172)),
    Task(
        name="piqa",
        type="multiple-choice",
        metrics=tuple(METRICS["multiple-choice"]),
        columns=_PIQA_COLUMNS,
        num_rows=sizes(16_113, 1838, 3084),
        hub=HubDataset(
            path="ybisk/piqa",
            revision="refs/convert/parquet",  # a loading script, as for CoNLL
            columns=_PIQA_COLUMNS,
            unlabelled={TEST: (None, "test")},
        ),
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
