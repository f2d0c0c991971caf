"""Detect the type of a file by its first bytes: compression, archives and other binary files."""

import codecs
import re
from pathlib import Path

from electra_pipeline.inputs.decoding import BYTE_ORDER_MARKS
from electra_pipeline.inputs.decompression import CODECS

HEAD_BYTES = 512
# A bzip2 stream continues with the digits of pi, or of its square root if it is empty.
BZIP2_HEAD = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
HTML_HEAD = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
PAGE_SUFFIXES = ("", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")
UNPACK = "unpack it"
EXPORT = "export its content as parquet, jsonl or csv"
REMOVE = "remove it from the source"
# Offset and signature of binary files, what they are, and the remedy
BINARY: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive (or an office document)", "name its files: zip://*.txt::"),
    (0, b"PK\x05\x06", "an empty zip archive", "check its origin"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (257, b"ustar", "a tar archive", "name its files: tar://*.txt::"),
    (0, b"%PDF-", "a PDF document", "extract its text"),
    (0, b"{\\rtf", "an RTF document", "extract its text"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document", "save it as csv or text"),
    (0, b"SQLite format 3\0", "an SQLite database", "export its table: sqlite3 -csv -header"),
    (0, b"Obj\x01", "an Avro file", EXPORT),
    (0, b"\x89HDF\r\n", "an HDF5 file", EXPORT),
    (0, b"\x93NUMPY", "a NumPy array", EXPORT),
    (0, b"FEA1\0", "the first version of Feather", EXPORT),
    (0, b"\x89PNG\r\n", "a PNG image", REMOVE),
    (0, b"\xff\xd8\xff", "a JPEG image", REMOVE),
    (0, b"\x7fELF", "a program", REMOVE),
    (0, b"\0\5\x16\7", "a metadata file of macOS", REMOVE),
    (0, b"\x02\x21\x4c\x18", "in the legacy format of lz4", "compress it again: lz4 -d | lz4"),
    (0, b"\x1f\x9d", "compressed by compress (.Z)", "compress it again: uncompress -c | gzip"),
)
# Binary files that have a format of their own
DATA_HEADS = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"WARC/")


def compression_of(head: bytes, suffix: str | None, name: str) -> str | None:
    """Return the compression of a file that begins with `head`: a key of `CODECS`, or None.

    The content decides, not the `suffix` of its name (a key of `CODECS`, or None): servers
    decompress `.gz` files during the transfer, and compress others. Raises ValueError with `name`
    for an error page instead of a compressed file, and like `check_text`.
    """
    for each in (suffix, *CODECS):
        if each is not None and CODECS[each].begins(head):
            return (
                None if each == ".bz2" and suffix != each and not BZIP2_HEAD.match(head) else each
            )
    check_text(head, name)
    if suffix is None:
        return None
    if HTML_HEAD.match(head):
        raise _page(name, f"{CODECS[suffix].name} file")
    return None if _is_readable(head) else suffix


def check_text(head: bytes, name: str) -> None:
    """Raise ValueError with `name` if `head` begins an archive or a binary document."""
    for offset, magic, kind, remedy in BINARY:
        if head.startswith(magic, offset):
            archive = name if remedy.endswith("::") else ""
            raise ValueError(f"{name}: it is {kind}, which cannot be read; {remedy}{archive}")


def check_page(file: Path, suffix: str, name: str) -> None:
    """Raise ValueError with `name` for an HTML page instead of a file with that suffix."""
    with file.open("rb") as stored:
        if suffix.lower() not in PAGE_SUFFIXES and HTML_HEAD.match(stored.read(HEAD_BYTES)):
            raise _page(name, f"{suffix} file")


def _page(name: str, expected: str) -> ValueError:
    return ValueError(
        f"{name}: an HTML page instead of a {expected}, such as a server's error or login page; "
        "download it again"
    )


def _is_readable(head: bytes) -> bool:
    """Return whether a file begins like uncompressed text or data."""
    if head.startswith((*DATA_HEADS, *BYTE_ORDER_MARKS)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character >= " " or character in "\t\r\n\f" for character in text)
