"""Files as other programs write them: lone surrogates, csv without a header, old line ends."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.files import read_examples


def read(path: Path, **columns: Any) -> list[Any]:
    task = UserTask(name="x", train=str(path), **{"type": "classification", **columns}).as_task()
    context = ReadContext(task, task.columns, labelled=True)
    return list(read_examples(context, SourceFile(path.name, "", str(path))))


@pytest.mark.parametrize("column", ["text", "label", "pair"])
def test_lone_surrogate_is_named_with_its_record(tmp_path: Path, column: str) -> None:
    rows = [{"text": "a", "pair": "b", "label": "x"} for _ in range(3)]
    rows[1][column] += " \ud83d"
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    message = rf"^a\.jsonl: record 2: column '{column}' has half of a character \(\\ud83d\)"
    with pytest.raises(ValueError, match=message):
        read(path, pair_column="pair")


def test_lone_surrogate_in_a_word_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"tokens": ["a", "\udc00"], "tags": ["O", "O"]}))
    with pytest.raises(ValueError, match=re.escape("record 1: column 'tokens' has half of a ch")):
        read(path, type="tagging")


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_columns_are_counted_in_csv_as_in_tsv(tmp_path: Path, suffix: str) -> None:
    separator = "," if suffix == "csv" else "\t"
    path = tmp_path / f"a.{suffix}"
    path.write_text(f"1{separator}Title{separator}One text\n2{separator}Other{separator}Two\n")
    examples = read(path, text_column=2, label_column=0)
    assert [(example.text, example.label) for example in examples] == [
        ("One text", "1"),
        ("Two", "2"),
    ]


def test_unused_columns_are_not_read(tmp_path: Path) -> None:
    dates = pa.array([0, -1_000_000], pa.date32())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"], "date": dates}), path)
    assert [example.label for example in read(path)] == ["x", "y"]
    with pytest.raises(ValueError, match="no column 'body'; it has 'text', 'label', 'date'"):
        read(path, text_column="body")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "conll"])
def test_all_line_ends_are_read(tmp_path: Path, end: str, suffix: str) -> None:
    separator = {"csv": ",", "conll": " "}.get(suffix, "\t")
    rows = [("text", "label"), ("one", "O"), ("two", "O")]
    lines = [separator.join(row) for row in rows]
    columns: dict[str, Any] = {}
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
    if suffix == "conll":
        lines = [lines[1], "", lines[2]]
        columns = {"type": "tagging", "text_column": 0, "label_column": 1}
    path = tmp_path / f"a.{suffix}"
    path.write_bytes((end.join(lines) + end).encode())
    assert len(read(path, **columns)) == 2


def test_missing_column_of_csv_without_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,Title\n")
    with pytest.raises(ValueError, match=r"a\.csv: record 1: no column 2; it has 0, 1"):
        read(path, text_column=2, label_column=0)
