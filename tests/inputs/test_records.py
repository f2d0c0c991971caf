import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.inputs import columnar, decoding, records
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.formats import Format
from electra_pipeline.inputs.records import read_records

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


def test_tsv_has_no_quoting(write: Write) -> None:
    data = b'index\tsentence\r\n0\t"an odd quote\r\n1\tx " y\n'
    assert list(read_records(write("dev.tsv", data))) == [
        {"index": "0", "sentence": '"an odd quote'},
        {"index": "1", "sentence": 'x " y'},
    ]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_csv_header_without_commas_sets_the_separator(write: Write, separator: str) -> None:
    data = f'text{separator}price\n"a, b{separator} c"{separator}0,5\n'.encode()
    assert list(read_records(write("a.csv", data))) == [
        {"text": f"a, b{separator} c", "price": "0,5"}
    ]


def test_a_comma_in_the_header_is_the_separator(write: Write) -> None:
    assert list(read_records(write("a.csv", b"a;b,c\n1;2,3\n"))) == [{"a;b": "1;2", "c": "3"}]


def test_text_gives_lines(write: Write) -> None:
    data = "\ufeffone\r\n\ntwo\x0b\u2028still two\nend".encode()
    lines = [record["text"] for record in read_records(write("a.txt", data))]
    assert lines == ["one", "", "two\x0b\u2028still two", "end"]


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab\n\rä\u4e00\U0001f600")), size=st.integers(1, 9))
def test_records_do_not_depend_on_the_block_size(
    text: str, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("blocks") / "a.txt"
    path.write_bytes(text.encode())
    default = decoding.BLOCK_BYTES
    decoding.BLOCK_BYTES = size
    try:
        got = [record["text"] for record in read_records(SourceFile("a.txt", "", str(path)))]
    finally:
        decoding.BLOCK_BYTES = default
    lines = re.split("\r*\n|\r", text)
    assert got == (lines if lines[-1] else lines[:-1])


def test_fields_may_be_long(write: Write) -> None:
    long = "x" * 1_000_000
    [record] = read_records(write("a.csv", f"text\n{long}\n".encode()))
    assert record["text"] == long


def test_json_written_by_python_is_read(write: Write) -> None:
    [record] = read_records(write("a.jsonl", b'{"text": "a \\ud83d b", "score": NaN}\n'))
    assert record["text"] == "a \ud83d b"


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "gb18030", "utf-8"])
def test_encodings(write: Write, encoding: str) -> None:
    text = "größe" if encoding == "cp1252" else "größe 大小"
    file = write("a.csv", f"text\n{text}\n".encode(encoding))
    assert list(read_records(file, encoding=encoding)) == [{"text": text}]


