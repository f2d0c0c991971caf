"""Decompress streams; a truncated or damaged file raises, and is never read as a shorter one."""

import bz2
import io
import logging
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

import lz4.frame
from isal import igzip_lib

from electra_pipeline.core.errors import one_line
from electra_pipeline.inputs.zstandard import (
    SKIPPABLE_MAGIC,
    ZstdError,
    missing_dictionary,
    num_dictionary_bytes,
    zstd_decompressor,
)

logger = logging.getLogger(__name__)
Warn = Callable[[str], None]
"""Called with a line for the log about bytes of a file that were ignored."""


def log_warning(message: str) -> None:
    """Log the message as a warning."""
    logger.warning("%s", message)


@dataclass(frozen=True)
class Codec:
    """How one compression format is read."""

    name: str
    magic: bytes
    """First bytes of each member."""
    make_decompressor: Callable[[bytes], Any]
    """Returns a decompressor of one member; called with the first bytes of the file."""
    skippable: tuple[bytes, ...] = ()
    """First bytes of frames without content."""

    def begins(self, data: bytes) -> bool:
        """Return whether `data` begins with a member or a skippable frame."""
        return data.startswith((self.magic, *self.skippable))


def _plain(make: Callable[[], Any]) -> Callable[[bytes], Any]:
    return lambda head: make()


# By suffix. zstd and lz4 detect damage inside of a frame only if the file has checksums, as the
# programs `zstd` and `lz4` write by default.
CODECS: Mapping[str, Codec] = {
    ".gz": Codec(
        "gzip",
        b"\x1f\x8b\x08",  # RFC 1952, 2.3.1; deflate is the only method
        _plain(partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP)),
    ),
    ".bz2": Codec("bzip2", b"BZh", _plain(bz2.BZ2Decompressor)),
    ".xz": Codec("xz", b"\xfd7zXZ\x00", _plain(partial(lzma.LZMADecompressor, lzma.FORMAT_XZ))),
    ".zst": Codec("zstd", b"\x28\xb5\x2f\xfd", zstd_decompressor, SKIPPABLE_MAGIC),
    ".lz4": Codec(
        "lz4", b"\x04\x22\x4d\x18", _plain(lz4.frame.LZ4FrameDecompressor), SKIPPABLE_MAGIC
    ),
}
DAMAGE: tuple[type[Exception], ...] = (  # type: ignore[assignment]
    OSError,
    RuntimeError,  # lz4's
    lzma.LZMAError,
    zlib.error,
    igzip_lib.IsalError,
    ZstdError,
)
BUFFER_BYTES = 1 << 18  # of content
READ_BYTES = 1 << 16  # of a compressed file
# Text is compressed to a tenth, logs to a hundredth; the limit of deflate is 1 : 1032.
MAX_EXPANSION = 1000.0
# A small file may consist of zeros: the limit applies above this many bytes.
EXPANSION_BYTES = 100_000_000
# After the last member: signatures and notes of mirrors are shorter, damaged members longer.
MAX_TRAILING_BYTES = 1 << 16
LINE_END_BYTES = b"\r\n\x1a\0"  # of text mode, the end of file of CP/M, and padding


def decompress(
    file: IO[bytes],
    suffix: str,
    name: str,
    max_expansion: float = MAX_EXPANSION,
    warn: Warn = log_warning,
) -> IO[bytes]:
    """Return the content of the compressed `file`; closing it closes `file`.

    `suffix` is a key of `CODECS`. Concatenated members are read as one, zeros and line ends after
    a member are skipped, and other bytes after the last one are ignored, as by `gzip -d`, and
    reported to `warn`. Reading raises ValueError with `name` if the stream is truncated or damaged,
    or if it is a decompression bomb: `max_expansion` times as large and more than 100 MB.
    """
    return io.BufferedReader(_Decompressed(file, suffix, name, max_expansion, warn), BUFFER_BYTES)


def check_expansion(name: str, num_bytes: int, num_packed: int, max_expansion: float) -> None:
    """Raise ValueError with `name` if `num_bytes` from `num_packed` are a decompression bomb."""
    if num_bytes > max(EXPANSION_BYTES, max_expansion * num_packed):
        raise ValueError(
            f"{name}: {num_bytes} bytes from {num_packed}, more than {max_expansion:g} times as "
            "many: a decompression bomb; if it is not, raise max_expansion of its source"
        )


