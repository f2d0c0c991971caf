"""Files to documents: formats, columns, caps, and that whatever is in a file never does harm."""

import bz2
import gzip
import io
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.sources import readers
from electra_pipeline.corpus.sources.config import (
    FileReading,
    FilesSource,
    HubSource,
    default_label,
    identity,
    shaping_fields,
)
from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.partition import FilePartition
from electra_pipeline.corpus.sources.plan import plan
from electra_pipeline.inputs.files import SourceFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [
    {"text": f"Text number {n}.", "url": f"https://x/{n}", "metadata": {"lang": "en", "n": n}}
    for n in range(4)
]


def partition(path: Path, data: bytes, **reading: Any) -> FilePartition:
    path.write_bytes(data)
    return FilePartition("x", (SourceFile(path.name, "", str(path)),), FileReading(**reading))


def read(path: Path, data: bytes, **reading: Any) -> list[RawDocument]:
    return list(partition(path, data, **reading).read())


def jsonl(*rows: Any) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


OSCAR = {
    "content": "Texto.",
    "warc_headers": {"warc-target-uri": "https://x/es", "content-type": "text/plain"},
    "metadata": {"identification": {"label": "es", "prob": 0.98}},
}


def test_dots_access_nested_objects(tmp_path: Path) -> None:
    columns = {"text_column": "content", "url_column": "warc_headers.warc-target-uri"}
    expected = [RawDocument("Texto.", "https://x/es")]
    assert read(tmp_path / "a.jsonl", jsonl(OSCAR), **columns) == expected
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([OSCAR]), sink)
    assert read(tmp_path / "a.parquet", sink.getvalue(), **columns) == expected


def test_a_column_whose_name_has_dots_wins(tmp_path: Path) -> None:
    row = {"a.b": "literal", "a": {"b": "inner", "b.c": "x"}, "url": "u"}
    assert read(tmp_path / "a.jsonl", jsonl(row), text_column="a.b") == [
        RawDocument("literal", "u")
    ]
    assert read(tmp_path / "a.csv", b"a.b,a\nliteral,x\n", text_column="a.b")[0].text == "literal"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("body", "no column 'body'; it has 'content', 'warc_headers', 'metadata'"),
        ("metadata.text", "no column 'metadata.text'; 'metadata' has 'identification'"),
        ("content.text", "no column 'content.text'; 'content' has none"),
        ("metadata", "record 1: column 'metadata' holds a dict, not text; set text_column"),
    ],
)
def test_a_missing_column_is_an_error(tmp_path: Path, column: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^a\.jsonl: {message}"):
        read(tmp_path / "a.jsonl", jsonl(OSCAR), text_column=column)


def test_records_in_a_list_within_an_object_are_refused(tmp_path: Path) -> None:
    data = json.dumps({"version": "1", "data": [{"text": "a"}]}).encode()
    with pytest.raises(ValueError, match=r"it has 'version', 'data'; .*: jq '\.\[\"data\"\]'$"):
        read(tmp_path / "a.json", data)


def test_many_keys_and_odd_ones_make_one_short_line(tmp_path: Path) -> None:
    many = json.dumps({str(number): {"text": "a"} for number in range(1000)}).encode()
    odd = json.dumps({"a\nb": [{"text": "a"}]}).encode()
    for data, end in ((many, "'29', ..."), (odd, "jq '.[\"a\\nb\"]'")):
        with pytest.raises(ValueError, match="no column 'text'; it has ") as caught:
            read(tmp_path / "a.json", data)
        message = str(caught.value)
        assert message.endswith(end) and len(message) < 400 and "\n" not in message


def test_a_record_without_the_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a\.jsonl: record 2: no column 'text'; it has 'title'$"):
        read(tmp_path / "a.jsonl", jsonl({"text": "a"}, {"title": "b"}))


def as_file(kind: str, rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    """Name and content of a file in each format of records that has objects."""
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    match kind:
        case "parquet":
            pq.write_table(table, sink)
        case "file.arrow" | "stream.arrow":
            new = pa.ipc.new_file if kind == "file.arrow" else pa.ipc.new_stream
            with new(sink, table.schema) as writer:
                writer.write_table(table)
        case "jsonl":
            sink.write(jsonl(*rows))
        case "json":
            sink.write(json.dumps(rows).encode())
    return f"a.{kind}", sink.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "file.arrow", "stream.arrow", "jsonl", "json"])