DEEP = b"[" * 200_000 + b"]" * 200_000  # the reader's own stack is not the file's to fill
BAD: list[tuple[str, bytes, Format, str]] = [
    ("a.jsonl", b'{"text": 1}\n\n{"text": \n', "auto", "line 3: invalid JSON"),
    ("a.jsonl", b'{"a": 1}\n[2]\n', "auto", "line 2: a JSON list, expected an object"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "auto", "line 2, byte 16: not valid utf-8"),
    ("a.txt", b"\xef\xbb\xbfab\n\xc3", "auto", "line 2, byte 6: not valid utf-8"),
    ("a.csv", b"text\nok\nbr\xe4ve\n", "auto", "line 3, byte 10: .*set encoding"),
    ("a.csv", b"id,text\n1,a\n2,b,c\n", "auto", "line 3: 3 fields, expected 2"),
    ("a.csv", b'id,text\n1,"never closed\n2,b\n', "auto", "line 3: invalid csv .*quoting"),
    ("a.csv", b"text,text\na,b\n", "auto", "line 1: duplicate column name"),
    ("a.zip", b"x", "auto", r"an archive; name the files in it, as in zip://\*\.txt::a\.zip$"),
    ("a.tar.gz", b"x", "auto", r"an archive; .*, as in tar://\*\.txt::a\.tar\.gz$"),
    ("a.jsonl", b'[{"a": 1}]', "auto", "line 1: a JSON list, .*; if .* set format to json"),
    ("a.tsv", b"a\tb\n1\n", "auto", "line 2: 1 fields, expected 2"),
    ("a.json", b'{"a": 1}\n{"a": 2}\n', "auto", "invalid JSON.*format to jsonl"),
    ("a.json", b"[1]", "auto", "record 1: a JSON number, expected an object"),
    ("a.json", b'"a"', "auto", "record 1: a JSON string, expected an object"),
    ("a.jsonl", b'{"a": 1}\nnull\n', "auto", "line 2: a JSON null, expected an object"),
    ("a.jsonl", b'{"a": 1}{"a": 2}\n', "auto", "line 1: invalid JSON .* jq -c .$"),
    ("a.jsonl", b'{"a": 1},\n{"a": 2}\n', "auto", "line 1: invalid JSON .*without commas between"),
    ("a.jsonl", b'{\n "a": 1\n}\n', "auto", "line 1: .* one list or object, set format to json"),
    ("a.jsonl", b'[\n{"a": 1},\n', "auto", "line 1: .* one list or object, set format to json"),
    ("a.jsonl", b"<html>\n", "auto", "line 1: .* a server's error page; download it again"),
    ("a.csv", b'a,b\n1,"say \\"x\\" now"\n', "auto", "line 2: .* a quote is written twice"),
    (
        "a.tsv",
        b'a\tb\n1\t"x\ny"\n',
        "auto",
        r"line 3: 1 fields, .* \(csv, if its fields are quoted\)",
    ),
    ("a.txt", b"SQLite format 3\0" + bytes(99), "auto", "it is an SQLite database, .*export"),
    (
        "a.csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..",
        "auto",
        "it is an office document, .*as csv",
    ),
    ("a.db", b"SQLite format 3\0" + bytes(99), "auto", "it is an SQLite database"),
    ("._a.txt", b"\0\5\x16\7" + bytes(99), "auto", "it is a metadata file of macOS"),
    ("a.xlsx", b"PK\3\4" + bytes(99), "auto", "it is a zip archive .or an office document"),
    ("a.jsonl", b'{"a": 1}\n{"a": ' + DEEP + b"}", "auto", "line 2: invalid JSON .nested too"),
    ("a.json", DEEP, "auto", "invalid JSON .nested too deeply"),
    ("a.json", b"[" + b"1" * 5000 + b"]", "auto", "invalid JSON .Exceeds the limit"),
    ("a.parquet", as_parquet()[:-20], "auto", "not a complete parquet file"),
    ("a.parquet", b"", "auto", "not a complete parquet file"),
    ("a.arrow", as_arrow(pa.ipc.new_file)[:-20], "auto", "not a complete arrow file"),
    ("a.arrow", b"", "auto", "not a complete arrow file"),
    (
        "a.7z",
        b"x",
        "auto",
        "its suffix names no known format; set format to one of text, jsonl, csv",
    ),
    ("a.txt", "one".encode("utf-16"), "auto", "line 1, byte 0: .* set encoding to utf-16$"),
    ("a.csv", b"\xfe\xff" + "a".encode("utf-16-be"), "auto", ".* set encoding to utf-16$"),
    ("a.jsonl", "{}".encode("utf-32"), "auto", ".* set encoding to utf-32$"),
    ("a.jsonl", as_parquet(), "jsonl", "line 2, byte 85: not valid utf-8"),
]


