"""Parts of a multistream dump: a bz2 file of many streams, each of some whole pages.

So Wikimedia publishes its `-multistream.xml.bz2` files: a stream with the head of the dump, streams
of 100 pages, a stream with the end. Other files of many streams (those of pbzip2) are cut anywhere
in the text; a part begins only where a stream begins with a page.
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
# As a stream of its own at the end of a part: what could not be decompressed up to here would leave
# the XML without its end.
END = bz2.compress(b"</mediawiki>")


def count_dump_parts(file: SourceFile) -> int:
    """In how many parts `open_part` can read a dump; one, unless it is large and multistream."""
    if file.compression != ".bz2":
        return 1
    with file.open_stored() as stream:
        if not stream.seekable():
            return 1
        number = count_parts(stream)
        is_multistream = number > 1 and _first_pages(stream) is not None
        return number if is_multistream else 1


def open_part(file: SourceFile, part: Part) -> IO[bytes]:
    """The pages of the streams that begin in the part, as a whole dump: with its head and end.

    All parts together have the pages of the file, in its order. Raises ValueError, also while
    reading, as `SourceFile.open` does.
    """
    stored = file.open_stored()
    size = stored.seek(0, io.SEEK_END)
    first = _first_pages(stored)
    if first is None:
        raise ValueError(f"{file.name}: no longer the dump that it was; run again")
    start, stop = (max(first, _next_pages(stored, place, size)) for place in part.bounds(size))
    end = b"" if start < stop == size else END  # the last pages bring the dump's own
    pieces = [span(stored, 0, first), span(stored, start, stop), io.BytesIO(end)]
    name = f"{file.name} (part {part.index + 1} of {part.number})"
    joined = cast(IO[bytes], _Joined(pieces, stored))
    return decompress(joined, ".bz2", name, file.max_expansion, file.warn)


def _first_pages(stream: IO[bytes]) -> int | None:
    """Where the first stream of pages begins; None if that is not near the beginning."""
    place = _next_pages(stream, 0, HEAD_BYTES)
    return place if place < HEAD_BYTES else None


def _next_pages(stream: IO[bytes], place: int, end: int) -> int:
    """Where the first stream of pages begins that does not begin before `place`, or `end`."""
    found = (start for start in _streams(stream, place, end) if _has_pages(stream, start))
    return next(found, end)


def _streams(stream: IO[bytes], place: int, end: int) -> Iterator[int]:
    """Where streams may begin, from `place` on and before `end`."""
    while place < end:
        stream.seek(place)
        block = stream.read(SEARCH_BYTES + STREAM_HEAD_BYTES - 1)
        for match in STREAM.finditer(block):
            if place + match.start() < end:
                yield place + match.start()
        if len(block) < SEARCH_BYTES + STREAM_HEAD_BYTES - 1:
            return
        place += SEARCH_BYTES  # what begins before is seen whole in this block, later in the next


def _has_pages(stream: IO[bytes], start: int) -> bool:
    """Whether a stream of pages begins here, and not bytes that look like the head of one."""
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
    """Spans of a stored file one after the other."""

    def __init__(self, pieces: list[Any], stored: IO[bytes]) -> None:
        self._pieces, self._stored = pieces, stored
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._pieces:
            if num_bytes := self._pieces[0].readinto(buffer):
                self._num_bytes += num_bytes
                return int(num_bytes)
            self._pieces.pop(0)
        return 0

    def tell(self) -> int:
        return self._num_bytes

    def close(self) -> None:
        self._stored.close()
        super().close()