def test_a_null_object_is_an_empty_document(tmp_path: Path, kind: str) -> None:
    rows = [{"body": {"text": "a", "n": 1}}, {"body": None}, {"body": {"text": None, "n": 2}}]
    name, data = as_file(kind, [rows[1], *rows])
    documents = read(tmp_path / name, data, text_column="body.text", url_column="body.n")
    assert [document.text for document in documents] == ["", "a", "", ""]
    with pytest.raises(ValueError, match=r"no column 'body\.txt'; 'body' has 'text', 'n'"):
        read(tmp_path / name, data, text_column="body.txt")
    with pytest.raises(ValueError, match=r"no column 'text'; it has 'body'"):
        read(tmp_path / name, data)


@pytest.mark.parametrize("kind", ["parquet", "file.arrow", "stream.arrow"])
def test_columns_of_bytes_hold_text_if_it_is_utf_8(tmp_path: Path, kind: str) -> None:
    name, data = as_file(kind, [{"text": "größe".encode()}, {"text": None}])
    assert [document.text for document in read(tmp_path / name, data)] == ["größe", ""]
    name, data = as_file(kind, [{"text": b"ok"}, {"text": b"a\xff"}])
    with pytest.raises(ValueError, match=r"record 2: column 'text' holds bytes that are not utf-8"):
        read(tmp_path / name, data)
    name, data = as_file(kind, [{"text": ["a"]}])
    with pytest.raises(ValueError, match="record 1: column 'text' holds a list, not text"):
        read(tmp_path / name, data)


def test_columns_of_a_csv_without_a_header_are_counted(tmp_path: Path) -> None:
    data = b'"3","Title","Some text"\n"1","Other","More, text"\n'
    texts = [each.text for each in read(tmp_path / "a.csv", data, text_column=2, url_column=1)]
    assert texts == ["Some text", "More, text"]
    assert read(tmp_path / "a.csv", data, text_column=2, url_column=1)[0].url == "Title"
    with pytest.raises(ValueError, match=r"a\.csv: no column 3; it has 3, counted from 0"):
        read(tmp_path / "a.csv", data, text_column=3)
    with pytest.raises(ValueError, match="no column 2; only csv and tsv files have numbered"):
        read(tmp_path / "a.jsonl", jsonl({"text": "a"}), text_column=2)


def test_a_missing_url_is_none(tmp_path: Path) -> None:
    documents = read(tmp_path / "a.jsonl", jsonl({"text": "a", "b": 1}), url_column="b.c")
    assert documents == [RawDocument("a", None)]


def test_an_unpaired_surrogate_in_a_url_drops_only_the_url(tmp_path: Path) -> None:
    row = {"text": "a", "url": "https://x/\ud83d"}
    assert read(tmp_path / "a.jsonl", jsonl(row)) == [RawDocument("a", None)]


@pytest.mark.parametrize("encoding", ["hex", "rot13", "base64", "zlib", "undefined", "utf-9"])
def test_invalid_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match=f"unknown encoding '{encoding}'; try utf-8"):
        FileReading(encoding=encoding)


def test_the_first_documents_of_each_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(jsonl(*ROWS))
    source = FilesSource(urls=(f"{tmp_path}/*",), max_documents_per_file=3)
    counts = [len(list(found.read())) for found in plan([source])]
    assert counts == [3, 3]
    hub = HubSource(path=str(tmp_path), max_documents_per_file=2)
    assert [len(list(found.read())) for found in plan([hub])] == [2, 2]
    with pytest.raises(ValueError, match="max_documents_per_file"):
        FileReading(max_documents_per_file=0)


def test_max_documents_per_file_stops_reading(tmp_path: Path) -> None:
    broken = jsonl(*ROWS) + b"\n{broken\n"
    assert len(read(tmp_path / "a.jsonl", broken, max_documents_per_file=4)) == 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CC-MAIN-1.warc.gz", ".warc.gz"),
        ("CC-MAIN-1.warc.wet.gz", ".wet.gz"),
        ("a.jsonl", ".jsonl"),
        ("a.txt.zst", ".text.zst"),
    ],
)
def test_the_suffix_determines_the_format(name: str, kind: str) -> None:
    assert FilePartition("x", (SourceFile(name, "", ""),), FileReading()).kind == kind


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("texts/a.jsonl.zst", "a"),
        ("s3://bucket/oscar/*.zst", "oscar"),
        ("https://h/d/my%20book.txt?x=1", "my book"),
        ("zip://deep/news.csv::https://h/b.zip", "news"),
        ("zip://news.csv::b.zip", "news"),
        ("texts/std::vector.txt", "std::vector"),
        ("texts [v2]/a.txt", "a"),
        ("s3://bucket/a#b%20/*.txt", "a#b%20"),
    ],
)
def test_a_source_is_named_after_its_file_or_folder(url: str, label: str) -> None:
    assert default_label(url) == label


