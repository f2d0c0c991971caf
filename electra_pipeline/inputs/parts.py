"""Parts of a large file, each of which can be read without the others."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

PART_BYTES = 128 << 20  # what a core cleans in two minutes: what a lost worker costs
SEARCH_BYTES = 1 << 16


@dataclass(frozen=True)
class Part:
    """Part `index` of `number` about equal ones."""

    index: int
    number: int

    def bounds(self, size: int) -> tuple[int, int]:
        """Where the part begins and ends in `size` things; the parts of a file are adjacent."""
        return size * self.index // self.number, size * (self.index + 1) // self.number


def count_parts(stream: IO[bytes], num_groups: Callable[[IO[bytes]], int] | None = None) -> int:
    """In how many parts a seekable stream is read.

    `num_groups` tells of how many groups of records it is made (asked of a large one alone), where
    it can only be cut between them; lines can be cut anywhere.
    """
    size = stream.seek(0, io.SEEK_END)
    number = max(1, -(-size // PART_BYTES))
    if number > 1 and num_groups is not None:
        stream.seek(0)
        number = min(number, max(1, num_groups(stream)))
    return number


def lines_of(stream: IO[bytes], part: Part) -> IO[bytes]:
    """The whole lines of a seekable stream that begin in the part."""
    size = stream.seek(0, io.SEEK_END)
    start, stop = (_next_line(stream, place) for place in part.bounds(size))
    return span(stream, start, stop)


def span(stream: IO[bytes], start: int, stop: int) -> io.BufferedReader:
    """The bytes of a seekable stream from `start` to before `stop`."""
    return io.BufferedReader(_Span(stream, start, stop))


def groups_of(num_groups: int, part: Part | None) -> range:
    """The groups of records that belong to the part; all of them where there is none."""
    return range(num_groups) if part is None else range(*part.bounds(num_groups))


def _next_line(stream: IO[bytes], place: int) -> int:
    """Where the first line begins that does not begin before `place`."""
    if place == 0:
        return 0
    place -= 1  # the byte before may end a line
    stream.seek(place)
    while block := stream.read(SEARCH_BYTES):
        if (found := block.find(b"\n")) >= 0:
            return place + found + 1
        place += len(block)
    return place


class _Span(io.RawIOBase):
    """Keeps its own place, so that spans of one stream can be read by turns."""

    def __init__(self, stream: IO[bytes], start: int, stop: int) -> None:
        self._stream, self._place, self._stop = stream, start, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.seek(self._place)
        block = self._stream.read(max(0, min(len(buffer), self._stop - self._place)))
        buffer[: len(block)] = block
        self._place += len(block)
        return len(block)
