# ruff: noqa: RUF001 - letters of other scripts are meant
"""Web archives: which records are documents, their encodings, and archives that are damaged."""

import bz2
import gzip
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus import web
from electra_pipeline.corpus.sources import RawDocument
from electra_pipeline.corpus.web import exceeds_bounds, main_content, read_warc, read_wet
from electra_pipeline.inputs.files import SourceFile

URL = "https://example.org/a"
HTML = (
    "<html><head><title>T</title></head><body><nav><a href=x>Menu</a></nav><main><h1>Größe</h1>"
    "<p>First paragraph of the page.</p><p>Second.</p></main><footer>Imprint</footer></body></html>"
)
TEXT = "Größe\n\nFirst paragraph of the page.\n\nSecond."


def record(block: bytes, kind: str = "response", uri: str = f"<{URL}>") -> bytes:
    media = "application/http;msgtype=response" if kind == "response" else "text/plain"
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\nContent-Type: {media}\r\n"
    return f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


def response(
    body: bytes, kind: str = "text/html; charset=utf-8", *headers: str, status: str = "200 OK"
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    return record("\r\n".join([*lines, "", ""]).encode() + body)


INFO = record(b"software: x\r\n", "warcinfo", "")
PAGE = response(HTML.encode())
ARCHIVE = [
    INFO,
    record(b"GET / HTTP/1.1\r\n\r\n", "request"),
    PAGE,
    response(b"Plain.", "text/plain"),
]


def read(folder: Path, data: bytes, name: str = "a.warc") -> list[RawDocument]:
    (folder / name).write_bytes(data)
    reader = read_wet if ".wet" in name else read_warc
    return list(reader(SourceFile(name, "", str(folder / name))))


def test_pages_are_documents_and_other_records_are_not(tmp_path: Path) -> None:
    other = [
        response(b"gone", status="404 Not Found"),
        response(b"", status="301 Moved"),
        response(b"\x89PNG", "image/png"),
        response(b"{}", "application/json"),
        record(b"dns", "resource"),
        record(b"no http at all"),
    ]
    documents = [RawDocument(TEXT, URL), RawDocument("Plain.", URL)]
    whole = b"".join([*ARCHIVE, *other])
    assert read(tmp_path, whole) == documents
    # As crawlers write them: a member for each record.
    members = b"".join(map(gzip.compress, [*ARCHIVE, *other]))
    assert read(tmp_path, members, "a.warc.gz") == documents
    assert read(tmp_path, bz2.compress(whole), "a.warc.bz2") == documents


def test_wet_records_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "Eine Zeile.\nWARC/1.0\nNoch eine <b>Größe</b>.\n"
    data = INFO + record(text.encode(), "conversion", URL) + record(b"\xff.", "conversion", URL)
    assert read(tmp_path, gzip.compress(data), "a.warc.wet.gz") == [
        RawDocument(text, URL),
        RawDocument("\ufffd.", URL),
    ]


RUSSIAN = "Привет, мир. Это обычный русский текст, и его кодировка не указана."


@pytest.mark.parametrize(
    ("kind", "meta", "encoding"),
    [
        ("text/html; charset=windows-1251", "", "cp1251"),
        ("text/html; charset=koi8-r", '<meta charset="windows-1251">', "koi8-r"),  # the server's
        ("text/html", '<meta charset="windows-1251">', "cp1251"),
        ("text/html; charset=klingon", '<meta charset="windows-1251">', "cp1251"),
        ("text/html", "", "cp1251"),
        ("text/html", "", "utf-8"),
        ("application/xhtml+xml; charset=UTF-8", "", "utf-8"),
        ('text/html; charset="utf-16"', "", "utf-16-le"),
    ],
)
def test_the_encoding_is_what_server_page_or_bytes_say(
    tmp_path: Path, kind: str, meta: str, encoding: str
) -> None:
    html = f"<html><head>{meta}</head><body><main><p>{RUSSIAN}</p></main></body></html>"
    assert read(tmp_path, response(html.encode(encoding), kind)) == [RawDocument(RUSSIAN, URL)]


def test_invalid_bytes_are_marked_as_lost(tmp_path: Path) -> None:
    [document] = read(tmp_path, response(b"<main><p>Caf\xff here.</p></main>"))
    assert document.text == "Caf\ufffd here."


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(HTML.encode()), ["Content-Encoding: gzip"]),
        (zlib.compress(HTML.encode()), ["Content-Encoding: deflate"]),
        (
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(HTML.encode()), HTML.encode()),
            ["Transfer-Encoding: chunked"],
        ),
    ],
)
def test_packed_responses_are_unpacked(tmp_path: Path, body: bytes, headers: list[str]) -> None:
    data = response(body, "text/html; charset=utf-8", *headers)
    assert read(tmp_path, data) == [RawDocument(TEXT, URL)]


@pytest.mark.parametrize(
    ("body", "header", "problem"),
    [
        (b"<p>not packed", "Content-Encoding: gzip", "undecodable_response"),
        (b"<p>not packed", "Transfer-Encoding: chunked", "undecodable_response"),
        (gzip.compress(b"<p>" + bytes(40_000_000)), "Content-Encoding: gzip", "page_too_large"),
        (b"<div>" * 10_000 + b"x" + b"</div>" * 10_000, "X: y", "html_too_deep"),
        (b"<table><tr><td>" * 10_000 + b"x", "X: y", "html_too_deep"),
        (b"<p " + b"a " * 100_000 + b">x", "X: y", "html_too_deep"),
    ],
)
def test_a_page_that_cannot_be_read_is_named_and_loses_itself_alone(
    tmp_path: Path, body: bytes, header: str, problem: str
) -> None:
    data = response(body, "text/html", header) + PAGE
    assert read(tmp_path, data) == [RawDocument("", URL, problem), RawDocument(TEXT, URL)]


