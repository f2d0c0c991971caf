"""Read a task's examples from one file of any supported format.

Errors name the file and the line or record, the value, and what is expected.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath
from typing import Any

from electra_pipeline.inputs.decoding import decoded_text
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.formats import FORMAT_OF_SUFFIX, Format
from electra_pipeline.inputs.records import read_records, resolve_format
from electra_pipeline.tasks.data.conll import tagged_sentences
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.examples import Example, record_examples
from electra_pipeline.tasks.data.hub import class_names_in_file, with_class_names
from electra_pipeline.tasks.data.squad import COLUMNS, has_answers, squad_document
from electra_pipeline.tasks.data.values import Record, is_blank, require
from electra_pipeline.tasks.task import Column, Task

ANNOTATIONS = (".ann", ".spacy")  # brat's, spaCy's
RECORD_FORMATS = ("jsonl", "json", "parquet", "arrow")


def read_examples(context: ReadContext, file: SourceFile) -> Iterator[Example]:
    """Yield the examples of one file in order."""
    if context.task.type == "tagging" and not _has_records(context.task, file):
        yield from tagged_sentences(context, file.name, _lines(context.task, file))
    else:
        yield from record_examples(context, _records(context, file))


def has_labels(context: ReadContext, file: SourceFile) -> bool:
    """Return whether a record of a file has a label; all -1, as on the Hub, is none."""
    task = context.task
    if task.type == "tagging" and not _has_records(task, file):
        first = next((line for line in _lines(task, file) if line.strip() and line[0] != "#"), "")
        return len(first.split()) > 1
    records = (record for _, record in _records(context, file))
    if task.type == "question-answering":
        return any(map(has_answers, islice(records, 2)))  # the first may be MRQA's header
    column = context.columns.label
    if task.type == "tagging" and not isinstance(column, str):
        column = "tags"
    top = str(column).split(".")[0]
    values = (require(each, column, file.name) for each in records if {column, top} & each.keys())
    return any(not is_blank(value) and value != -1 for value in values)


def _has_records(task: Task, file: SourceFile) -> bool:
    """Return whether a tagging file has records with lists, and not a word a line.

    Raises ValueError for unsupported formats.
    """
    if file.suffix in ANNOTATIONS:
        raise ValueError(
            f"{file.name}: annotations by offsets ({file.suffix}) are not supported; write a word "
            "and its tag a line, separated by a tab, with an empty line after each sentence (CoNLL)"
        )
    format = _format(task, file)
    if format == "csv":
        raise ValueError(
            f"{file.name}: csv is not supported for words with tags; write a word and its tag a "
            "line, separated by a tab, with an empty line after each sentence, or jsonl with lists"
        )
    return format in RECORD_FORMATS


def _has_question_rows(task: Task, file: SourceFile) -> bool:
    """Return whether questions are in rows, and not in one JSON value.

    Raises ValueError for csv.
    """
    format = _format(task, file)
    if format in ("csv", "tsv"):
        raise ValueError(
            f"{file.name}: questions are read from SQuAD's json, jsonl, parquet or arrow; "
            "write one object a line with id, context, question and answers"
        )
    return format in ("jsonl", "parquet", "arrow")


def _format(task: Task, file: SourceFile) -> Format | None:
    """Return the format of a file; None for an unknown suffix."""
    return FORMAT_OF_SUFFIX.get(file.suffix) if task.format == "auto" else task.format


# --- tables ---------------------------------------------------------------------------------------


def _records(context: ReadContext, file: SourceFile) -> Iterator[Record]:
    """Yield the file's records, with names in place of the class indexes of Arrow's features."""
    task = context.task
    if task.type == "question-answering" and not _has_question_rows(task, file):
        yield file.name, squad_document(read_text(task, file), file.name)
        return
    resolved = resolve_format(file, task.format)
    used = _used_columns(context)
    if resolved == "tsv" and task.type in ("classification", "regression"):
        yield from _tsv_records(context, file, used)
        return
    # other formats always name their columns
    has_header = resolved not in ("csv", "tsv") or any(isinstance(each, str) for each in used)
    records = read_records(
        file,
        task.format,
        encoding=task.encoding or "utf-8",
        columns=_read_columns(task, used),
        has_header=has_header,
    )
    is_text = resolved == "text" and task.type == "classification"
    label = {context.columns.label: label_in_name(task, file)} if is_text else {}
    names = class_names_in_file(file, resolved)
    for number, record in enumerate(records, start=1):
        where = f"{file.name}: record {number}"
        try:
            named = with_class_names(record, names)
        except ValueError as error:
            raise ValueError(f"{where}: {error}; repair it") from error
        yield where, _with_negative_positions({**named, **label}, [] if has_header else used)


def _read_columns(task: Task, used: Sequence[Column]) -> list[str]:
    """Return the columns to read of parquet and Arrow files."""
    if task.type == "question-answering":
        return [*COLUMNS]
    named = [column for column in used if isinstance(column, str)]
    return [*named, "tokens", "tags", "index", "idx", "id"]


def _used_columns(context: ReadContext) -> list[Column]:
    columns = context.columns
    used = [columns.text, columns.pair, columns.label if context.labelled else None]
    used += columns.choices if context.task.type == "multiple-choice" else ()
    return [column for column in used if column is not None]


def _with_negative_positions(record: dict[Any, Any], used: Sequence[Column]) -> dict[Any, Any]:
    """Return a record of a file without a header, with keys from -1 backwards if one is used."""
    if not any(isinstance(column, int) and column < 0 for column in used):
        return record
    width = len(record)
    return record | {position - width: value for position, value in enumerate(record.values())}


def label_in_name(task: Task, file: SourceFile) -> str:
    """Return the one label in a plain text file's name, which is that of all its lines."""
    name = PurePath(file.name).name
    found = [label for label in task.labels or () if label in name]
    if len(found) != 1:
        raise ValueError(
            f"{file.name}: a plain text file has one class, and its name must contain exactly one "
            f"of the labels {', '.join(task.labels or ()) or '(none are set)'}; set labels, give a "
            "file with a label column (format csv or tsv), or a folder with one folder a class"
        )
    return found[0]


def _tsv_records(
    context: ReadContext, file: SourceFile, used: Sequence[Column]
) -> Iterator[Record]:
    """Yield the rows of a tsv file as GLUE publishes it: without quoting.

    It has no header row if the used columns are positions.
    """
    lines = enumerate(_lines(context.task, file), start=1)
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
            yield f"{file.name}:{number}", _with_negative_positions(record, used)
        elif context.task.short_rows == "drop":
            context.dropped["too_few_columns"] += 1
        else:
            raise ValueError(
                f"{file.name}:{number}: expected {width} columns, got {len(cells)}; "
                "repair or remove the line"
            )


def _lines(task: Task, file: SourceFile) -> list[str]:
    """Return the lines of a file without their ends."""
    # Not splitlines(): U+2028, U+0085 and a lone carriage return are part of the text.
    text = read_text(task, file)
    end = "\n" if "\n" in text else "\r"  # of old Macs
    return [line.removesuffix("\r") for line in text.split(end)]


def read_text(task: Task, file: SourceFile) -> str:
    """Return all text of a file, in the first of the task's encodings that can decode it."""
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
