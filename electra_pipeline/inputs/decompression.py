"""Decompressed streams that are whole: a cut or damaged file raises, never reads shorter."""

import bz2
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import lz4.frame
from isal import igzip, igzip_lib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# By suffix: the codec's name and its reader. All read concatenated members and raise on a cut
# stream; the `zstandard` package would do neither. zstd and lz4 notice other damage only where the
# file was written with checksums (`zstd` and `lz4` do so unless told otherwise).
CODECS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    ".gz": ("gzip", lambda file: igzip.IGzipFile(fileobj=file, mode="rb")),
    ".bz2": ("bzip2", lambda file: _Members(file, bz2.BZ2Decompressor)),
    ".xz": ("xz", lambda file: _Members(file, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ))),
    ".zst": ("zstd", zstd.ZstdFile),
    ".lz4": ("lz4", lz4.frame.LZ4FrameFile),
}
DAMAGE: tuple[type[Exception], ...] = (  # type: ignore[assignment]
    OSError,
    RuntimeError,  # lz4's
    lzma.LZMAError,
    zlib.error,
    igzip_lib.IsalError,
    zstd.ZstdError,
)
BUFFER_BYTES = 1 << 18  # of content
READ_BYTES = 1 << 16  # of a compressed file
# Text shrinks to a tenth, logs to a hundredth; deflate cannot do better than 1 : 1032.
MAX_EXPANSION = 1000.0
# A small file may well be all zeros: before this many bytes nothing is judged.
EXPANSION_BYTES = 100_000_000


def decompress(
    file: IO[bytes], suffix: str, name: str, max_expansion: float = MAX_EXPANSION
) -> IO[bytes]:
    """The content of the compressed `file`; closing it closes `file`.

    `suffix` is a key of `CODECS`. Reading raises ValueError with `name` if the stream is cut or
    damaged, or if it has become `max_expansion` times as large and more than 100 MB: a bomb.
    """
    return io.BufferedReader(_Decompressed(file, suffix, name, max_expansion), BUFFER_BYTES)


def check_expansion(name: str, num_bytes: int, num_packed: int, max_expansion: float) -> None:
    """Raise ValueError with `name` if so many bytes out of so many packed ones are a bomb."""
    if num_bytes > max(EXPANSION_BYTES, max_expansion * num_packed):
        raise ValueError(
            f"{name}: {num_bytes} bytes out of {num_packed}, more than {max_expansion:g} times as "
            "many: a decompression bomb; if it is none, raise max_expansion of its source"
        )


class _Decompressed(io.RawIOBase):
    """A codec's reader whose errors are ours."""

    def __init__(self, file: IO[bytes], suffix: str, name: str, max_expansion: float) -> None:
        self._file = file
        self._codec, reader = CODECS[suffix]
        self._stream = reader(file)
        self._name = name
        self._max_expansion = max_expansion
        self._num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
            if not data and not self._num_bytes and self._file.tell() == 0:
                raise EOFError("no byte at all")  # which gzip would read as an empty file
        except EOFError as error:
            raise ValueError(
                f"{self._name}: ends in the middle of its {self._codec} stream; download it again"
            ) from error
        except DAMAGE as error:
            raise ValueError(
                f"{self._name}: damaged, or no {self._codec} stream ({error}); download it again"
            ) from error
        self._num_bytes += len(data)
        check_expansion(self._name, self._num_bytes, self._file.tell(), self._max_expansion)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()


class _Members:
    """Reads concatenated bzip2 or xz streams, each by a new `decompressor`.

    The standard library's files take a member whose beginning is damaged for the end of the file,
    and so read half of a multistream dump without a word. What follows a member must be another
    one, or zeros, which xz allows as padding and tapes leave.
    """

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._file = file
        self._decompressor = decompressor
        self._member = decompressor()

    def read(self, size: int) -> bytes:
        data = b""
        while not data:
            block = b""
            if self._member.eof:
                block = self._member.unused_data.lstrip(b"\0")
                while not block:
                    if not (block := self._file.read(READ_BYTES)):
                        return b""
                    block = block.lstrip(b"\0")
                self._member = self._decompressor()
            elif self._member.needs_input and not (block := self._file.read(READ_BYTES)):
                raise EOFError("the last member has no end")
            data = self._member.decompress(block, size)
        return data

    def close(self) -> None:
        self._member = None
