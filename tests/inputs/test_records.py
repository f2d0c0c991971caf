import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.inputs import columnar, records
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import Format, read_records, require_column

ROWS = [{"id": "1", "text": 'say "hi",\nthere'}, {"id": "2", "text": "Größe\u2028x"}]
Write = Callable[[str, bytes], SourceFile]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, data: bytes) -> SourceFile:
        (tmp_path / name).write_bytes(data)
        return SourceFile(name, "", str(tmp_path / name))

    return write


def as_csv(line_end: str = "\r\n") -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, ["id", "text"], lineterminator=line_end)
    writer.writeheader()
    writer.writerows(ROWS)
    return buffer.getvalue().encode()


def as_arrow(new: Callable[..., Any], num_batches: int = 1) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(ROWS)
    with new(sink, table.schema) as writer:
        for _ in range(num_batches):
            writer.write_table(table)
    return bytes(sink.getvalue())


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return bytes(sink.getvalue())


FILES = {
    "a.jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    "blank.jsonl": "\r\n\r\n".join(json.dumps(row) for row in ROWS).encode() + b"\r\n",
    "a.json": json.dumps(ROWS).encode(),
    "unix.csv": as_csv("\n"),
    "dos.csv": as_csv(),
    "marked.csv": b"\xef\xbb\xbf" + as_csv(),
    "a.parquet": as_parquet(),
    "file.arrow": as_arrow(pa.ipc.new_file),
    "stream.arrow": as_arrow(pa.ipc.new_stream),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_records(name: str, write: Write) -> None:
    assert list(read_records(write(name, FILES[name]))) == ROWS
    assert list(read_records(write(f"{name}.gz", gzip.compress(FILES[name])))) == ROWS


def test_tsv_takes_quotes_as_they_are(write: Write) -> None:
    data = b'index\tsentence\r\n0\t"an odd quote\r\n1\tx " y\n'
    assert list(read_records(write("dev.tsv", data))) == [
        {"index": "0", "sentence": '"an odd quote'},
        {"index": "1", "sentence": 'x " y'},
    ]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_csv_without_commas_in_its_header_is_separated_by_what_is_there(
    write: Write, separator: str
) -> None:
    data = f'text{separator}price\n"a, b{separator} c"{separator}0,5\n'.encode()
    assert list(read_records(write("a.csv", data))) == [
        {"text": f"a, b{separator} c", "price": "0,5"}
    ]


def test_a_comma_in_the_header_separates_whatever_else_is_there(write: Write) -> None:
    assert list(read_records(write("a.csv", b"a;b,c\n1;2,3\n"))) == [{"a;b": "1;2", "c": "3"}]


def test_text_gives_lines(write: Write) -> None:
    data = "\ufeffone\r\n\ntwo\x0b\u2028still two\nend".encode()
    lines = [record["text"] for record in read_records(write("a.txt", data))]
    assert lines == ["one", "", "two\x0b\u2028still two", "end"]


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab\n\rä\u4e00\U0001f600")), size=st.integers(1, 9))
def test_block_size_never_shows(
    text: str, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(text.encode())
    default = records.BLOCK_BYTES
    records.BLOCK_BYTES = size
    try:
        got = [record["text"] for record in read_records(SourceFile("a.txt", "", str(path)))]
    finally:
        records.BLOCK_BYTES = default
    lines = text.split("\n")
    assert got == [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]


def test_fields_may_be_long(write: Write) -> None:
    long = "x" * 1_000_000
    [record] = read_records(write("a.csv", f"text\n{long}\n".encode()))
    assert record["text"] == long


def test_json_as_python_writes_it(write: Write) -> None:
    [record] = read_records(write("a.jsonl", b'{"text": "a \\ud83d b", "score": NaN}\n'))
    assert record["text"] == "a \ud83d b"


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "gb18030", "utf-8"])
def test_encodings(write: Write, encoding: str) -> None:
    text = "größe" if encoding == "cp1252" else "größe 大小"
    file = write("a.csv", f"text\n{text}\n".encode(encoding))
    assert list(read_records(file, encoding=encoding)) == [{"text": text}]


