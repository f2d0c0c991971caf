"""Labelled files to examples: tables and CoNLL columns here, SQuAD JSON and choices beside it.

Every error names the file and the line (or record), the value, and what would be right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, TypeGuard

from electra_pipeline.evaluation.problems.choices import ChoiceExample
from electra_pipeline.evaluation.problems.questions import QuestionExample
from electra_pipeline.evaluation.problems.tagging import TaggedExample
from electra_pipeline.evaluation.problems.texts import TextExample
from electra_pipeline.evaluation.tasks.cells import Record, number_in, require, text_in, texts_in
from electra_pipeline.evaluation.tasks.multiple_choice import choice_examples
from electra_pipeline.evaluation.tasks.squad import squad_questions
from electra_pipeline.evaluation.tasks.task import Column, Columns, Task
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import decoded_text, read_records, resolve_format

RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow")
Example = TextExample | TaggedExample | QuestionExample | ChoiceExample


def read_examples(
    task: Task, file: SourceFile, dropped: Counter[str], *, labelled: bool = True
) -> Iterator[Example]:
    """The examples of one file in order; `dropped` counts what the task's rules leave out.

    Without labels (texts and choices alone), the label column is not looked at.
    """
    match task.type:
        case "classification" | "regression":
            is_tsv = resolve_format(file, task.format) == "tsv"
            records = (
                _tsv_records(task, file, dropped, labelled) if is_tsv else _records(task, file)
            )
            yield from text_examples(task, records, task.columns, dropped, labelled=labelled)
        case "multiple-choice":
            yield from choice_examples(_records(task, file), task.columns, labelled=labelled)
        case "tagging":
            if file.suffix in RECORD_SUFFIXES:
                yield from tagged_records(task, _records(task, file), task.columns, dropped)
            else:
                yield from tagged_columns(task, file, dropped)
        case "question-answering":
            yield from squad_questions(file)


# --- tables ---------------------------------------------------------------------------------------


def _records(task: Task, file: SourceFile) -> Iterator[Record]:
    columns = (task.columns.text, task.columns.pair, task.columns.label)
    records = read_records(
        *(file, task.format),
        encoding=task.encoding or "utf-8",
        # Those of choices are named elsewhere.
        columns=None
        if task.type == "multiple-choice"
        else [*filter(_is_name, columns), "tokens", "tags", "index", "idx"],
        has_header=any(isinstance(column, str) for column in columns),
    )
    is_text = task.type == "classification" and resolve_format(file, task.format) == "text"
    label = {task.columns.label: _label_in_name(task, file)} if is_text else {}
    for number, record in enumerate(records, start=1):
        yield f"{file.name}: record {number}", {**record, **label}


def _is_name(column: Column | None) -> TypeGuard[str]:
    return isinstance(column, str)


def _label_in_name(task: Task, file: SourceFile) -> str:
    """The class of all lines of a plain text file: the one label that its name holds."""
    name = PurePath(file.name).name
    found = [label for label in task.labels or () if label in name]
    if len(found) != 1:
        raise ValueError(
            f"{file.name}: a plain text file has one class, and its name must hold exactly one of "
            f"the labels {', '.join(task.labels or ()) or '(none are set)'}; set labels, or give a "
            "file with a label column"
        )
    return found[0]


def _tsv_records(
    task: Task, file: SourceFile, dropped: Counter[str], labelled: bool
) -> Iterator[Record]:
    """Rows of a tsv as GLUE publishes it: no quoting, and no header where columns are counted."""
    lines = enumerate(_lines(task, file), start=1)
    columns = [task.columns.text, task.columns.pair, task.columns.label if labelled else None]
    if any(isinstance(column, str) for column in columns):
        header: list[Column] = [*next(lines, (1, ""))[1].split("\t")]
        for column in columns:
            if column is not None:
                require(dict.fromkeys(header), column, f"{file.name}:1")
    else:
        header = list(range(max(column for column in columns if isinstance(column, int)) + 1))
    for number, line in lines:
        cells = line.split("\t")
        if not line:
            continue
        if len(cells) >= len(header):
            yield f"{file.name}:{number}", dict(zip(header, cells, strict=False))
        elif task.short_rows == "drop":
            dropped["too_few_columns"] += 1
        else:
            raise ValueError(
                f"{file.name}:{number}: {len(cells)} columns where {len(header)} are needed; "
                "repair or remove the line"
            )


def _lines(task: Task, file: SourceFile) -> list[str]:
    """Lines without their ends, in the first of the task's encodings that fits."""
    published = task.published.encodings if task.published else ("utf-8",)
    first, *others = (task.encoding,) if task.encoding else published
    try:
        with file.open() as stream:
            text = "".join(decoded_text(stream, file.name, first))
    except ValueError:
        if not others:
            raise
        with file.open() as stream:
            text = "".join(decoded_text(stream, file.name, others[0]))
    # Not splitlines(): U+2028, U+0085 and a lone carriage return are part of the text, the last but
    # in files of old Macs, where it ends lines.
    return [line.removesuffix("\r") for line in text.split("\n" if "\n" in text else "\r")]


