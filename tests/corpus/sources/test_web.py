"""Web archives: which records are documents, and for what reason the others are dropped."""

import bz2
import gzip
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.web import read_warc
from electra_pipeline.inputs.files import SourceFile
from tests.corpus.archives import DOCUMENT, HTML, TEXT, URL, read, record, response
from tests.corpus.corpora import ENGLISH, config, prose, run

INFO = record(b"software: x\r\n", "warcinfo", "")
REQUEST = record(b"GET / HTTP/1.1\r\n\r\n", "request")
PAGE = response(HTML.encode())


def dropped(reason: str, value: str = "", url: str | None = URL) -> RawDocument:
    return RawDocument("", url, reason, value)


def test_every_record_is_a_document_or_dropped_for_a_reason(tmp_path: Path) -> None:
    expected = {
        INFO: dropped("warc_warcinfo", url=None),
        REQUEST: dropped("warc_request"),
        PAGE: DOCUMENT,
        response(b"Plain.", "text/plain"): RawDocument("Plain.", URL),
        response(HTML.encode(), status="203 Changed"): DOCUMENT,
        response(b"gone", status="404 Not Found"): dropped("http_4xx", "404"),
        response(b"", status="301 Moved"): dropped("http_3xx", "301"),
        response(b"", status="503"): dropped("http_5xx", "503"),
        response(b"", status="204 No Content"): dropped("http_2xx", "204"),
        response(b"\x89PNG", "image/png"): dropped("type_image", "image/png"),
        response(b"{}", "application/json"): dropped("type_json", "application/json"),
        response(b"x", "application/x-y"): dropped("type_other", "application/x-y"),
        response(b""): RawDocument("", URL),  # cleaning counts it as empty
        record(b"fetchTime: 1", "metadata"): dropped("warc_metadata"),
        record(b"", "revisit"): dropped("warc_revisit"),
        record(b"text", "conversion"): dropped("warc_conversion"),
        record(b"rest", "continuation"): dropped("warc_continuation"),
        record(b"?", "screenshot"): dropped("warc_other"),
        record(b"no http at all"): dropped("no_http_response"),
        record(b"20240101\nexample.org. 1 IN A 1", "response", "dns:example.org"): dropped(
            "no_http_response", url="dns:example.org"
        ),
    }
    whole = b"".join(expected)
    assert read(tmp_path, whole) == list(expected.values())
    # As crawlers write them: a member for each record.
    members = b"".join(map(gzip.compress, expected))
    assert read(tmp_path, members, "a.warc.gz") == list(expected.values())
    assert read(tmp_path, gzip.compress(whole), "a.warc.gz") == list(expected.values())
    assert read(tmp_path, bz2.compress(whole), "a.warc.bz2") == list(expected.values())


def test_resources_are_pages_without_http(tmp_path: Path) -> None:
    html = HTML.encode()
    assert read(
        tmp_path,
        record(html, "resource", URL, "Content-Type: text/html")
        + record(html, "resource", "file:///a.html")
        + record(b"HTTP/1.1 404 Gone\r\n\r\n", "resource", URL, "Content-Type: application/http")
        + record(b"--log", "resource", "metadata://gnu.org/wget.log", "Content-Type: text/plain"),
    ) == [
        DOCUMENT,
        RawDocument(TEXT, "file:///a.html"),
        dropped("http_4xx", "404"),
        dropped("warc_resource", url="metadata://gnu.org/wget.log"),
    ]


def test_wet_records_are_unchanged(tmp_path: Path) -> None:
    text = "Eine Zeile.\nWARC/1.0\nNoch eine <b>Größe</b>.\n"
    media = "Content-Type: text/plain; charset=koi8-r"
    data = (
        INFO
        + record(text.encode(), "conversion", URL)
        + record("Größe\ufffd.".encode().replace(b"\xef\xbf\xbd", b"\xff"), "conversion", URL)
        + record("мост".encode("koi8-r"), "conversion", URL, media)
    )
    assert read(tmp_path, gzip.compress(data), "a.warc.wet.gz") == [
        dropped("warc_warcinfo", url=None),
        RawDocument(text, URL),
        RawDocument("Größe\ufffd.", URL),
        RawDocument("мост", URL),
    ]


@pytest.mark.parametrize(
    "block",
    [
        b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n" + HTML.encode(),
        b"HTTP/1.0 200\r\nContent-Type: text/html\r\n\r\n" + HTML.encode(),
        b"HTTP/2 200\r\nCONTENT-TYPE:TEXT/HTML\r\n\r\n" + HTML.encode(),
        b"http/1.1  200  OK\r\ncontent-type : text/html\r\n\r\n" + HTML.encode(),
        b"\r\nHTTP/1.1 200 OK\r\nX-Folded: a\r\n\tb: c\r\nContent-Type:\r\n text/html\r\n\r\n"
        + HTML.encode(),
        b"HTTP/1.1 200 OK\r\nno header\r\nX-\xe9: \xff\r\n\r\n" + HTML.encode(),
        b"HTTP/1.1 200 OK\r\nServer: x\r\n" + HTML.encode(),  # no blank line
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + HTML.encode(),
        b"HTTP/1.0 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + HTML.encode(),
        HTML.encode(),  # HTTP/0.9
    ],
)
def test_http_headers_are_read_as_servers_send_them(tmp_path: Path, block: bytes) -> None:
    assert read(tmp_path, record(block)) == [DOCUMENT]


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/html, text/html; charset=utf-8",
        "text/html;charset=utf-8, text/html",
        "text/html charset=utf-8",
        "TEXT/HTML; Charset='UTF-8'",
        "text/html;",
        "charset=utf-8",
        "none",
        "application/xhtml+xml",
        "application/xml",
        "application/octet-stream",
        "*/*",
        "text/plain",  # a page all the same
    ],
)
def test_a_page_is_found_under_any_content_type(tmp_path: Path, kind: str) -> None:
    html = "<!DOCTYPE html>" + HTML
    assert read(tmp_path, response(html.encode(), kind)) == [DOCUMENT]