@pytest.mark.parametrize(("name", "data", "format", "message"), BAD)
def test_invalid_input_is_reported_with_file_and_line(
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
    with pytest.raises(ValueError, match="not a complete arrow file"):
        list(read_records(write("a.arrow", cut)))


def test_an_empty_csv_has_no_records(write: Write) -> None:
    assert list(read_records(write("a.csv", b""))) == []


def test_unknown_encodings_are_named(write: Write) -> None:
    with pytest.raises(ValueError, match=r"a\.txt: unknown encoding 'utf-9'"):
        list(read_records(write("a.txt", b"x"), encoding="utf-9"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"short\n" * 300 + b"x" * 3000 + b"\nrest", "line 301: more than 1000 bytes"),
        ("a.jsonl", b'{"a": 1}\n{"a": "' + b"x" * 3000 + b'"}\n', "line 2: more than 1000 bytes"),
        ("a.csv", b'a,b\n"' + b"x\n" * 3000 + b'",c\n', r"line \d+: invalid csv \(field larger"),
    ],
)
def test_a_record_too_large_for_memory_names_its_line(
    name: str, data: bytes, message: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(decoding, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(decoding, "BLOCK_BYTES", 256)
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
def test_files_that_must_fit_in_memory_are_limited(
    name: str, data: bytes, message: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(read_records(write(name, data)))
    monkeypatch.setattr(records, "MAX_LIST_CHARACTERS", 500)
    monkeypatch.setattr(columnar, "MAX_FILE_BYTES", 500)
    monkeypatch.setattr(decoding, "BLOCK_BYTES", 256)
    with pytest.raises(ValueError, match=rf"^{name}: {message}") as caught:
        list(read_records(write(name, data)))
    assert "\n" not in str(caught.value)


def test_utf_16_without_its_mark_is_reported(write: Write) -> None:
    data = "one\n".encode("utf-16-le")
    with pytest.raises(
        ValueError, match=r"^a\.txt: not valid utf-16 .*; set encoding to utf-16-le or"
    ):
        list(read_records(write("a.txt", data), encoding="utf-16"))


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_invalid_arrow_text_is_refused(write: Write, new: Callable[..., Any]) -> None:
    whole = as_arrow(new)
    damaged = whole.replace(b"there", b"th\xffre")
    assert damaged != whole
    with pytest.raises(ValueError, match=r"^a\.arrow: record 1 .* column 'text' .*\(.*UTF"):
        list(read_records(write("a.arrow", damaged)))


def text_and(other: pa.Array, new: Callable[..., Any] | None = None) -> bytes:
    """A file with two columns, as parquet or by an Arrow writer."""
    table = pa.table({"text": ["one", "two"], "other": other})
    sink = pa.BufferOutputStream()
    if new is None:
        pq.write_table(table, sink)
    else:
        with new(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())


NO_UTF_8 = pa.Array.from_buffers(
    pa.string(),
    2,
    [None, pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfeab")],
)
UNREADABLE = {
    "date": pa.array([0, -1_000_000], pa.date32()),
    "time": pa.array([0, 300_000_000_000_000_000], pa.timestamp("us")),
    "zone": pa.array([1, 2], pa.timestamp("us", tz="Mars/Phobos")),
    "text": NO_UTF_8,
}
COLUMNAR = [(".parquet", None), (".arrow", pa.ipc.new_file), (".arrow", pa.ipc.new_stream)]


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize(("suffix", "new"), COLUMNAR)
def test_invalid_values_in_unread_columns_do_not_matter(
    write: Write, kind: str, suffix: str, new: Callable[..., Any] | None
) -> None:
    file = write(f"a{suffix}", text_and(UNREADABLE[kind], new))
    rows = [{"text": text, "other": None} for text in ("one", "two")]
    assert list(read_records(file, columns=["text", "url"])) == rows
    with pytest.raises(ValueError, match="record 1 or one of the following: column 'other' has"):
        list(read_records(file))


@pytest.mark.parametrize(("suffix", "new"), COLUMNAR)
def test_columns_inside_of_objects(
    write: Write, suffix: str, new: Callable[..., Any] | None
) -> None:
    bodies = pa.array([{"text": "inside", "other": 1}, None])
    file = write(f"a{suffix}", text_and(bodies, new))
    rows = list(read_records(file, columns=["other.text"]))
    assert [row["text"] for row in rows] == [None, None]
    assert [(row["other"] or {}).get("text") for row in rows] == ["inside", None]
    for absent in ("nothing", "other.nothing", "text.nothing"):
        assert len(list(read_records(file, columns=[absent]))) == 2


@pytest.mark.parametrize(
    "type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
@pytest.mark.parametrize(("suffix", "new"), COLUMNAR)
def test_all_arrow_text_types_are_read(
    write: Write, suffix: str, new: Callable[..., Any] | None, type: pa.DataType
) -> None:
    file = write(f"a{suffix}", text_and(pa.array(["x", None]).cast(type), new))
    assert [row["other"] for row in read_records(file, columns=["other"])] == ["x", None]


def test_an_unread_wide_column_takes_no_memory(write: Write) -> None:
    file = write("a.parquet", text_and(pa.array([b"x" * 100_000_000, b"y" * 50_000_000])))
    before = pa.total_allocated_bytes()
    for _ in read_records(file, columns=["text"]):
        assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_duplicate_column_name_is_refused_if_it_is_read(write: Write) -> None:
    table = pa.table([["a"], ["b"], ["c"]], names=["text", "x", "x"])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    file = write("a.parquet", bytes(sink.getvalue()))
    assert next(read_records(file, columns=["text"]))["text"] == "a"
    with pytest.raises(ValueError, match=r"a\.parquet: duplicate column name 'x'"):
        list(read_records(file, columns=["x"]))


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_all_line_ends_are_read(write: Write, end: str, last: bool) -> None:
    for name, lines in (
        ("a.txt", ["one", "", "two\x85\u2028"]),
        ("a.jsonl", ['{"a": "one"}', "", '{"a": "two"}']),
        ("a.csv", ["a,b", "1,2", "3,4"]),
        ("a.tsv", ["a\tb", "1\t2", "3\t4"]),
    ):
        if end == "\r\r\n" and name.endswith("sv"):
            continue
        got = list(read_records(write(name, (end.join(lines) + end * last).encode())))
        if name == "a.txt":
            assert got == [{"text": line} for line in lines]
        else:
            assert len(got) == 2


def test_line_ends_may_be_mixed_in_text(write: Write) -> None:
    lines = [record["text"] for record in read_records(write("a.txt", b"1\r2\n3\r\n4\r\r5"))]
    assert lines == ["1", "2", "3", "4", "", "5"]


def test_a_carriage_return_in_a_record_is_kept(write: Write) -> None:
    assert list(read_records(write("a.csv", b'a,b\n"x\ry",2\n'))) == [{"a": "x\ry", "b": "2"}]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_without_a_header_columns_are_numbered(write: Write, name: str) -> None:
    separator = "," if name == "a.csv" else "\t"
    file = write(name, f"3{separator}Title{separator}Text\n1{separator}a{separator}b\n".encode())
    assert list(read_records(file, has_header=False)) == [
        {0: "3", 1: "Title", 2: "Text"},
        {0: "1", 1: "a", 2: "b"},
    ]


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        ("größe".encode("cp1252"), "utf-8", r"not valid utf-8 .*set encoding .*cp1252 for most"),
        (b"\x81", "cp1252", "not valid cp1252 .*encoding is not cp1252"),
        (
            "größe 大".encode(),
            "ascii",
            "not valid ascii .*it is valid utf-8.*set encoding to utf-8",
        ),
        (
            b"\xff\xd8\x00\x01\x01\x01\x01\x01",
            "utf-8",
            "not valid utf-8 .*zero bytes, which text does not",
        ),
        ("text\n".encode("utf-16-le"), "utf-8", "line 1: every second byte .*set .* to utf-16-le$"),
        ("text\n".encode("utf-16-be"), "utf-8", "line 1: every second byte .*set .* to utf-16-be$"),
        ("größe".encode("utf-8-sig"), "cp1252", "a byte order mark of utf-8.* encoding to utf-8$"),
        ("größe".encode("utf-16"), "latin-1", "a byte order mark of utf-16.* encoding to utf-16$"),
        (b"\xff\xfea\x00", "utf-16-be", "a byte order mark of utf-16.* encoding to utf-16$"),
    ],
)
def test_a_wrong_encoding_is_reported_with_a_remedy(
    write: Write, data: bytes, encoding: str, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^a\.txt: .*{message}"):
        list(read_records(write("a.txt", data), encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_byte_order_marks_are_removed(write: Write, encoding: str) -> None:
    mark = "" if encoding in ("utf-8-sig", "utf-32") else "\ufeff"
    file = write("a.txt", f"{mark}größe\n".encode(encoding))
    assert list(read_records(file, encoding=encoding)) == [{"text": "größe"}]


def test_json_of_concatenated_files_and_of_shells_is_read(write: Write) -> None:
    file = write("a.jsonl", '{"a": 1}\n\ufeff{"a": "b\tc"}\n'.encode())
    assert list(read_records(file)) == [{"a": 1}, {"a": "b\tc"}]


def test_a_json_file_may_contain_one_object(write: Write) -> None:
    assert list(read_records(write("a.json", b'{\n "text": "a"\n}'))) == [{"text": "a"}]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\na;b\n1;x, y\n",
        '"a";"b"\n1;"x, y"\n',
        "\n\na;b\n1;x, y\n",
        "\ufeffsep=\t\r\na\tb\r\n1\tx, y\r\n",
    ],
)
def test_csv_as_spreadsheets_write_it(write: Write, text: str) -> None:
    assert list(read_records(write("a.csv", text.encode()))) == [{"a": "1", "b": "x, y"}]
    quoted = write("b.csv", b'"a, or so";b\n1;x\n')
    assert list(read_records(quoted)) == [{"a, or so": "1", "b": "x"}]
