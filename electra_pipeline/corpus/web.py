"""Web archives: pages (WARC) made text, and text that was made of pages already (WET)."""

import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from electra_pipeline.corpus.sources import RawDocument
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import MAX_RECORD_BYTES

MAX_HEADER_BYTES = 1 << 16  # of a line or of all lines; real ones have some hundred bytes
# Crawlers cut pages at 1 to 5 MiB: what is far longer is no page, but a bomb or a listing.
MAX_PAGE_BYTES = 16 << 20
# The time of the extraction grows with the square of the nesting and of a tag's attributes: 5,000
# elements took 1 s, 20,000 took 16 s. Browsers stop nesting at 512.
MAX_NESTING = 2500
MAX_ATTRIBUTES = 2500
HTML_TYPES = {"text/html", "application/xhtml+xml"}
TEXT_TYPES = {"text/plain"}

# What makes FastWARC read a block as the HTTP response that it is.
HTTP_HEAD = (
    "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http;msgtype=response\r\n"
    "Content-Length: {}\r\n\r\n"
)
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)")
LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{MAX_ATTRIBUTES}}}")
# Elements without an end, or whose end may be left out: they close each other, and do not nest.
WITHOUT_END = re.compile(
    "area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|param|frame|html|head|body|p|li|"
    "dt|dd|option|optgroup|rp|rt|tr|td|th|thead|tbody|tfoot|colgroup|caption",
    re.IGNORECASE,
)


class WarcRecord(NamedTuple):
    """A record as it lies in its archive."""

    kind: str
    """Its WARC-Type, such as `response`."""
    uri: str | None
    block: bytes


def read_warc(file: SourceFile) -> Iterator[RawDocument]:
    """The main content of each page: HTML or plain text, status 200, in the archive's order.

    Other records (requests, robots, images, errors) are not documents. A page that cannot be made
    text is one with a `problem`. Raises ValueError with file and place for an archive that is cut
    or damaged.
    """
    with file.open() as stream:
        for record in read_records(stream, file.name):
            if record.kind == "response":
                yield from _page(record)


def read_wet(file: SourceFile) -> Iterator[RawDocument]:
    """The text of each conversion record, as it is. Raises ValueError as `read_warc` does."""
    with file.open() as stream:
        for record in read_records(stream, file.name):
            if record.kind == "conversion":
                yield RawDocument(record.block.decode(errors="replace"), record.uri)


def read_records(stream: IO[bytes], name: str) -> Iterator[WarcRecord]:
    """The records of an archive, which is decompressed.

    Own code, as FastWARC 2.0 takes the end of a cut archive for its end, wants a stream that can
    seek, and panics on one that raises. Raises ValueError with the place in the archive.
    """
    place = 0
    while line := stream.readline(MAX_HEADER_BYTES):
        if not line.strip():
            place += len(line)
            continue
        if not line.startswith(b"WARC/"):
            raise ValueError(f"{name}: byte {place}: no WARC record begins here; download it again")
        head, num_bytes = [line], len(line)
        while (line := stream.readline(MAX_HEADER_BYTES)).strip():
            head.append(line)
            num_bytes += len(line)
            if num_bytes > MAX_HEADER_BYTES:
                raise ValueError(
                    f"{name}: byte {place}: a WARC header of more than {MAX_HEADER_BYTES} bytes; "
                    "download it again"
                )
        fields = _fields(head[1:])
        length = fields.get("content-length", "")
        if line and not re.fullmatch("[0-9]{1,18}", length):
            raise ValueError(
                f"{name}: byte {place}: a WARC record with the Content-Length {length!r}; download "
                "it again"
            )
        if line and int(length) > MAX_RECORD_BYTES:
            raise ValueError(
                f"{name}: byte {place}: a WARC record of {int(length)} bytes; at most "
                f"{MAX_RECORD_BYTES} are read, take it out of the archive"
            )
        block = stream.read(int(length)) if line else b""
        if not line or len(block) < int(length):
            raise ValueError(f"{name}: ends in the middle of a WARC record; download it again")
        uri = fields.get("warc-target-uri", "").strip("<>")
        yield WarcRecord(fields.get("warc-type", "").lower(), uri or None, block)
        place += num_bytes + len(line) + len(block)


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.decode(errors="replace").partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    return fields


def _page(record: WarcRecord) -> Iterator[RawDocument]:
    from fastwarc.warc import WarcRecord as HttpRecord

    try:
        head = HTTP_HEAD.format(len(record.block)).encode()
        response: Any = HttpRecord.from_bytes(head + record.block)
        response.parse_http(auto_decode="all")
        if response.http_headers.status_code != 200:
            return
        kind = (response.http_content_type or "").lower()
        charset = (response.http_charset or "").strip("\"' ")
        if kind not in HTML_TYPES | TEXT_TYPES:
            return
        body = response.reader.read(MAX_PAGE_BYTES + 1)
    except OSError:  # a compression or a transfer coding that is broken or unknown
        yield RawDocument("", record.uri, problem="undecodable_response")
        return
    if len(body) > MAX_PAGE_BYTES:
        yield RawDocument("", record.uri, problem="page_too_large")
        return
    text = _decode(body, charset, is_html=kind in HTML_TYPES)
    if kind in TEXT_TYPES:
        yield RawDocument(text, record.uri)
    elif exceeds_bounds(text):
        yield RawDocument("", record.uri, problem="html_too_deep")
    else:
        yield RawDocument(main_content(text), record.uri)


def _decode(body: bytes, charset: str, *, is_html: bool) -> str:
    """As browsers do: what the server says, else what the page says, else what it looks like."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    encoding = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    encoding = encoding or detect_encoding(body, from_html_meta=is_html) or "utf-8"
    # What is not valid in it becomes U+FFFD, which cleaning removes and counts.
    text: str = bytes_to_str(body, encoding, errors="replace", fallback_encodings=())
    return text


def main_content(html: str) -> str:
    """The text of an HTML page without menus, headers and footers; "" if it has none."""
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(html, main_content=True, list_bullets=False, alt_texts=False)
    return text


def exceeds_bounds(html: str) -> bool:
    """Whether elements nest, or attributes of one tag are, so many that extraction takes long."""
    if html.count("<") - html.count("</") <= MAX_NESTING and not LONG_TAG.search(html):
        return False  # nearly all pages, told at once
    depth = 0
    for match in TAG.finditer(html):
        slash, name, attributes = match.groups()
        if len(attributes) > MAX_ATTRIBUTES and len(attributes.split()) > MAX_ATTRIBUTES:
            return True
        if not WITHOUT_END.fullmatch(name) and not attributes.endswith("/"):
            depth = max(0, depth + (-1 if slash else 1))
            if depth > MAX_NESTING:
                return True
    return False
