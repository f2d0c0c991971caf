"""Split a large file into parts that can be read independently."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

PART_BYTES = 128 << 20  # a core cleans as much in two minutes, which a failed worker costs
SEARCH_BYTES = 1 << 16


@dataclass(frozen=True)
class Part:
    """Part `index` of `number` parts of about equal size."""

    index: int
    number: int

    def __str__(self) -> str:
        return f"part {self.index + 1} of {self.number}"

    def bounds(self, size: int) -> tuple[int, int]:
        """Return start and end of the part among `size` items; the parts of a file are adjacent."""
        return size * self.index // self.number, size * (self.index + 1) // self.number


def count_parts(stream: IO[bytes], num_groups: Callable[[IO[bytes]], int] | None = None) -> int:
    """Return in how many parts a seekable stream is read.

    Lines can be split anywhere. A file that can only be split between groups of records has
    `num_groups`, which returns their number and is called only for a large file.
    """
    size = stream.seek(0, io.SEEK_END)
    number = max(1, -(-size // PART_BYTES))
    if number > 1 and num_groups is not None:
        stream.seek(0)
        number = min(number, max(1, num_groups(stream)))
    return number


def lines_of(stream: IO[bytes], part: Part) -> IO[bytes]:
    """Open the whole lines of a seekable stream that begin in the part."""
    size = stream.seek(0, io.SEEK_END)
    start, stop = (_next_line(stream, offset) for offset in part.bounds(size))
    return span(stream, start, stop)


def span(stream: IO[bytes], start: int, stop: int) -> io.BufferedReader:
    """Open the bytes of a seekable stream from `start` to before `stop`."""
    return io.BufferedReader(_Span(stream, start, stop))


def groups_of(num_groups: int, part: Part | None) -> range:
    """Return the groups of records that belong to the part; all of them without a part."""
    return range(num_groups) if part is None else range(*part.bounds(num_groups))


def _next_line(stream: IO[bytes], offset: int) -> int:
    """Return the first offset, at or after `offset`, where a line begins."""
    if offset == 0:
        return 0
    offset -= 1  # the byte before may end a line
    stream.seek(offset)
    while block := stream.read(SEARCH_BYTES):
        if (found := block.find(b"\n")) >= 0:
            return offset + found + 1
        offset += len(block)
    return offset


class _Span(io.RawIOBase):
    """Keeps its own position, so that spans of one stream can be read alternately."""

    def __init__(self, stream: IO[bytes], start: int, stop: int) -> None:
        self._stream, self._position, self._stop = stream, start, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.seek(self._position)
        block = self._stream.read(max(0, min(len(buffer), self._stop - self._position)))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