def test_a_missing_content_type_is_detected(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    identified = "WARC-Identified-Payload-Type: text/html"
    assert read(
        tmp_path,
        record(head + HTML.encode())
        + record(head + b"Plain text here.")
        + record(head + b"Some <b>bold</b> text.", "response", URL, identified)
        + record(head + b"\x89PNG\r\n\x1a\n\x00"),
    ) == [
        DOCUMENT,
        RawDocument("Plain text here.", URL),
        RawDocument("Some bold text.", URL),
        dropped("type_image"),
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(b"<p>" + bytes(40_000_000)), "page_too_large"),
        (b"<div>" * 10_000 + b"x" + b"</div>" * 10_000, "html_too_deep"),
        (b"<table><tr><td>" * 10_000 + b"x", "html_too_deep"),
        (b"<p " + b"a " * 100_000 + b">x", "html_too_deep"),
    ],
)
def test_an_unreadable_page_does_not_affect_others(
    tmp_path: Path, body: bytes, reason: str
) -> None:
    assert read(tmp_path, response(body, "text/html") + PAGE) == [dropped(reason), DOCUMENT]


def test_a_truncated_page_is_kept_and_counted(tmp_path: Path) -> None:
    cut = gzip.compress(b"<p>Number 0, " + b", ".join(b"%d" % (n * n) for n in range(999)))[:-500]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Ends in the"
    [packed, plain, first] = read(
        tmp_path,
        response(cut, "text/html", "Content-Encoding: gzip")
        + record(head, "response", URL, "WARC-Truncated: length")
        + record(head, "response", URL, "WARC-Segment-Number: 1"),
    )
    assert first == plain
    assert packed.is_truncated and packed.text.startswith("Number 0, 0, 1, 4, 9, 16")
    assert plain.is_truncated and plain.text == "Ends in the"


def test_counters_balance_over_all_records(tmp_path: Path) -> None:
    pages = [
        response(f"<main><p>{prose(ENGLISH, n)}</p></main>".encode(), uri=f"https://x/{n}")
        for n in range(4)
    ]
    gone = [response(b"gone", status="404", uri=f"https://x/gone/{n}") for n in range(9)]
    cut = gzip.compress(f"<p>{prose(ENGLISH, 5, 900)}".encode())[:-200]
    data = b"".join([INFO, REQUEST, *gone, *pages, REQUEST, response(b""), response(cut)])
    (tmp_path / "a.warc").write_bytes(data)
    source = {"type": "files", "urls": [f"{tmp_path}/a.warc"]}
    artifact = run(config(tmp_path, sources=[source]), tmp_path / "runs")
    counted = artifact.counters["sources"]["a"]
    assert (counted["read"], counted["kept"]) == (18, 5)
    reasons = {"http_4xx": 9, "warc_request": 2, "warc_warcinfo": 1, "empty": 1}
    assert counted["dropped"] == reasons
    assert counted["repaired"] == {"truncated_documents": 1}
    rows = pq.read_table(artifact.local_file("dropped.parquet")).to_pylist()
    values = {(row["value"], row["url"]) for row in rows if row["reason"] == "http_4xx"}
    assert values == {("404", f"https://x/gone/{n}") for n in range(9)}
    # Of the first documents, records that are none are not counted.
    first = run(
        config(tmp_path, sources=[source | {"max_documents_per_file": 3}]), tmp_path / "runs"
    )
    assert first.counters["sources"]["a"]["kept"] == 3
    # A share of the records is a share of each reason.
    share = run(config(tmp_path, sources=[source], sample_fraction=0.5), tmp_path / "runs")
    assert 0 < share.counters["sources"]["a"]["dropped"]["http_4xx"] < 9


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_read_or_a_one_line_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = gzip.compress(HTML.encode())
    archive = [
        *(INFO, REQUEST, PAGE, response(b"Plain.", "text/plain")),
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
def test_a_real_archive(data_directory: Path) -> None:
    path = f"{data_directory}/corpora/web/sample-0000.warc.gz"
    records = list(read_warc(SourceFile("sample-0000.warc.gz", "", path)))
    unused = Counter(each.problem for each in records if each.problem)
    assert unused == {
        "warc_request": 22,
        "warc_warcinfo": 1,
        "warc_metadata": 1,
        "warc_resource": 2,
    }
    documents = [each for each in records if each.problem is None]
    assert len(documents) == 22  # all 22 responses are pages
    assert all(len(document.text) > 50 for document in documents)
    assert documents[2].url == "https://soldaini.net/"
    assert "I ❤ starting new research" in documents[2].text
    assert not any("<div" in document.text for document in documents)