def test_xml_needs_a_format() -> None:
    file = SourceFile("dump.xml.bz2", "", "")
    with pytest.raises(ValueError, match=r"dump\.xml\.bz2: \.xml .* set format to wikipedia-xml"):
        _ = FilePartition("x", (file,), FileReading()).kind
    assert (
        FilePartition("x", (file,), FileReading(format="wikipedia-xml")).kind
        == ".wikipedia-xml.bz2"
    )
    with pytest.raises(ValueError, match=r"a\.warc\.wat\.gz: its suffix names no known format"):
        _ = FilePartition("x", (SourceFile("a.warc.wat.gz", "", ""),), FileReading()).kind


def test_books_are_divided_without_losing_text(tmp_path: Path) -> None:
    text = "\n\n".join(f"Chapter {n}\n\n" + "It was a dark night. " * 30 for n in range(20))
    documents = read(tmp_path / "a.txt", text.encode(), documents="book", document_characters=1000)
    assert all(document.text.startswith("Chapter ") for document in documents)
    assert (
        "".join(document.text for document in documents).split()
        == text.replace("\n\nChapter", "Chapter").replace(" Chapter", "Chapter").split()
    )
    assert len(documents) == 20


def test_one_text_too_large_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_RECORD_BYTES", 1000)
    data = b"a line\n" * 1000
    for documents, message in (
        ("file", "more than 1000 characters as one text; set documents to blank-line"),
        ("book", "more than 1000 characters as one text; set documents to blank-line"),
        ("blank-line", "line 167: more than 1000 characters without a blank line"),
    ):
        with pytest.raises(ValueError, match=rf"^a\.txt: {message}"):
            read(tmp_path / "a.txt", data, documents=documents)
    assert len(read(tmp_path / "a.txt", data, documents="line")) == 1000


def test_limits_and_uses_are_not_part_of_reading() -> None:
    plain = shaping_fields(FilesSource(urls=("a",)))
    assert shaping_fields(FilesSource(urls=("b",), max_expansion=5000.0, weight=2.0)) == plain
    assert shaping_fields(FilesSource(urls=("a",), licence="CC0")) == plain
    assert shaping_fields(FilesSource(urls=("a",), max_documents_per_file=7)) != plain
    assert identity(FilesSource(urls=("a",), weight=2.0)) != identity(FilesSource(urls=("a",)))


def valid_files() -> dict[str, tuple[bytes, dict[str, Any]]]:
    table = pa.Table.from_pylist(ROWS)
    parquet, plain, file, stream = (io.BytesIO() for _ in range(4))
    pq.write_table(table, parquet)
    pq.write_table(table, plain, compression="none", use_dictionary=False)
    for sink, new in ((file, pa.ipc.new_file), (stream, pa.ipc.new_stream)):
        with new(sink, table.schema) as writer:
            writer.write_table(table)
    lines = jsonl(*ROWS)
    return {
        "a.jsonl": (lines, {}),
        "a.json": (json.dumps(ROWS).encode(), {}),
        "a.csv": (b'text,url\n"a ""b""\nc",d\ne,f\n', {}),
        "a.tsv": (b"text\turl\na\tb\n", {}),
        "a.txt": (b"one\n\ntwo\r\nthree", {"documents": "blank-line"}),
        "utf16.txt": ("one\n\ntwo".encode("utf-16"), {"encoding": "utf-16"}),
        "a.parquet": (parquet.getvalue(), {}),
        "plain.parquet": (plain.getvalue(), {}),
        "file.arrow": (file.getvalue(), {}),
        "stream.arrow": (stream.getvalue(), {}),
        "a.jsonl.gz": (gzip.compress(lines), {}),
        "a.jsonl.bz2": (bz2.compress(lines) + bz2.compress(lines), {}),
        "a.jsonl.xz": (lzma.compress(lines) + lzma.compress(lines), {}),
        "a.jsonl.zst": (zstd.compress(lines) + zstd.compress(lines), {}),
        "a.jsonl.lz4": (lz4.frame.compress(lines) + lz4.frame.compress(lines), {}),
        "a.warc": (lines, {}),  # whole ones are in test_web.py and test_wikipedia.py
        "a.wet": (lines, {}),
        "a.xml": (lines, {"format": "wikipedia-xml"}),
    }


FILES = valid_files()


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=100)
@given(data=st.data())
def test_any_file_is_read_or_a_one_line_error(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    valid, reading = FILES[name]
    content = data.draw(st.binary(max_size=200)) if data.draw(st.booleans()) else valid
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 4))
        content = content[:start] + data.draw(st.binary(max_size=4)) + content[end:]
    try:
        documents = read(tmp_path_factory.mktemp("fuzz") / name, content, **reading)
    except ValueError as error:
        assert str(error).startswith(f"{name}: ") and "\n" not in str(error)
        return
    assert all(isinstance(document.text, str) for document in documents)
