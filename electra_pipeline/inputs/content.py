"""What the first bytes of a file tell: how it is compressed, or that it is no text at all."""

import codecs
import re
from pathlib import Path

from electra_pipeline.inputs.decompression import CODECS

HEAD_BYTES = 512
# A stream of bzip2 continues with the digits of pi, or of its square root where it is empty.
BZIP2_HEAD = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
HTML_HEAD = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
PAGE_SUFFIXES = ("", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")
UNPACK = "unpack it"
EXPORT = "write what it holds as parquet, jsonl or csv"
TAKE_OUT = "take it out of the source"
# What a file is that begins so, and what to do.
NO_TEXT: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive (or an office document)", "name its files: zip://*.txt::"),
    (0, b"PK\x05\x06", "an empty zip archive", "check where it comes from"),
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
    (0, b"\x89PNG\r\n", "a PNG image", TAKE_OUT),
    (0, b"\xff\xd8\xff", "a JPEG image", TAKE_OUT),
    (0, b"\x7fELF", "a program", TAKE_OUT),
    (0, b"\0\5\x16\7", "what macOS keeps beside a file", TAKE_OUT),
    (0, b"\x02\x21\x4c\x18", "in the legacy format of lz4", "compress it again: lz4 -d | lz4"),
    (0, b"\x1f\x9d", "compressed by compress (.Z)", "compress it again: uncompress -c | gzip"),
)
# Of files that are no text, but have formats of their own.
DATA_HEADS = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"WARC/")
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def compression_of(head: bytes, suffix: str | None, name: str) -> str | None:
    """How a file is compressed that begins with `head`: a key of `CODECS`, or None.

    The content decides, and not the `suffix` of its name (a key of `CODECS`, or None): servers
    decompress `.gz` files on the way, and compress others. Raises ValueError with `name` for an
    error page in place of a compressed file, and as `check_text` does.
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
    """Raise ValueError with `name` for the beginning of an archive or document that is no text."""
    for place, magic, kind, remedy in NO_TEXT:
        if head.startswith(magic, place):
            where = name if remedy.endswith("::") else ""
            raise ValueError(f"{name}: it is {kind}, which is not read as a file; {remedy}{where}")


def check_page(file: Path, suffix: str, name: str) -> None:
    """Raise ValueError with `name` for a page where a file with that suffix is wanted."""
    with file.open("rb") as stored:
        if suffix.lower() not in PAGE_SUFFIXES and HTML_HEAD.match(stored.read(HEAD_BYTES)):
            raise _page(name, f"{suffix} file")


def _page(name: str, wanted: str) -> ValueError:
    return ValueError(
        f"{name}: an HTML page instead of a {wanted}, such as a server's error or login page; "
        "download it again"
    )


def _is_readable(head: bytes) -> bool:
    """Whether a file begins like text or data that is not compressed."""
    if head.startswith((*DATA_HEADS, *MARKS)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character >= " " or character in "\t\r\n\f" for character in text)
