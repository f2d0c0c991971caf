"""Text of byte streams, and its lines; what is not in the encoding names its place and a remedy."""

import codecs
from collections.abc import Iterator
from typing import IO

BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20
# A line or a csv field of more is no document but a file without line ends, or a quote never
# closed; it would be held in memory several times.
MAX_RECORD_BYTES = 256 << 20
# That of UTF-32 begins like that of UTF-16.
MARKS = (
    ("utf-32", codecs.BOM_UTF32_LE, "utf-32-be"),
    ("utf-32", codecs.BOM_UTF32_BE, "utf-32-le"),
    ("utf-16", codecs.BOM_UTF16_LE, "utf-16-be"),
    ("utf-16", codecs.BOM_UTF16_BE, "utf-16-le"),
    ("utf-8", codecs.BOM_UTF8, ""),
)
"""Encodings that begin with a mark, the mark, and the encoding of the opposite order."""
# Where text has a character of one byte, UTF-16 has a zero in each second place.
LOOKED_AT_BYTES = 1024
ZEROS_OF_UTF_16 = 0.4
ZEROS_OF_TEXT = 0.1


def decoded_text(stream: IO[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """The text of a byte stream in blocks, without a byte order mark.

    Raises ValueError that names line and byte of what is not valid in `encoding`.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise ValueError(f"{name}: unknown encoding {encoding!r}; try utf-8 or cp1252") from error
    num_bytes = num_lines = 0
    while True:
        num_pending = len(decoder.getstate()[0])
        block = stream.read(BLOCK_BYTES)
        if num_bytes == 0:
            _check_beginning(block, name, codecs.lookup(encoding).name)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = num_lines + error.object[: error.start].count(b"\n") + 1
            place = num_bytes - num_pending + error.start
            raise ValueError(
                f"{name}: line {line}, byte {place}: not valid {encoding} ({error.reason}); "
                f"{_remedy(error.object, encoding)}"
            ) from error
        except UnicodeError as error:  # that of UTF-16 and UTF-32 for a missing mark has no place
            raise ValueError(
                f"{name}: not valid {encoding} ({error}); set encoding to {encoding}-le or "
                f"{encoding}-be, which need no mark, or to the one it is written in"
            ) from error
        yield text.removeprefix(BYTE_ORDER_MARK) if num_bytes == 0 else text
        if not block:
            return
        num_bytes += len(block)
        num_lines += block.count(b"\n")


def text_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Lines of a text without their ends: LF, CRLF, and CR as old Macs wrote it.

    Other separators (U+2028, U+0085, which is `...` in cp1252) stay in the text.
    """
    for line in _lines(stream, name, encoding):
        text = line.removesuffix("\n")
        if text != line:
            text = text.rstrip("\r")  # some programs write CR CR LF
        if "\r" in text:
            yield from text.removesuffix("\r").split("\r")
        else:
            yield text


def decoded_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Lines of records with their ends. CR ends one only in a stream that has no LF at all.

    Elsewhere it is part of the text, as all other line separators are.
    """
    for number, line in enumerate(_lines(stream, name, encoding)):
        if number == 0 and not line.endswith("\n") and "\r" in line:
            yield from (f"{each}\n" for each in line.removesuffix("\r").split("\r"))
        else:
            yield line


def _lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Lines that end with LF; the last one may have no end."""
    rest: list[str] = []  # a line may span many blocks: join once
    num_characters, number = 0, 1
    for text in decoded_text(stream, name, encoding):
        first, *others = text.split("\n")
        rest.append(first)
        for part in others:
            yield "".join(rest) + "\n"
            rest, num_characters = [part], 0
        number += len(others)
        num_characters += len(rest[-1])
        if num_characters > MAX_RECORD_BYTES:  # a character has a byte at least
            raise ValueError(
                f"{name}: line {number}: more than {MAX_RECORD_BYTES} bytes without a line end; "
                "check the format, and split the line if it is right"
            )
    if last := "".join(rest):
        yield last


def _check_beginning(start: bytes, name: str, codec: str) -> None:
    """Refuse a file whose first bytes tell that it is not in the encoding it is taken for."""
    for encoding, mark, opposite in MARKS:
        if start.startswith(mark):
            if codec == opposite or not codec.startswith(encoding):
                raise ValueError(
                    f"{name}: line 1, byte 0: a byte order mark of {encoding}, which is not valid "
                    f"{codec}; set encoding to {encoding}"
                )
            return
    if codec != "utf-8" or not (seen := start[:LOOKED_AT_BYTES]):
        return
    first, second = seen[::2], seen[1::2] or b" "
    zeros = first.count(0) / len(first), second.count(0) / len(second)
    for here, other, encoding in ((*zeros[::-1], "utf-16-le"), (*zeros, "utf-16-be")):
        if here > ZEROS_OF_UTF_16 and other < ZEROS_OF_TEXT:
            raise ValueError(
                f"{name}: line 1: each second byte is zero, as in {encoding}, which utf-8 text "
                f"never is; set encoding to {encoding}"
            )


def _remedy(data: bytes, encoding: str) -> str:
    """What to do about bytes that are not valid in the encoding that was set, or in the default."""
    if b"\0" in data:
        return "it holds zero bytes, as no text does: check the format, or what the file is"
    if codecs.lookup(encoding).name == "utf-8":
        return (
            "repair the file, or set encoding to the one it is written in (cp1252 is that of most "
            "Western European files)"
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return f"it is in another encoding than {encoding}, or damaged there"
    return f"it is valid utf-8, not {encoding}: set encoding to utf-8"