def text_examples(
    task: Task,
    records: Iterable[Record],
    columns: Columns,
    dropped: Counter[str],
    *,
    labelled: bool = True,
) -> Iterator[TextExample]:
    """Texts and pairs of texts with a class that the task has, or with a finite number.

    Those whose label is kept back bear the number that the published file or the Hub gives them.
    """
    for number, (place, record) in enumerate(records):
        text = text_in(record, columns.text, place)
        pair = None if columns.pair is None else text_in(record, columns.pair, place)
        if not labelled:
            identifier = record.get("index", record.get("idx", number))
            yield TextExample(str(identifier), text, pair, None)
            continue
        value = require(record, columns.label, place)
        if task.type == "regression":
            yield TextExample(str(number), text, pair, number_in(value, columns.label, place))
            continue
        label = _label(task, value, columns.label, place)
        if _is_allowed(task, label, place, dropped):
            yield TextExample(str(number), text, pair, label)


def _label(task: Task, value: Any, column: Column, place: str) -> str:
    """The name of the class that a cell gives."""
    label = "" if value is None else str(value).strip()
    if not label:
        raise ValueError(f"{place}: column {column!r} holds no label; repair or remove the row")
    if task.label_values is not None and task.labels is not None and label in task.label_values:
        return task.labels[task.label_values.index(label)]
    return label


def _is_allowed(task: Task, label: str, place: str, dropped: Counter[str]) -> bool:
    if task.labels is None or label in task.labels:
        return True
    if task.other_labels == "drop":
        dropped["other_label"] += 1
        return False
    allowed = ", ".join(task.label_values or task.labels)
    raise ValueError(
        f"{place}: label {label!r} is none of {allowed}; repair the row or add it to labels"
    )


# --- words with tags ------------------------------------------------------------------------------


def tagged_columns(task: Task, file: SourceFile, dropped: Counter[str]) -> Iterator[TaggedExample]:
    """Sentences of a file with one word a line, columns by tab or spaces, blank lines between.

    `-DOCSTART-` lines (CoNLL-2003) are skipped, and so are comments and the ranges of multi-word
    tokens in CoNLL-U files.
    """
    word_column, tag_column = task.columns.text, task.columns.label
    if not isinstance(word_column, int) or not isinstance(tag_column, int):
        raise ValueError(
            f"{file.name}: columns of words and tags are counted, 0 is the first and -1 the last; "
            f"set text_column ({word_column!r}) and label_column ({tag_column!r}) to numbers"
        )
    width = max(2, *(c + 1 if c >= 0 else -c for c in (word_column, tag_column)))
    words: list[str] = []
    tags: list[str] = []
    is_kept = True
    num_sentences = 0
    lines = _lines(task, file)
    tabbed = any("\t" in line.strip() for line in lines)
    for number, line in enumerate([*lines, ""], start=1):
        # A byte order mark may stand anywhere: the last line of WNUT 2017's dev file is one.
        row = line.replace("\ufeff", "").strip()
        cells = row.split("\t") if tabbed else row.split()
        if not row or cells[0] == "-DOCSTART-":
            if words and is_kept:
                yield TaggedExample(str(num_sentences), tuple(words), tuple(tags))
            num_sentences += bool(words)
            words, tags, is_kept = [], [], True
            continue
        is_comment = tabbed and row.startswith("# ") and len(cells) == 1
        is_range = len(cells) == 10 and re.fullmatch(r"\d+[-.]\d+", cells[0])
        if is_comment or is_range:
            continue
        if len(cells) < width:
            raise ValueError(
                f"{file.name}:{number}: {row!r} has {len(cells)} columns, {width} are needed for a "
                "word and its tag; repair the line"
            )
        words.append(cells[word_column].strip())
        tags.append(cells[tag_column].strip())
        if is_kept:
            is_kept = _is_allowed(task, tags[-1], f"{file.name}:{number}", dropped)


def tagged_records(
    task: Task, records: Iterable[Record], columns: Columns, dropped: Counter[str]
) -> Iterator[TaggedExample]:
    """Sentences of records that hold a list of words and a list of tags."""
    word_column = columns.text if isinstance(columns.text, str) else "tokens"
    tag_column = columns.label if isinstance(columns.label, str) else "tags"
    for number, (place, record) in enumerate(records):
        words, tags = (texts_in(record, column, place) for column in (word_column, tag_column))
        if len(words) != len(tags):
            raise ValueError(
                f"{place}: {len(words)} words but {len(tags)} tags; repair or remove the record"
            )
        if words and all(_is_allowed(task, tag, place, dropped) for tag in tags):
            yield TaggedExample(str(number), words, tags)
