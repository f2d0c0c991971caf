"""Parse and decompress HTTP responses as crawlers stored them.

The bytes of the body decide how it is decoded; headers are only a hint. Many archives contain
bodies that were decoded while their headers were kept (Common Crawl until 2018, tools that join
chunks), and servers send compressed bodies without a header or with a wrong one.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import brotli

from electra_pipeline.inputs.web.media_type import is_binary, looks_like_html
from electra_pipeline.inputs.zstandard import FRAME_MAGIC, zstd

# Crawlers truncate pages at 1 to 5 MiB: a far longer body is a decompression bomb or a listing.
MAX_PAGE_BYTES = 16 << 20
MAX_HEADER_BYTES = 1 << 16
MAX_HEADS = 5  # with those of interim responses and of a proxy
MAX_MEMBERS = 16  # of a gzip or zstd stream; usually one
MAX_LAYERS = 4  # of compression: one, or two by server and proxy
GZIP = b"\x1f\x8b\x08"
STATUS_LINE = re.compile(rb"HTTP(?:/[0-9.]+)?[ \t]+([0-9]{3})(?![0-9])([^\r\n]*)", re.IGNORECASE)
HEAD_END = re.compile(rb"\n[ \t]*\r?\n|\n(?=<)|\Z")  # some heads have no blank line
FOLD = re.compile(rb"\r?\n[ \t]+")
HEADER = re.compile(rb"\n([^\s:<>\"]+)[ \t]*:[ \t]*([^\r\n]*)")
CHUNK_LINE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
TRAILER = re.compile(rb"(?:[^\s:]+:[^\r\n]*\r?\n)*[\r\n]*")
LINE_END = re.compile(rb"\r?\n")


class PageError(Exception):
    """A record without usable text; `reason` is the counter under which it is dropped."""

    def __init__(self, reason: str, value: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value[:200]


class Response(NamedTuple):
    """An HTTP response; names of headers are in lower case, values of equal names joined by `,`."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unpacked(NamedTuple):
    """A body without transfer chunks and compression."""

    data: bytes
    is_cut: bool
    """Whether its end is missing (truncated)."""


def parse_response(block: bytes) -> Response | None:
    """Return the response in a record's block, or None if it has no status line."""
    block = block.lstrip(b"\r\n")
    response = None
    for _ in range(MAX_HEADS):
        if (found := STATUS_LINE.match(block)) is None:
            break
        end = HEAD_END.search(block, found.end(), found.end() + MAX_HEADER_BYTES)
        assert end is not None  # the pattern matches the end of the searched range
        head = FOLD.sub(b" ", block[found.end() : end.start()])
        block = block[end.end() :]
        response = Response(int(found[1]), _headers(head), block)
        if response.status >= 200 and b"established" not in found[2].lower():
            break
    return response


def _headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in HEADER.findall(head):
        key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def unpack(response: Response) -> Unpacked:
    """Return the body without transfer and content codings, as far as it was stored.

    Raises PageError for a body that is damaged, in an unknown coding, or too large.
    """
    if len(response.body) > MAX_PAGE_BYTES:
        raise PageError("page_too_large")
    coding = ",".join(
        response.headers.get(name, "") for name in ("content-encoding", "transfer-encoding")
    ).lower()
    data, is_cut = _join_chunks(response.body, is_declared="chunked" in coding)
    for _ in range(MAX_LAYERS):
        found = _unpack_layer(data, coding)
        if found is None:
            break
        data, is_cut = found.data, is_cut or found.is_cut
    else:
        raise PageError("undecodable_response")
    return Unpacked(data, is_cut)


