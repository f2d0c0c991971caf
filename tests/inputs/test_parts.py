"""Parts of large files: together they are the file, whatever is cut where."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus import readers
from electra_pipeline.corpus.sources import FilesSource
from electra_pipeline.inputs import parts
from electra_pipeline.inputs.parts import Part, lines_of


@given(st.lists(st.binary(max_size=6)), st.integers(1, 9), st.integers(1, 5))
def test_the_lines_of_all_parts_are_those_of_the_file(
    pieces: list[bytes], number: int, search_bytes: int
) -> None:
    data = b"\n".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "SEARCH_BYTES", search_bytes)
        found = [lines_of(io.BytesIO(data), Part(n, number)).read() for n in range(number)]
    assert b"".join(found) == data
    cuts = [part for part in found if part][:-1]
    assert all(part.endswith(b"\n") for part in cuts)  # no line is cut in two


def texts(folder: Path, name: str, **reading: object) -> list[list[str]]:
    """The texts of each piece of a file."""
    source = FilesSource.model_validate({"urls": [f"{folder}/{name}"], **reading})
    return [[document.text for document in piece.read()] for piece in readers.plan([source])]


def test_large_files_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [f"This is document number {n}, é." for n in range(1000)]
    lines = "".join(json.dumps({"text": one}) + "\n" for one in expected)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.txt").write_text("\n".join(expected))
    table = pa.table({"text": expected})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    (tmp_path / "wide.jsonl").write_text(lines, encoding="utf-16")
    names = [("a.jsonl", {}), ("a.txt", {"documents": "line"}), ("a.parquet", {})]
    for name, reading in names:
        assert texts(tmp_path, name, **reading) == [expected]
    monkeypatch.setattr(parts, "PART_BYTES", 4000)
    for name, reading in names:
        found = texts(tmp_path, name, **reading)
        assert len(found) > 1
        assert [one for piece in found for one in piece] == expected
        assert texts(tmp_path, name, max_documents_per_file=5, **reading) == [expected[:5]]
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    assert len(texts(tmp_path, "a.parquet")) == 4  # not more than there are row groups
    assert texts(tmp_path, "wide.jsonl", encoding="utf-16") == [expected]
    assert len(texts(tmp_path, "a.txt")) == 1


def test_a_broken_line_is_named_with_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1000)
    lines = [json.dumps({"text": "x" * 90}) for _ in range(30)]
    lines[25] = "{"
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = FilesSource.model_validate({"urls": [str(tmp_path / "a.jsonl")]})
    *good, last = readers.plan([source])
    assert sum(len(list(piece.read())) for piece in good) == 20
    with pytest.raises(ValueError, match=r"a\.jsonl \(part 3 of 3\): line 6: broken JSON"):
        list(last.read())
