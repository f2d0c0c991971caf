"""Read parts of a Wikimedia multistream dump: a bz2 file of many streams, each of whole pages.

A `-multistream.xml.bz2` file has a stream with the head of the dump, streams of 100 pages, and a
stream with its end. Other files of many streams (those of pbzip2) are cut anywhere in the text, so
a part begins only where a stream begins with a page.
"""

import bz2
import io
import re
from collections.abc import Iterator
from typing import IO, Any, cast

from electra_pipeline.inputs.decompression import decompress
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.parts import SEARCH_BYTES, Part, count_parts, span

# The head of a stream, and of its first block (the digits of pi).
STREAM = re.compile(rb"BZh[1-9]1AY&SY")
STREAM_HEAD_BYTES = 10
PAGE = re.compile(rb"\s*<page>")
PAGE_BYTES = 64  # enough to see one begin
HEAD_BYTES = 1 << 20  # before the first pages: real heads have some kilobytes
# Appended to a part as a stream of its own: if decompression stops early, the XML lacks its end and
# the parser reports an error.
END = bz2.compress(b"</mediawiki>")


def count_dump_parts(file: SourceFile) -> int:
    """Return in how many parts a dump can be read: 1, unless it is large and multistream."""
    if file.compression != ".bz2":
        return 1
    with file.open_stored() as stream:
        if not stream.seekable():
            return 1
        number = count_parts(stream)
        is_multistream = number > 1 and _first_pages(stream) is not None
        return number if is_multistream else 1


def open_part(file: SourceFile, part: Part) -> IO[bytes]:
    """Open the pages of the streams that begin in the part, with head and end of the dump.

    All parts together have the pages of the file, in its order. Raises ValueError, also while
    reading, like `SourceFile.open`.
    """
    stored = file.open_stored()
    size = stored.seek(0, io.SEEK_END)
    first = _first_pages(stored)
    if first is None:
        raise ValueError(f"{file.name}: the dump has changed since it was found; run again")
    start, stop = (max(first, _next_pages(stored, offset, size)) for offset in part.bounds(size))
    end = b"" if start < stop == size else END  # the last part includes the dump's own
    spans = [span(stored, 0, first), span(stored, start, stop), io.BytesIO(end)]
    name = f"{file.name} (part {part.index + 1} of {part.number})"
    joined = cast(IO[bytes], _Joined(spans, stored))
    return decompress(joined, ".bz2", name, file.max_expansion, file.warn)


def _first_pages(stream: IO[bytes]) -> int | None:
    """Return the offset of the first stream of pages, or None if it is not near the beginning."""
    offset = _next_pages(stream, 0, HEAD_BYTES)
    return offset if offset < HEAD_BYTES else None


def _next_pages(stream: IO[bytes], offset: int, end: int) -> int:
    """Return the first offset, at or after `offset`, where a stream of pages begins, or `end`."""
    found = (start for start in _streams(stream, offset, end) if _has_pages(stream, start))
    return next(found, end)


def _streams(stream: IO[bytes], offset: int, end: int) -> Iterator[int]:
    """Yield the offsets from `offset` to before `end` where streams may begin."""
    while offset < end:
        stream.seek(offset)
        block = stream.read(SEARCH_BYTES + STREAM_HEAD_BYTES - 1)
        for match in STREAM.finditer(block):
            if offset + match.start() < end:
                yield offset + match.start()
        if len(block) < SEARCH_BYTES + STREAM_HEAD_BYTES - 1:
            return
        offset += SEARCH_BYTES  # a head that begins before is complete in this block


def _has_pages(stream: IO[bytes], start: int) -> bool:
    """Return whether a stream of pages begins here, not just bytes that look like its head."""
    stream.seek(start)
    decompressor = bz2.BZ2Decompressor()
    text = b""
    try:
        while len(text) < PAGE_BYTES and not decompressor.eof:
            block = stream.read(SEARCH_BYTES) if decompressor.needs_input else b""
            if decompressor.needs_input and not block:
                return False
            text += decompressor.decompress(block, PAGE_BYTES - len(text))
    except OSError:
        return False
    return PAGE.match(text) is not None


class _Joined(io.RawIOBase):
    """Concatenated spans of a stored file."""

    def __init__(self, spans: list[Any], stored: IO[bytes]) -> None:
        self._spans, self._stored = spans, stored
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._spans:
            if num_bytes := self._spans[0].readinto(buffer):
                self._num_bytes += num_bytes
                return int(num_bytes)
            self._spans.pop(0)
        return 0

    def tell(self) -> int:
        return self._num_bytes

    def close(self) -> None:
        self._stored.close()
        super().close()
