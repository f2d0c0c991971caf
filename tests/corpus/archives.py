"""WARC records as crawlers write them."""

from pathlib import Path

from electra_pipeline.corpus.sources.documents import RawDocument
from electra_pipeline.corpus.sources.web import read_warc, read_wet
from electra_pipeline.inputs.files import SourceFile

URL = "https://example.org/a"
HTML = (
    "<html><head><title>T</title></head><body><nav><a href=x>Menu</a></nav><main><h1>Größe</h1>"
    "<p>First paragraph of the page.</p><p>Second.</p></main><footer>Imprint</footer></body></html>"
)
TEXT = "Größe\n\nFirst paragraph of the page.\n\nSecond."
DOCUMENT = RawDocument(TEXT, URL)


def record(block: bytes, kind: str = "response", uri: str = f"<{URL}>", *headers: str) -> bytes:
    lines = ["WARC/1.0", f"WARC-Type: {kind}", f"WARC-Target-URI: {uri}", *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(block)}", "", ""])
    return head.encode() + block + b"\r\n\r\n"


def response(
    body: bytes,
    kind: str = "text/html; charset=utf-8",
    *headers: str,
    status: str = "200 OK",
    uri: str = URL,
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    return record("\r\n".join([*lines, "", ""]).encode() + body, "response", uri)


def read(folder: Path, data: bytes, name: str = "a.warc") -> list[RawDocument]:
    (folder / name).write_bytes(data)
    reader = read_wet if ".wet" in name else read_warc
    return list(reader(SourceFile(name, "", str(folder / name))))
