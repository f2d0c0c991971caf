"""All parts of a large file together have its records, wherever it is split."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.config import FilesSource
from electra_pipeline.corpus.sources.plan import plan
from electra_pipeline.inputs import parts
from electra_pipeline.inputs.files import UrlFile, fetch
from electra_pipeline.inputs.parts import Part, lines_of
from electra_pipeline.inputs.records import read_records


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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.data())
def test_the_groups_of_all_parts_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(sizes)))
    rows = [f"row {n}" for n in range(sum(sizes))]
    words = pa.array([one[-1] for one in rows], pa.string()).dictionary_encode()
    table = pa.table({"text": pa.array(rows, pa.string()), "word": words})
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    batches = [table.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    folder = tmp_path_factory.mktemp("groups")
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        for batch in batches:
            writer.write_table(batch)
    with pq.ParquetWriter(folder / "a.parquet", table.schema) as writer:
        for batch in batches:
            writer.write_table(batch)
    for name in ("a.arrow", "a.parquet"):
        file = fetch(UrlFile(url=str(folder / name)))
        whole = list(read_records(file))
        assert [record["text"] for record in whole] == rows
        found = [list(read_records(file, part=Part(n, number))) for n in range(number)]
        assert [record for part in found for record in part] == whole


def texts(folder: Path, name: str, **reading: object) -> list[list[str]]:
    """The texts of each partition of a file."""
    source = FilesSource.model_validate({"urls": [f"{folder}/{name}"], **reading})
    return [[document.text for document in partition.read()] for partition in plan([source])]


def test_large_files_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [f"This is document number {n}, é." for n in range(1000)]
    lines = "".join(json.dumps({"text": one}) + "\n" for one in expected)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.txt").write_text("\n".join(expected))
    table = pa.table({"text": expected})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    for name, new in (("a.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with new(tmp_path / name, table.schema) as writer:
            writer.write_table(table, max_chunksize=300)
    (tmp_path / "wide.jsonl").write_text(lines, encoding="utf-16")
    names = [("a.jsonl", {}), ("a.txt", {"documents": "line"}), ("a.parquet", {}), ("a.arrow", {})]
    for name, reading in names:
        assert texts(tmp_path, name, **reading) == [expected]
    monkeypatch.setattr(parts, "PART_BYTES", 4000)
    for name, reading in names:
        found = texts(tmp_path, name, **reading)
        assert len(found) > 1
        assert [one for partition in found for one in partition] == expected
        assert texts(tmp_path, name, max_documents_per_file=5, **reading) == [expected[:5]]
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    assert len(texts(tmp_path, "a.parquet")) == 4  # not more than there are row groups
    assert len(texts(tmp_path, "a.arrow")) == 4
    assert texts(tmp_path, "stream.arrow") == [expected]  # which has no index
    assert texts(tmp_path, "wide.jsonl", encoding="utf-16") == [expected]
    assert len(texts(tmp_path, "a.txt")) == 1


def test_an_invalid_line_is_reported_with_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1000)
    lines = [json.dumps({"text": "x" * 90}) for _ in range(30)]
    lines[25] = "{"
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = FilesSource.model_validate({"urls": [str(tmp_path / "a.jsonl")]})
    *good, last = plan([source])
    assert sum(len(list(partition.read())) for partition in good) == 20
    with pytest.raises(ValueError, match=r"a\.jsonl \(part 3 of 3\): line 6: invalid JSON"):
        list(last.read())