class _Decompressed(io.RawIOBase):
    """Reads concatenated members, each with its own decompressor; every error is a ValueError.

    The libraries' file objects treat a member whose beginning is damaged as the end of the file,
    and so read half of a multistream dump without an error, or they refuse any bytes after the last
    member, even a line end.
    """

    def __init__(
        self, file: IO[bytes], suffix: str, name: str, max_expansion: float, warn: Warn
    ) -> None:
        self._file = file
        self._codec = CODECS[suffix]
        self._name = name
        self._max_expansion = max_expansion
        self._warn = warn
        self._num_bytes = 0
        self._head = b""  # of the file
        self._member: Any = None
        self._pending = b""  # read, but not yet decompressed
        self._is_done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._decompress(len(buffer))
        except EOFError as error:
            raise ValueError(
                f"{self._name}: ends in the middle of its {self._codec.name} stream; download it "
                "again"
            ) from error
        except DAMAGE as error:
            raise ValueError(f"{self._name}: {self._reason(error)}") from error
        self._num_bytes += len(data)
        check_expansion(self._name, self._num_bytes, self._file.tell(), self._max_expansion)
        buffer[: len(data)] = data
        return len(data)

    def _reason(self, error: Exception) -> str:
        """Return what is wrong, and the remedy."""
        if isinstance(error, ZstdError) and (number := missing_dictionary(self._head)):
            return (
                f"was compressed with the zstd dictionary {number}, which it does not contain; "
                "decompress it with zstd -d -D DICTIONARY"
            )
        return f"damaged, or not a {self._codec.name} stream ({one_line(error)}); download it again"

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _decompress(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end. Raises EOFError for a truncated member."""
        while not self._is_done:
            if self._member is None or self._member.eof:
                self._next_member()
                continue
            block = b""
            if self._pending or self._member.needs_input:
                block, self._pending = self._pending or self._file.read(READ_BYTES), b""
                if not block:
                    raise EOFError("the last member has no end")
            if data := self._member.decompress(block, size):
                return bytes(data)
        return b""

    def _next_member(self) -> None:
        if not self._head:
            self._head = self._file.read(READ_BYTES)
            if (num_missing := num_dictionary_bytes(self._head) - len(self._head)) > 0:
                self._head += self._file.read(num_missing)
            self._pending = self._head
            if not self._head:
                raise EOFError("the file is empty")
        else:
            self._skip_padding()
        if not self._is_done:
            self._member = self._codec.make_decompressor(self._head)

    def _skip_padding(self) -> None:
        """Skip to the next member or the end. Raises ValueError for other bytes."""
        rest = (self._member.unused_data or b"").lstrip(b"\0")
        while len(rest) < max(len(self._codec.magic), 4):
            if not (block := self._file.read(READ_BYTES)):
                break
            rest = (rest + block).lstrip(b"\0")
        self._pending = rest
        if self._codec.begins(rest):
            return
        self._is_done = True
        rest += self._file.read(MAX_TRAILING_BYTES)
        if rest.strip(LINE_END_BYTES):
            self._ignore_trailing(rest)

    def _ignore_trailing(self, rest: bytes) -> None:
        magic = self._codec.magic
        if magic.startswith(rest):
            raise EOFError("a member ends after its first bytes")
        same = [a == b for a, b in zip(rest, magic, strict=False)]
        # A first byte that was damaged to 0 was skipped as padding.
        is_near = 2 * sum(same) >= len(magic) or rest.startswith(magic[1:])
        if is_near or magic in rest or len(rest) > MAX_TRAILING_BYTES:
            raise ValueError(
                f"{self._name}: a complete {self._codec.name} stream is followed by other bytes "
                f"({rest[:8].hex(' ')} ...): damaged, or something was appended; download it "
                "again, or remove them"
            )
        self._warn(
            f"{self._name}: ignored {len(rest)} bytes after the end of its {self._codec.name} "
            "stream, which are not part of it"
        )