@pytest.mark.timeout(300)  # takes 0.3 s; without bounds the square of that
@pytest.mark.parametrize("tag", ["div", "b", "font", "table", "a", "svg", "ul", "span", "select"])
def test_what_is_within_the_bounds_is_read_in_bounded_time(tag: str) -> None:
    html = "<main>" + f"<{tag}>" * 2400 + "x"
    assert not exceeds_bounds(html)
    main_content(html)
    # Native code: a stack that overflows would end the process, here and for good.
    main_content(html.replace(f"<{tag}>", f"<{tag}>" * 4))


@pytest.mark.timeout(300)  # a search that goes back would take hours
def test_real_nesting_counts_and_length_does_not() -> None:
    assert not exceeds_bounds("<ul>" + "<li>a<br><p>b" * 50_000 + "</ul>")
    assert not exceeds_bounds("<div><i>a</i></div>" * 50_000)
    assert not exceeds_bounds('<img src="data:' + "A" * 1_000_000 + '">')
    assert exceeds_bounds("<div><p>" * 3000)
    exceeds_bounds("<a " * 1_000_000)


def test_every_cut_archive_is_refused(tmp_path: Path) -> None:
    whole = b"".join(ARCHIVE)
    ends = {sum(map(len, ARCHIVE[:number])) for number in range(5)}
    # The two line ends behind a record may be missing: nothing of it is.
    whole_records = {end - missing for end in ends for missing in range(5)}
    for size in range(1, len(whole)):
        if size in whole_records:
            read(tmp_path, whole[:size])
            continue
        with pytest.raises(
            ValueError, match=r"^a\.warc: (ends in the middle|byte \d+: )"
        ) as caught:
            read(tmp_path, whole[:size])
        assert "\n" not in str(caught.value)


def test_every_cut_compressed_archive_is_refused(tmp_path: Path) -> None:
    members = [gzip.compress(item) for item in ARCHIVE]
    whole = b"".join(members)
    ends = {sum(map(len, members[:number])) for number in range(1, 5)}
    for size in set(range(len(whole))) - ends:
        with pytest.raises(ValueError, match=r"^a\.warc\.gz: .*download it again"):
            read(tmp_path, whole[:size], "a.warc.gz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>404</html>", "byte 0: no WARC record begins here"),
        (INFO + b"noise\r\n" + PAGE, f"byte {len(INFO)}: no WARC record begins here"),
        (b"WARC/1.0\r\nContent-Length: -1\r\n\r\n", "byte 0: .* Content-Length '-1'"),
        (b"WARC/1.0\r\nWARC-Type: response\r\n\r\n", "Content-Length ''"),
        (b"WARC/1.0\r\nContent-Length: 999999999999\r\n\r\n", "record of 999999999999 bytes"),
        (b"WARC/1.0\r\n" + b"A: b\r\n" * 20_000, "a WARC header of more than 65536 bytes"),
        (b"WARC/1.0\r\n" + b"A" * 200_000, "a WARC header of more than 65536 bytes"),
    ],
)
def test_a_damaged_archive_names_the_place(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^a\.warc: .*{message}") as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_record_too_large_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MAX_RECORD_BYTES", 100)
    with pytest.raises(
        ValueError, match=r"a\.warc: byte 0: a WARC record of \d+ bytes; at most 100"
    ):
        read(tmp_path, PAGE)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_reads_or_says_so_in_a_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = gzip.compress(HTML.encode())
    archive = [
        *ARCHIVE,
        response(packed, "text/html", "Content-Encoding: gzip"),
        response(b"5\r\n<p>ab\r\n0\r\n\r\n", "text/html", "Transfer-Encoding: chunked"),
    ]
    whole = b"".join(archive)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole)))
        end = start + data.draw(st.integers(0, 8))
        noise = st.binary(max_size=6) | st.sampled_from([b"\r\n", b"<", b"\x00", b"WARC/1.0\r\n"])
        whole = whole[:start] + data.draw(noise) + whole[end:]
    try:
        read(tmp_path_factory.mktemp("fuzz"), whole)
    except ValueError as error:
        assert str(error).startswith("a.warc: ") and "\n" not in str(error)


@pytest.mark.data
def test_a_real_archive(tmp_path: Path) -> None:
    data = os.environ.get("ELECTRA_PIPELINE_DATA")
    if not data or not Path(data).is_dir():
        pytest.skip("ELECTRA_PIPELINE_DATA names no folder with the real corpora")
    path = f"{data}/corpora/web/sample-0000.warc.gz"
    documents = list(read_warc(SourceFile("sample-0000.warc.gz", "", path)))
    assert len(documents) == 22  # all 22 responses are pages
    assert all(document.problem is None and len(document.text) > 50 for document in documents)
    assert documents[2].url == "https://soldaini.net/"
    assert not any("<div" in document.text for document in documents)