DEEP = b"[" * 200_000 + b"]" * 200_000  # the reader's own stack is not the file's to fill
BAD: list[tuple[str, bytes, Format, str]] = [
    ("a.jsonl", b'{"text": 1}\n\n{"text": \n', "auto", "line 3: broken JSON"),
    ("a.jsonl", b'{"a": 1}\n[2]\n', "auto", "line 2: a JSON list where an object"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "auto", "line 2, byte 16: not valid utf-8"),
    ("a.txt", b"\xef\xbb\xbfab\n\xc3", "auto", "line 2, byte 6: not valid utf-8"),
    ("a.csv", b"text\nok\nbr\xe4ve\n", "auto", "line 3, byte 10: .*set encoding"),
    ("a.csv", b"id,text\n1,a\n2,b,c\n", "auto", "line 3: 3 fields, the header has 2"),
    ("a.csv", b'id,text\n1,"never closed\n2,b\n', "auto", "line 3: broken csv .*quoting"),
    ("a.csv", b"text,text\na,b\n", "auto", "line 1: a column name comes twice"),
    ("a.tsv", b"a\tb\n1\n", "auto", "line 2: 1 fields, the header has 2"),
    ("a.json", b'{"a": 1}\n{"a": 2}\n', "auto", "broken JSON.*format to jsonl"),
    ("a.json", b'{"a": 1}', "auto", "a JSON dict where a list"),
    ("a.json", b"[1]", "auto", "record 1: a JSON int where an object"),
    ("a.jsonl", b'{"a": 1}\n{"a": ' + DEEP + b"}", "auto", "line 2: broken JSON .nested too"),
    ("a.json", DEEP, "auto", "broken JSON .nested too deeply"),
    ("a.json", b"[" + b"1" * 5000 + b"]", "auto", "broken JSON .Exceeds the limit"),
    ("a.parquet", as_parquet()[:-20], "auto", "not a whole parquet file"),
    ("a.parquet", b"", "auto", "not a whole parquet file"),
    ("a.arrow", as_arrow(pa.ipc.new_file)[:-20], "auto", "not a whole arrow file"),
    ("a.arrow", b"", "auto", "not a whole arrow file"),
    (
        "a.7z",
        b"x",
        "auto",
        "its name does not tell the format; set format to one of text, jsonl, csv",
    ),
    ("a.txt", "one".encode("utf-16"), "auto", "line 1, byte 0: .* set encoding to utf-16$"),
    ("a.csv", b"\xfe\xff" + "a".encode("utf-16-be"), "auto", ".* set encoding to utf-16$"),
    ("a.jsonl", "{}".encode("utf-32"), "auto", ".* set encoding to utf-32$"),
    ("a.jsonl", as_parquet(), "jsonl", "line 2, byte 85: not valid utf-8"),
]


@pytest.mark.parametrize(("name", "data", "format", "message"), BAD)
def test_bad_input_names_file_and_place(
    name: str, data: bytes, format: Format, message: str, write: Write
) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: {message}") as caught:
        list(read_records(write(name, data), format))
    assert "\n" not in str(caught.value)


def test_a_stream_cut_between_batches_is_refused(write: Write) -> None:
    whole = as_arrow(pa.ipc.new_stream, num_batches=3)
    reader = pa.BufferReader(whole)
    stream = pa.ipc.open_stream(reader)
    stream.read_next_batch()
    cut = whole[: reader.tell()]
    assert pa.ipc.open_stream(cut).read_all().num_rows == 2  # pyarrow does not notice
    with pytest.raises(ValueError, match="not a whole arrow file"):
        list(read_records(write("a.arrow", cut)))


def test_an_empty_csv_has_no_records(write: Write) -> None:
    assert list(read_records(write("a.csv", b""))) == []


def test_unknown_encodings_are_named(write: Write) -> None:
    with pytest.raises(ValueError, match=r"a\.txt: unknown encoding 'utf-9'"):
        list(read_records(write("a.txt", b"x"), encoding="utf-9"))


def test_a_missing_column_lists_the_others(write: Write) -> None:
    file = write("a.csv", b"")
    assert require_column({"id": 1}, "id", file) == 1
    with pytest.raises(ValueError, match=r"a.csv: no column 'text'; it has 'id', 'body'"):
        require_column({"id": 1, "body": 2}, "text", file)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"short\n" * 300 + b"x" * 3000 + b"\nrest", "line 301: more than 1000 bytes"),
        ("a.jsonl", b'{"a": 1}\n{"a": "' + b"x" * 3000 + b'"}\n', "line 2: more than 1000 bytes"),
        ("a.csv", b'a,b\n"' + b"x\n" * 3000 + b'",c\n', r"line \d+: broken csv \(field larger"),
    ],
)
def test_a_record_too_large_for_memory_names_its_line(
    name: str, data: bytes, message: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(records, "BLOCK_BYTES", 256)
    with pytest.raises(ValueError, match=rf"^{name}: {message}") as caught:
        list(read_records(write(name, data)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", json.dumps(ROWS * 100).encode(), "a JSON list of more than 500 characters"),
        ("a.parquet.gz", gzip.compress(as_parquet()), "more than 500 bytes, .* decompress it"),
    ],
)
def test_what_must_be_held_in_memory_is_bounded(
    name: str, data: bytes, message: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(read_records(write(name, data)))
    monkeypatch.setattr(records, "MAX_LIST_CHARACTERS", 500)
    monkeypatch.setattr(columnar, "MAX_FILE_BYTES", 500)
    monkeypatch.setattr(records, "BLOCK_BYTES", 256)
    with pytest.raises(ValueError, match=rf"^{name}: {message}") as caught:
        list(read_records(write(name, data)))
    assert "\n" not in str(caught.value)


def test_text_in_utf_16_without_its_mark_is_told(write: Write) -> None:
    data = "one\n".encode("utf-16-le")
    with pytest.raises(ValueError, match=r"^a\.txt: not valid utf-16 .*; set encoding to the one"):
        list(read_records(write("a.txt", data), encoding="utf-16"))


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_text_that_is_none_is_refused(write: Write, new: Callable[..., Any]) -> None:
    whole = as_arrow(new)
    damaged = whole.replace(b"there", b"th\xffre")
    assert damaged != whole
    with pytest.raises(ValueError, match=r"^a\.arrow: not a whole arrow file \(.*UTF"):
        list(read_records(write("a.arrow", damaged)))
