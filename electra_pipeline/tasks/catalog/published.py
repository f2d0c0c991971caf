"""All published tasks by name: file layouts, columns, labels, metrics.

Sources: GLUE (see `glue`); CoNLL-2000, 2002 and 2003 shared tasks; WNUT 2017; SQuAD (Rajpurkar et
al. 2016, 2018); SWAG (Zellers et al. 2018); ARC (Clark et al. 2018); PIQA (Bisk et al. 2020).
Epochs and lengths are those of the ELECTRA paper's table 7 and code. Numbers of rows are those of
the Hub's cards; for the CoNLL sets without the empty sentence at the end of the Hub's.
"""

from collections.abc import Mapping

from electra_pipeline.tasks.catalog.glue import GLUE
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

# All of tagging in `tasks/kinds/metrics.py`, which imports NumPy
CHUNK_METRICS = ("f1", "precision", "recall", "accuracy")

_CONLL2000 = Published(folders=("conll2000",), files={TRAIN: ("train.txt",), TEST: ("test.txt",)})
_CONLL2003 = Published(
    folders=("conll2003",),
    files={
        TRAIN: ("eng.train", "train.txt"),
        VALIDATION: ("eng.testa", "valid.txt"),
        TEST: ("eng.testb", "test.txt"),
    },
)
_CONLL2003_ROWS = sizes(14_041, 3250, 3453)
_WNUT17 = Published(
    folders=("wnut17",),
    files={
        TRAIN: ("wnut17train.conll",),
        VALIDATION: ("emerging.dev.conll",),
        TEST: ("emerging.test.annotated",),
    },
)
_LOADING_SCRIPT = "refs/convert/parquet"
"""The Hub's conversion of a dataset that is a loading script, which datasets 4 and later refuse."""


def _tagging(
    name: str,
    num_rows: NumRows,
    published: Published,
    path: str,
    tag_column: str,
    *,
    config: str | None = None,
) -> Task:
    """Return a task with a word and its tag a line: parts of speech in the second column if these
    are the tags, else chunks or names in the last."""
    is_pos = tag_column == "pos_tags"
    splits = (split for split in (TRAIN, TEST, VALIDATION) if split in num_rows)
    return Task(
        name=name,
        type="tagging",
        metrics=("accuracy",) if is_pos else CHUNK_METRICS,
        max_length=256,
        columns=Columns(text=0, label=1 if is_pos else -1),
        num_rows=num_rows,
        published=published,
        hub=HubDataset(
            path=path,
            config=config,
            revision=_LOADING_SCRIPT,
            columns=Columns(text="tokens", label=tag_column),
            splits={split: split for split in splits},
        ),
    )


def _conll2002(language: str, prefix: str, num_rows: NumRows) -> Task:
    name = f"conll2002-{language}"
    published = Published(
        folders=(name, "conll2002"),
        files={
            TRAIN: (f"{prefix}.train",),
            VALIDATION: (f"{prefix}.testa",),
            TEST: (f"{prefix}.testb",),
        },
        encodings=("utf-8", "iso-8859-1"),
    )
    return _tagging(name, num_rows, published, "eriktks/conll2002", "ner_tags", config=language)


def _arc(name: str, config: str, num_rows: NumRows) -> Task:
    columns = Columns(text="question", label="answerKey")
    return Task(
        name=name,
        type="multiple-choice",
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
    _tagging("conll2000", sizes(8936, None, 2012), _CONLL2000, "eriktks/conll2000", "chunk_tags"),
    _tagging("conll2000-pos", sizes(8936, None, 2012), _CONLL2000, "eriktks/conll2000", "pos_tags"),
    _conll2002("es", "esp", sizes(8323, 1915, 1517)),
    _conll2002("nl", "ned", sizes(15_806, 2895, 5195)),
    _tagging("conll2003", _CONLL2003_ROWS, _CONLL2003, "eriktks/conll2003", "ner_tags"),
    _tagging("conll2003-pos", _CONLL2003_ROWS, _CONLL2003, "eriktks/conll2003", "pos_tags"),
    _tagging("wnut17", sizes(3394, 1009, 1287), _WNUT17, "leondz/wnut_17", "ner_tags"),
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
        columns=_PIQA_COLUMNS,
        num_rows=sizes(16_113, 1838, 3084),
        hub=HubDataset(
            path="ybisk/piqa",
            revision=_LOADING_SCRIPT,
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
