"""WARC headers of various tools; truncated, damaged and other archives."""

import gzip
import io
from pathlib import Path

import pytest

from electra_pipeline.inputs.web import warc
from electra_pipeline.inputs.web.warc import read_records
from tests.corpus.archives import HTML, read, record, response

INFO = record(b"software: x\r\n", "warcinfo", "")
PAGE = response(HTML.encode())
ARCHIVE = [
    INFO,
    record(b"GET / HTTP/1.1\r\n\r\n", "request"),
    PAGE,
    response(b"Plain.", "text/plain"),
]


@pytest.mark.parametrize(
    ("head", "uri"),
    [
        (b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: <http://a/>\r\n", "http://a/"),
        (b"WARC/1.1\nwarc-type:RESPONSE\nWarc-Target-Uri:http://a/\n", "http://a/"),
        (b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI:\r\n http://a/\r\n", "http://a/"),
        (
            b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\xe9 x\r\n",
            "http://a/%E9 x",
        ),
        (
            b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\xc3\xa9\r\n",
            "http://a/é",
        ),
        (b"WARC/0.18\r\n\xff: \xff\r\nWARC-Type: response\r\nno colon\r\n", None),
    ],
)
def test_headers_are_read_as_tools_write_them(head: bytes, uri: str | None) -> None:
    data = head + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\nab\r\n\r\n"
    [found] = read_records(io.BytesIO(data), "a.warc")
    assert (found.kind, found.uri, found.block) == ("response", uri, b"ab")


def test_every_truncated_archive_is_refused(tmp_path: Path) -> None:
    whole = b"".join(ARCHIVE)
    ends = {sum(map(len, ARCHIVE[:number])) for number in range(1, 5)}
    # The two line ends behind a record may be missing: nothing of it is.
    whole_records = {end - missing for end in ends for missing in range(5)}
    for size in range(len(whole)):
        if size in whole_records:
            read(tmp_path, whole[:size])
            continue
        with pytest.raises(
            ValueError, match=r"^a\.warc: (ends in|byte \d+: |contains no WARC)"
        ) as caught:
            read(tmp_path, whole[:size])
        assert "\n" not in str(caught.value)


def test_every_truncated_compressed_archive_is_refused(tmp_path: Path) -> None:
    members = [gzip.compress(item) for item in ARCHIVE]
    whole = b"".join(members)
    ends = {sum(map(len, members[:number])) for number in range(1, 5)}
    for size in set(range(len(whole))) - ends:
        with pytest.raises(ValueError, match=r"^a\.warc\.gz: .*download it again"):
            read(tmp_path, whole[:size], "a.warc.gz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "contains no WARC record; download it again"),
        (b"\r\n\r\n", "contains no WARC record; download it again"),
        (b"filedesc://a.arc 0.0.0.0 2008 text/plain 76\n1 0 IA\n", "an ARC archive; convert it"),
        (b"<html>404</html>", "byte 0: not a WARC record"),
        (INFO + b"noise\r\n" + PAGE, f"byte {len(INFO)}: not a WARC record"),
        (b"WARC/1.0\r\nContent-Length: -1\r\n\r\n", "byte 0: .* Content-Length '-1'"),
        (b"WARC/1.0\r\nWARC-Type: response\r\n\r\n", "Content-Length ''"),
        (b"WARC/1.0\r\nContent-Length: 999999999999\r\n\r\n", "record of 999999999999 bytes"),
        (b"WARC/1.0\r\n" + b"A: b\r\n" * 20_000, "a WARC header of more than 65536 bytes"),
        (b"WARC/1.0\r\n" + b"A" * 200_000, "a WARC header of more than 65536 bytes"),
    ],
)
def test_a_damaged_archive_is_reported_with_the_offset(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^a\.warc: .*{message}") as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_record_too_large_for_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warc, "MAX_RECORD_BYTES", 100)
    with pytest.raises(
        ValueError, match=r"a\.warc: byte 0: a WARC record of \d+ bytes; at most 100"
    ):
        read(tmp_path, PAGE)