def _join_chunks(body: bytes, *, is_declared: bool) -> Unpacked:
    """Return the content of transfer chunks; a body that is not chunked is returned unchanged.

    Raises PageError if chunks are declared and begin correctly, but a later one is invalid.
    """
    parts: list[bytes] = []
    position = 0
    while found := CHUNK_LINE.match(body, position):
        start, size = found.end(), int(found[1], 16)
        if size == 0:
            is_end = TRAILER.fullmatch(body, start, start + MAX_HEADER_BYTES) is not None
            if parts or (is_declared and is_end):
                return Unpacked(b"".join(parts), is_cut=False)
            return Unpacked(body, is_cut=False)
        parts.append(body[start : start + size])
        if start + size >= len(body):  # the last chunk has no end
            position = len(body)
            break
        line_end = LINE_END.match(body, start + size)
        if line_end is None:  # not a chunk, but a line that looks like the beginning of one
            parts.pop()
            break
        position = line_end.end()
    if not is_declared or not parts:
        return Unpacked(body, is_cut=False)
    if position < len(body):
        raise PageError("undecodable_response")
    return Unpacked(b"".join(parts), is_cut=True)


def _unpack_layer(data: bytes, coding: str) -> Unpacked | None:
    """Remove the outermost compression; return None if there is none.

    Raises PageError if the data is compressed, but damaged or in an unknown format.
    """
    if data.startswith(GZIP):
        return _require(_inflate(data, 31))
    if data.startswith(FRAME_MAGIC):
        return _require(_unpack_members(data, FRAME_MAGIC, zstd.ZstdDecompressor))
    if looks_like_html(data) or not data:
        return None
    # The other formats have no signature: accept them only if they decompress completely.
    is_packed = is_binary(data)
    attempts: list[Callable[[bytes], Unpacked | None]] = []
    if len(data) > 1 and data[0] == 0x78 and int.from_bytes(data[:2]) % 31 == 0:
        attempts.append(lambda data: _inflate(data, 15))
    if is_packed or re.search("br|deflate", coding):
        attempts += [_unpack_brotli, lambda data: _inflate(data, -15)]
    if "deflate" in coding:
        attempts.reverse()
    found = [each for attempt in attempts if (each := attempt(data)) is not None and each.data]
    for each in found:
        if not each.is_cut:
            return each
    if is_packed and re.search("br|deflate", coding):
        return _require(found[0] if found else None)
    return None


def _require(unpacked: Unpacked | None) -> Unpacked:
    if unpacked is None or (unpacked.is_cut and not unpacked.data):
        raise PageError("undecodable_response")
    return unpacked


def _inflate(data: bytes, window_bits: int) -> Unpacked | None:
    """Decompress gzip (31), zlib (15) or raw deflate (-15); return None if it is damaged."""
    magic = GZIP if window_bits == 31 else b""
    return _unpack_members(data, magic, lambda: zlib.decompressobj(window_bits))


def _unpack_members(data: bytes, magic: bytes, new_stream: Callable[[], Any]) -> Unpacked | None:
    """Decompress all members, each of which begins with `magic`; if that is empty, all data."""
    parts: list[bytes] = []
    num_left = MAX_PAGE_BYTES + 1
    for _ in range(MAX_MEMBERS):
        stream = new_stream()
        try:
            parts.append(stream.decompress(data, num_left))
        except (zlib.error, zstd.ZstdError, MemoryError):
            return None
        num_left -= len(parts[-1])
        if num_left <= 0:
            raise PageError("page_too_large")
        if not stream.eof:
            return Unpacked(b"".join(parts), is_cut=True)
        data = stream.unused_data
        if not magic and data:
            return None
        if not magic or not data.startswith(magic):  # padding follows
            return Unpacked(b"".join(parts), is_cut=False)
    return None


def _unpack_brotli(data: bytes) -> Unpacked | None:
    stream = brotli.Decompressor()
    parts: list[bytes] = []
    num_left = MAX_PAGE_BYTES + 1
    try:
        while num_left > 0:
            parts.append(stream.process(data, output_buffer_limit=num_left))
            data = b""
            num_left -= len(parts[-1])
            if stream.is_finished() or not parts[-1]:
                return Unpacked(b"".join(parts), is_cut=not stream.is_finished())
    except brotli.error:
        return None
    raise PageError("page_too_large")
