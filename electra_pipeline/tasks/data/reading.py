"""Labelled files to examples, whatever their format.

Every error names the file and the line (or record), the value, and what would be right.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath
from typing import Any

from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import (
    FORMAT_OF_SUFFIX,
    decoded_text,
    read_records,
    resolve_format,
)
from electra_pipeline.tasks.data.cells import Record, is_blank, require
from electra_pipeline.tasks.data.columns import tagged_columns
from electra_pipeline.tasks.data.features import names_in_file, with_names
from electra_pipeline.tasks.data.records import Example, record_examples
from electra_pipeline.tasks.data.squad import COLUMNS, has_answers, squad_document
from electra_pipeline.tasks.task import Column, Task

RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow")
ANNOTATIONS = (".ann", ".spacy")  # brat's, spaCy's
RECORD_FORMATS = ("jsonl", "json", "parquet", "arrow")


def read_examples(
    task: Task, file: SourceFile, dropped: Counter[str], *, labelled: bool = True
) -> Iterator[Example]:
    """The examples of one file in order; `dropped` counts what the task's rules leave out.

    Without labels, the label column is not looked at.
    """
    if task.type == "tagging" and not _has_records(task, file):
        lines = _lines(task, file)
        yield from tagged_columns(task, file.name, lines, dropped, labelled=labelled)
    else:
        records = _records(task, file, dropped, labelled)
        yield from record_examples(task, records, task.columns, dropped, labelled=labelled)


def has_labels(task: Task, file: SourceFile) -> bool:
    """Whether a record of a file has what is to be predicted; -1 alone, as on the Hub, has not."""
    if task.type == "tagging" and not _has_records(task, file):
        first = next((line for line in _lines(task, file) if line.strip() and line[0] != "#"), "")
        return len(first.split()) > 1
    records = (record for _, record in _records(task, file, Counter(), labelled=False))
    if task.type == "question-answering":
        return any(map(has_answers, islice(records, 2)))  # the first may be MRQA's header
    column = task.columns.label
    if task.type == "tagging" and not isinstance(column, str):
        column = "tags"
    top = str(column).split(".")[0]
    values = (require(each, column, file.name) for each in records if {column, top} & each.keys())
    return any(not is_blank(value) and value != -1 for value in values)


def _has_records(task: Task, file: SourceFile) -> bool:
    """Whether words with tags stand in lists. Raises ValueError for what is not read."""
    if file.suffix in ANNOTATIONS:
        raise ValueError(
            f"{file.name}: annotations by offsets ({file.suffix}) are not read; write a word and "
            "its tag a line, apart by a tab, with an empty line after each sentence (CoNLL)"
        )
    if task.format == "csv" or (task.format == "auto" and file.suffix == ".csv"):
        raise ValueError(
            f"{file.name}: words with tags are not read from csv; write a word and its tag a line, "
            "apart by a tab, with an empty line after each sentence, or jsonl with lists"
        )
    if task.format == "auto":
        return file.suffix in RECORD_SUFFIXES
    return task.format in RECORD_FORMATS


def _has_rows(task: Task, file: SourceFile) -> bool:
    """Whether questions stand in rows and not in one JSON value. Raises ValueError for csv."""
    format = FORMAT_OF_SUFFIX.get(file.suffix, "json") if task.format == "auto" else task.format
    if format in ("csv", "tsv"):
        raise ValueError(
            f"{file.name}: questions are read from SQuAD's json, jsonl, parquet or arrow; "
            "write one object a line with id, context, question and answers"
        )
    return format in ("jsonl", "parquet", "arrow")


# --- tables ---------------------------------------------------------------------------------------


def _records(
    task: Task, file: SourceFile, dropped: Counter[str], labelled: bool
) -> Iterator[Record]:
    """The file's records with their places; classes of Arrow's features by their names."""
    if task.type == "question-answering" and not _has_rows(task, file):
        yield from squad_document(file, task.encoding or "utf-8")
        return
    resolved = resolve_format(file, task.format)
    is_text = resolved == "text" and task.type == "classification"
    used = _used(task, labelled)
    if resolved == "tsv" and task.type in ("classification", "regression"):
        yield from _tsv_records(task, file, dropped, used)
        return
    # other formats name their columns, whatever is asked for
    has_header = resolved not in ("csv", "tsv") or any(isinstance(each, str) for each in used)
    records = read_records(
        *(file, task.format),
        encoding=task.encoding or "utf-8",
        columns=_needed(task, used),
        has_header=has_header,
    )
    label = {task.columns.label: label_in_name(task, file)} if is_text else {}
    names = names_in_file(file, resolved)
    for number, record in enumerate(records, start=1):
        place = f"{file.name}: record {number}"
        try:
            named = with_names(record, names)
        except ValueError as error:
            raise ValueError(f"{place}: {error}; repair it") from error
        yield place, _counted({**named, **label}, [] if has_header else used)


def _needed(task: Task, used: Sequence[Column]) -> list[str]:
    """The columns of parquet and Arrow files that are read."""
    if task.type == "question-answering":
        return [*COLUMNS]
    named = [column for column in used if isinstance(column, str)]
    return [*named, "tokens", "tags", "index", "idx", "id"]


def _used(task: Task, labelled: bool) -> list[Column]:
    columns = task.columns
    found = [columns.text, columns.pair, columns.label if labelled else None]
    found += columns.choices if task.type == "multiple-choice" else ()
    return [column for column in found if column is not None]


def _counted(record: dict[Any, Any], used: Sequence[Column]) -> dict[Any, Any]:
    """A record without a header row with the columns that are counted from its end."""
    if not any(isinstance(column, int) and column < 0 for column in used):
        return record
    width = len(record)
    return record | {position - width: value for position, value in enumerate(record.values())}


def label_in_name(task: Task, file: SourceFile) -> str:
    """The class of all lines of a plain text file: the one label that its name holds."""
    name = PurePath(file.name).name
    found = [label for label in task.labels or () if label in name]
    if len(found) != 1:
        raise ValueError(
            f"{file.name}: a plain text file has one class, and its name must hold exactly one of "
            f"the labels {', '.join(task.labels or ()) or '(none are set)'}; set labels, give a "
            "file with a label column (format csv or tsv), or a folder with one folder a class"
        )
    return found[0]


def _tsv_records(
    task: Task, file: SourceFile, dropped: Counter[str], used: Sequence[Column]
) -> Iterator[Record]:
    """Rows of a tsv as GLUE publishes it: no quoting, and no header where columns are counted."""
    lines = enumerate(_lines(task, file), start=1)
    header: list[Column] = []
    if any(isinstance(column, str) for column in used):
        header = [*next(lines, (1, ""))[1].split("\t")]
        for column in used:
            require(dict.fromkeys(header), column, f"{file.name}:1")
        width = len(header)
    else:
        numbers = [column for column in used if isinstance(column, int)]
        width = max(column + 1 if column >= 0 else -column for column in numbers)
    for number, line in lines:
        cells = line.split("\t")
        if not line:
            continue
        if len(cells) >= width:
            record = dict(zip(header or range(len(cells)), cells, strict=False))
            yield f"{file.name}:{number}", _counted(record, used)
        elif task.short_rows == "drop":
            dropped["too_few_columns"] += 1
        else:
            raise ValueError(
                f"{file.name}:{number}: {len(cells)} columns where {width} are needed; "
                "repair or remove the line"
            )


def _lines(task: Task, file: SourceFile) -> list[str]:
    """Lines without their ends, in the first of the task's encodings that fits."""
    # Not splitlines(): U+2028, U+0085 and a lone carriage return are part of the text.
    text = content(task, file)
    end = "\n" if "\n" in text else "\r"  # of old Macs
    return [line.removesuffix("\r") for line in text.split(end)]


def content(task: Task, file: SourceFile) -> str:
    """All text of a file, in the first of the task's encodings that fits."""
    published = task.published.encodings if task.published else ("utf-8",)
    first, *others = (task.encoding,) if task.encoding else published
    try:
        with file.open() as stream:
            return "".join(decoded_text(stream, file.name, first))
    except ValueError:
        if not others:
            raise
    with file.open() as stream:
        return "".join(decoded_text(stream, file.name, others[0]))
