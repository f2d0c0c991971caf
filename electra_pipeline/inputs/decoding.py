"""Decode byte streams to text and lines; errors name line, byte and a remedy."""

import codecs
from collections.abc import Iterator
from typing import IO

BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20
# A longer line or csv field is a file without line ends or an unclosed quote, not a document; it
# would be in memory several times.
MAX_RECORD_BYTES = 256 << 20
# UTF-32 first: its mark begins like that of UTF-16.
MARKS = (
    ("utf-32", codecs.BOM_UTF32_LE, "utf-32-be"),
    ("utf-32", codecs.BOM_UTF32_BE, "utf-32-le"),
    ("utf-16", codecs.BOM_UTF16_LE, "utf-16-be"),
    ("utf-16", codecs.BOM_UTF16_BE, "utf-16-le"),
    ("utf-8", codecs.BOM_UTF8, ""),
)
"""Encodings with a byte order mark, the mark, and the encoding of the opposite byte order."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Those of files without another signature."""
SNIFFED_BYTES = 512  # in which UTF-16 is detected


def decoded_text(stream: IO[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the text of a byte stream in blocks, without a byte order mark.

    Raises ValueError, with line and byte, for bytes that are not valid in `encoding`.
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
        except UnicodeError as error:
            # Python 3.13 made the error about a missing mark a UnicodeDecodeError.
            if not isinstance(error, UnicodeDecodeError) or "BOM" in error.reason:
                raise ValueError(
                    f"{name}: not valid {encoding} ({error}); set encoding to {encoding}-le or "
                    f"{encoding}-be, which need no byte order mark, or to its actual encoding"
                ) from error
            line = num_lines + error.object[: error.start].count(b"\n") + 1
            offset = num_bytes - num_pending + error.start
            raise ValueError(
                f"{name}: line {line}, byte {offset}: not valid {encoding} ({error.reason}); "
                f"{_remedy(error.object, encoding)}"
            ) from error
        yield text.removeprefix(BYTE_ORDER_MARK) if num_bytes == 0 else text
        if not block:
            return
        num_bytes += len(block)
        num_lines += block.count(b"\n")


def text_lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Yield the lines of a text without their ends: LF, CRLF, or CR as in files of old Macs.

    Other separators (U+2028, U+0085, which is `...` in cp1252) remain in the text.
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
    """Yield lines of records with their ends; CR is one only in a stream without any LF.

    Otherwise CR is part of the text, like all other line separators.
    """
    for number, line in enumerate(_lines(stream, name, encoding)):
        if number == 0 and not line.endswith("\n") and "\r" in line:
            yield from (f"{each}\n" for each in line.removesuffix("\r").split("\r"))
        else:
            yield line


def _lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    """Yield lines that end with LF; the last one may have no end."""
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
        if num_characters > MAX_RECORD_BYTES:  # a character has at least one byte
            raise ValueError(
                f"{name}: line {number}: more than {MAX_RECORD_BYTES} bytes without a line end; "
                "check the format, and split the line if it is right"
            )
    if last := "".join(rest):
        yield last


def _check_beginning(start: bytes, name: str, codec: str) -> None:
    """Raise ValueError if the first bytes show that the text has another encoding than `codec`."""
    for encoding, mark, opposite in MARKS:
        if start.startswith(mark):
            if codec == opposite or not codec.startswith(encoding):
                raise ValueError(
                    f"{name}: line 1, byte 0: a byte order mark of {encoding}, which is not valid "
                    f"{codec}; set encoding to {encoding}"
                )
            return
    if codec == "utf-8" and (utf_16 := guess_utf16(start, min_characters=1)) is not None:
        raise ValueError(
            f"{name}: line 1: every second byte is zero, as in {utf_16} and never in utf-8; "
            f"set encoding to {utf_16}"
        )


def guess_utf16(data: bytes, min_characters: int = 4) -> str | None:
    """Return `utf-16-le` or `utf-16-be` if every second byte is mostly 0, as in its ASCII text.

    Data of fewer than `min_characters` is not guessed: binary files begin with zeros too.
    """
    head = data[:SNIFFED_BYTES]
    half = len(head) // 2
    if half < min_characters:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _remedy(data: bytes, encoding: str) -> str:
    """Return the remedy for bytes that are not valid in the configured (or default) encoding."""
    if b"\0" in data:
        return "it contains zero bytes, which text does not: check the format and the file"
    if codecs.lookup(encoding).name == "utf-8":
        return (
            "repair the file, or set encoding to its actual one (cp1252 for most Western European "
            "files)"
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return f"its encoding is not {encoding}, or it is damaged there"
    return f"it is valid utf-8, not {encoding}: set encoding to utf-8"
