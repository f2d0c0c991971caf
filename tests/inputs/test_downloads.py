"""Downloads from a real HTTP server with ranges, errors, wrong lengths and disconnects."""

import gzip
import hashlib
import http.server
import random
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from electra_pipeline.corpus.sources.config import FilesSource
from electra_pipeline.corpus.sources.plan import plan
from electra_pipeline.inputs import downloads
from electra_pipeline.inputs.downloads import download, download_wheel
from electra_pipeline.inputs.files import UrlFile, fetch

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under every path; `faults` are used up one a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.ranges = True
        self.encoding: str | None = None
        self.length = True
        self.faults: list[str] = []
        self.requests: list[tuple[str | None, int]] = []  # Range header, status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder/book%20one.txt?key=1"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        fault = server.faults.pop(0) if server.faults else ""
        wanted = self.headers.get("Range")
        if fault.isdigit():
            server.requests.append((wanted, int(fault)))
            self.send_error(int(fault))
            return
        body, status = server.content, 200
        if server.etag and self.headers.get("If-None-Match") == server.etag:
            body, status = b"", 304
        elif wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            body, status = server.content[start:], 206
        server.requests.append((wanted, status))
        self.send_response(status)
        if status == 206:
            total = len(server.content)
            self.send_header("Content-Range", f"bytes {total - len(body)}-{total - 1}/{total}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # The connection closes before Content-Length is reached.
        self.wfile.write(body[: len(body) // 2] if fault == "hang up" else body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "FIRST_WAIT_SECONDS", 0.01)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_under_its_name(server: Server) -> None:
    path = download(server.url)
    assert path.read_bytes() == CONTENT
    assert path.name == "book one.txt"


def test_with_a_digest_the_cached_copy_needs_no_request(server: Server) -> None:
    download(server.url, SHA256)
    download(server.url, SHA256)
    assert server.requests == [(None, 200)]


def test_without_a_digest_the_server_is_asked(server: Server) -> None:
    download(server.url)
    assert download(server.url).read_bytes() == CONTENT
    assert [status for _, status in server.requests] == [200, 304]
    server.content, server.etag = b"a second edition", '"two"'
    assert download(server.url).read_bytes() == b"a second edition"


def test_a_damaged_cached_copy_is_replaced(server: Server) -> None:
    server.etag = None
    download(server.url, SHA256).write_bytes(b"damaged")
    assert download(server.url, SHA256).read_bytes() == CONTENT


def test_interrupted_transfers_are_resumed(server: Server) -> None:
    server.faults = ["hang up", "hang up"]
    assert download(server.url, SHA256).read_bytes() == CONTENT
    statuses = [status for _, status in server.requests]
    assert statuses == [200, 206, 206]
    assert server.requests[1][0] == "bytes=1500000-"


def test_another_run_resumes_a_transfer(server: Server) -> None:
    server.faults = ["hang up"] + ["503"] * (downloads.ATTEMPTS - 1)
    with pytest.raises(ValueError, match=r"book%20one.*503.*run again"):
        download(server.url)
    server.requests.clear()
    assert download(server.url).read_bytes() == CONTENT
    assert server.requests == [("bytes=1500000-", 206)]


def test_a_file_that_changed_meanwhile_is_downloaded_again(server: Server) -> None:
    server.faults = ["hang up"] + ["500"] * (downloads.ATTEMPTS - 1)
    with pytest.raises(ValueError):
        download(server.url)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert download(server.url).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_restarts_the_transfer(server: Server) -> None:
    server.ranges, server.faults = False, ["hang up"]
    assert download(server.url, SHA256).read_bytes() == CONTENT
    assert [status for _, status in server.requests] == [200, 200]


def test_without_a_strong_validator_a_transfer_is_not_resumed(server: Server) -> None:
    server.etag, server.faults = 'W/"weak"', ["hang up"]
    assert download(server.url, SHA256).read_bytes() == CONTENT
    assert [wanted for wanted, _ in server.requests] == [None, None]


def test_server_errors_are_retried(server: Server) -> None:
    server.faults = ["500", "503"]
    assert download(server.url).read_bytes() == CONTENT


def test_a_wrong_content_length_is_an_error(server: Server) -> None:
    server.ranges, server.faults = False, ["hang up"] * downloads.ATTEMPTS
    with pytest.raises(ValueError, match=r"book%20one.*gave up after 5 attempts"):
        download(server.url)


def test_a_source_is_read_completely_or_refused(server: Server) -> None:
    lines = [f"This is line {n}." for n in range(10_000)]
    server.content = gzip.compress("\n".join(lines).encode())
    url = server.url.replace(".txt", ".txt.gz")
    source = FilesSource(urls=(url,), documents="line")
    server.faults = ["500", "500", "hang up"]
    (partition,) = plan([source])
    assert [document.text for document in partition.read()] == lines
    # Half of a file whose server tells no length but that of the half.
    server.content, server.etag = server.content[: len(server.content) // 2], '"half"'
    (partition,) = plan([source])
    with pytest.raises(ValueError, match=r"book%20one.*: ends in the middle of its gzip stream"):
        list(partition.read())


@pytest.mark.parametrize("status", ["401", "404", "410"])
def test_client_errors_are_not_retried(server: Server, status: str) -> None:
    server.faults = [status]
    with pytest.raises(
        ValueError, match=rf"book%20one\.txt\?key=\*\*\*: HTTP {status} .*check"
    ) as caught:
        download(server.url)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_wrong_digest_is_reported_and_leaves_no_file(server: Server, tmp_path: Path) -> None:
    expected = "0" * 64
    with pytest.raises(ValueError, match=f"book%20one.*{SHA256}.*{expected}"):
        download(server.url, expected)
    assert not list(tmp_path.rglob("book*.txt"))


def test_a_refused_connection_is_a_one_line_error(server: Server) -> None:
    with pytest.raises(ValueError, match="gave up after 5 attempts"):
        download("http://127.0.0.1:9/nothing")


def make_wheel(folder: Path) -> Path:
    """A wheel that pip takes, with a dependency that does not exist."""
    wheel = folder / "tiny_corpus-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-corpus\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        information = "tiny_corpus-1.0.dist-info"
        archive.writestr(f"{information}/METADATA", f"{metadata}Requires-Dist: absent-package\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return wheel


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path / "cache"))
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return make_wheel(index)


def test_a_wheel_is_downloaded_once_without_dependencies(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    cached = download_wheel("tiny-corpus==1.0", digest)
    assert cached.read_bytes() == wheel.read_bytes()
    assert [path.name for path in cached.parent.iterdir()] == [wheel.name]
    monkeypatch.setattr(sys, "executable", "/nonexistent")  # no pip this time
    assert download_wheel("tiny-corpus==1.0", digest) == cached


def test_a_wheel_with_a_wrong_digest_is_removed(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tiny-corpus==1\.0 .*sha256 is .* expected 0000"):
        download_wheel("tiny-corpus==1.0", "0" * 64)
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_missing_wheel_is_a_one_line_error(wheel: Path) -> None:
    with pytest.raises(
        ValueError, match=r"tiny-corpus==9\.9: pip cannot.*tiny-corpus==9\.9"
    ) as caught:
        download_wheel("tiny-corpus==9.9", "0" * 64)
    assert "\n" not in str(caught.value)


TEXT = b"The river was measured in spring.\n" * 1000


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
@pytest.mark.parametrize("stored", [TEXT, gzip.compress(TEXT)])
@pytest.mark.parametrize("encoding", [None, "gzip", "x-gzip"])
def test_content_encodings_are_decoded(
    server: Server, suffix: str, stored: bytes, encoding: str | None
) -> None:
    if encoding is not None and stored == TEXT:
        stored = gzip.compress(stored)
    server.content, server.encoding = stored, encoding
    url = server.url.replace(".txt", suffix)
    file = fetch(UrlFile(url=url))
    with file.open() as stream:
        assert stream.read() == TEXT
    for digest in (stored, TEXT) if encoding else (stored,):
        assert fetch(UrlFile(url=url, sha256=hashlib.sha256(digest).hexdigest())) == file
    with pytest.raises(ValueError, match="expected 0000"):
        fetch(UrlFile(url=url, sha256="0" * 64))


def test_a_file_with_content_encoding_has_the_digest_of_the_file(server: Server) -> None:
    digests = set()
    for level in (1, 9):
        server.content, server.encoding = gzip.compress(TEXT, level), "gzip"
        server.etag = f'"{level}"'
        digests.add(fetch(UrlFile(url=server.url)).digest)
    assert digests == {hashlib.sha256(TEXT).hexdigest()}


def test_an_unsupported_content_encoding_is_reported(server: Server) -> None:
    server.encoding = "br"
    with pytest.raises(
        ValueError, match=r"book%20one\.txt.* Content-Encoding: br, which is not supported"
    ):
        download(server.url)


def test_a_file_of_unknown_length_is_downloaded(server: Server) -> None:
    server.length = False
    assert download(server.url).read_bytes() == CONTENT


def test_long_and_odd_names_become_valid_file_names(server: Server) -> None:
    for name in ("x" * 300 + ".txt", "%E0%B9%81" * 100 + ".txt", "a%00b.txt", "%2e%2e", ""):
        path = download(f"{server.url.partition('folder')[0]}{name}")
        assert path.read_bytes() == CONTENT
        assert len(path.name.encode()) <= 150


def test_a_long_download_logs_its_progress(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(downloads, "PROGRESS_SECONDS", 0.0)
    with caplog.at_level("INFO"):
        download(server.url)
    assert "key=***: downloaded 3 MB" in caplog.text


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet", "a.txt.gz"])
def test_an_error_page_with_status_200_is_refused(server: Server, name: str) -> None:
    place = server.url.partition("/folder")[0]
    server.content = b"<!DOCTYPE html>\n<html><title>404 Not Found</title></html>"
    with pytest.raises(ValueError, match=r"an HTML page instead of a .*; download it again"):
        fetch(UrlFile(url=f"{place}/{name}"))
    digest = hashlib.sha256(server.content).hexdigest()
    assert fetch(UrlFile(url=f"{place}/b.txt", sha256=digest)).digest == digest
    assert fetch(UrlFile(url=f"{place}/page.html")).digest == digest
