"""Labelled files to examples: tables, CoNLL columns, SQuAD JSON, rows of the Hub.

Every error names the file and the line (or record), the value, and what would be right.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.evaluation.problems.questions import QuestionExample
from electra_pipeline.evaluation.problems.tagging import TaggedExample
from electra_pipeline.evaluation.problems.texts import TextExample
from electra_pipeline.evaluation.tasks.task import Column, Columns, Task
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import decoded_text, read_records, resolve_format

RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow")
Example = TextExample | TaggedExample | QuestionExample
Record = tuple[str, Mapping[Any, Any]]
"""Where a record stands, for messages, and its values by column."""


def read_examples(task: Task, file: SourceFile, dropped: Counter[str]) -> Iterator[Example]:
    """The examples of one file in order; `dropped` counts what the task's rules leave out."""
    match task.type:
        case "classification" | "regression":
            is_tsv = resolve_format(file, task.format) == "tsv"
            records = _tsv_records(task, file, dropped) if is_tsv else _records(task, file)
            yield from text_examples(task, records, task.columns, dropped)
        case "tagging":
            if file.suffix in RECORD_SUFFIXES:
                yield from tagged_records(task, _records(task, file), task.columns, dropped)
            else:
                yield from tagged_columns(task, file, dropped)
        case "question-answering":
            yield from squad_questions(file)


# --- tables ---------------------------------------------------------------------------------------


def _records(task: Task, file: SourceFile) -> Iterator[Record]:
    records = read_records(file, task.format, encoding=task.encoding or "utf-8")
    for number, record in enumerate(records, start=1):
        yield f"{file.name}: record {number}", record


def _tsv_records(task: Task, file: SourceFile, dropped: Counter[str]) -> Iterator[Record]:
    """Rows of a tsv as GLUE publishes it: no quoting, and no header where columns are counted."""
    lines = enumerate(_lines(task, file), start=1)
    columns = [task.columns.text, task.columns.pair, task.columns.label]
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
    # Not splitlines(): U+2028, U+0085 and a lone carriage return are part of the text.
    return [line.removesuffix("\r") for line in text.split("\n")]


def require(record: Mapping[Any, Any], column: Column, place: str) -> Any:
    """The record's value in a column. Raises ValueError that lists the columns there are."""
    if column not in record:
        raise ValueError(
            f"{place}: no column {column!r}; it has {', '.join(map(repr, record)) or 'none'}; "
            "set text_column, pair_column and label_column to the names in the file"
        )
    return record[column]


def text_examples(
    task: Task, records: Iterable[Record], columns: Columns, dropped: Counter[str]
) -> Iterator[TextExample]:
    """Texts and pairs of texts with a class that the task has, or with a finite number."""
    for number, (place, record) in enumerate(records):
        text = _text(record, columns.text, place)
        pair = None if columns.pair is None else _text(record, columns.pair, place)
        value = require(record, columns.label, place)
        if task.type == "regression":
            yield TextExample(str(number), text, pair, _number(value, columns.label, place))
            continue
        label = _label(task, value, columns.label, place)
        if _is_allowed(task, label, place, dropped):
            yield TextExample(str(number), text, pair, label)


def _text(record: Mapping[Any, Any], column: Column, place: str) -> str:
    value = require(record, column, place)
    if not isinstance(value, str):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r}, not a text; "
            "repair the row or name another column"
        )
    return value.strip()


def _number(value: Any, column: Column, place: str) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r}, not a finite number; repair the row"
        )
    return repr(number)


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
        words, tags = (_texts(record, column, place) for column in (word_column, tag_column))
        if len(words) != len(tags):
            raise ValueError(
                f"{place}: {len(words)} words but {len(tags)} tags; repair or remove the record"
            )
        if words and all(_is_allowed(task, tag, place, dropped) for tag in tags):
            yield TaggedExample(str(number), words, tags)


def _texts(record: Mapping[Any, Any], column: str, place: str) -> tuple[str, ...]:
    value = require(record, column, place)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(
            f"{place}: column {column!r} holds {value!r:.80}, not a list of texts; repair it"
        )
    return tuple(value)


# --- questions ------------------------------------------------------------------------------------


def squad_questions(file: SourceFile) -> Iterator[QuestionExample]:
    """Questions of a file in SQuAD's form, version 1.1 or 2.0."""
    with file.open() as stream:
        try:
            content = orjson.loads(stream.read().removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{file.name}: broken JSON ({error}); download it again") from error
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    unanswerable = question.get("is_impossible", False)
                    answers = [] if unanswerable else question["answers"]
                    yield question_example(
                        str(question["id"]),
                        question["question"],
                        paragraph["context"],
                        [answer["text"] for answer in answers],
                        [answer["answer_start"] for answer in answers],
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file.name}: not in SQuAD's form ({type(error).__name__}: {error}); needed is "
            '{"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers"}]}]}]}'
        ) from error


def question_example(
    identifier: str, question: str, context: str, answers: Sequence[str], starts: Sequence[int]
) -> QuestionExample:
    """A question with its distinct answers; the first one's place is what training points at."""
    start = int(starts[0]) if starts else -1
    return QuestionExample(
        identifier, question.strip(), context, tuple(dict.fromkeys(answers)), start
    )


def is_misplaced(example: QuestionExample) -> bool:
    """Whether the context does not have the first answer where the example says."""
    if not example.answers:
        return False
    answer = example.answers[0]
    return example.context[example.start : example.start + len(answer)] != answer
