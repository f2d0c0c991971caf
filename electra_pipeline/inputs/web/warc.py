"""Read the records of WARC archives, as various tools write them."""

import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from electra_pipeline.inputs.decoding import MAX_RECORD_BYTES

MAX_HEADER_BYTES = 1 << 16  # of a line or of all lines; real ones have some hundred bytes
TRUNCATED = {"warc-truncated", "warc-segment-number"}
NOT_ASCII = re.compile(rb"[^\x20-\x7e]")


class WarcRecord(NamedTuple):
    """A record of an archive."""

    kind: str
    """Its WARC-Type, such as `response`."""
    uri: str | None
    block: bytes
    media_type: str = ""
    """The Content-Type of the block."""
    payload_type: str = ""
    """The type that the crawler detected: WARC-Identified-Payload-Type."""
    is_truncated: bool = False
    """Whether its end is missing (WARC-Truncated) or in other records."""


def read_records(stream: IO[bytes], name: str) -> Iterator[WarcRecord]:
    """Yield the records of an archive; `stream` is decompressed.

    FastWARC 2.0 is not used: it does not report a truncated archive, needs a seekable stream, and
    panics if the stream raises. Raises ValueError with the byte offset in the archive, also if it
    has no record.
    """
    offset = num_records = 0
    while line := stream.readline(MAX_HEADER_BYTES):
        if not line.strip():
            offset += len(line)
            continue
        if line.startswith(b"filedesc://"):
            raise ValueError(f"{name}: an ARC archive; convert it to WARC (warcio recompress)")
        if not line.startswith(b"WARC/"):
            raise ValueError(f"{name}: byte {offset}: not a WARC record; download it again")
        head, num_bytes = [line], len(line)
        while (line := stream.readline(MAX_HEADER_BYTES)).strip():
            head.append(line)
            num_bytes += len(line)
            if num_bytes > MAX_HEADER_BYTES:
                raise ValueError(
                    f"{name}: byte {offset}: a WARC header of more than {MAX_HEADER_BYTES} bytes; "
                    "download it again"
                )
        fields = _fields(head[1:])
        length = fields.get("content-length", "")
        if line and not re.fullmatch("[0-9]{1,18}", length):
            raise ValueError(
                f"{name}: byte {offset}: a WARC record with the Content-Length {length!r}; "
                "download it again"
            )
        if line and int(length) > MAX_RECORD_BYTES:
            raise ValueError(
                f"{name}: byte {offset}: a WARC record of {int(length)} bytes; at most "
                f"{MAX_RECORD_BYTES} are allowed, remove it from the archive"
            )
        block = stream.read(int(length)) if line else b""
        if not line or len(block) < int(length):
            raise ValueError(f"{name}: ends in the middle of a WARC record; download it again")
        yield WarcRecord(
            fields.get("warc-type", "").lower(),
            fields.get("warc-target-uri", "").strip("<>") or None,
            block,
            fields.get("content-type", ""),
            fields.get("warc-identified-payload-type", ""),
            not TRUNCATED.isdisjoint(fields),
        )
        offset += num_bytes + len(line) + len(block)
        num_records += 1
    if not num_records:
        raise ValueError(f"{name}: contains no WARC record; download it again")


def _fields(lines: list[bytes]) -> dict[str, str]:
    """Return values by name in lower case; of equal names the first is used."""
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in b" \t" and name:  # a folded line continues the one before
            fields[name] = f"{fields[name]} {_text(line)}".strip()
            continue
        key, _, value = line.partition(b":")
        name = _text(key).lower()
        if name in fields:
            name = ""
            continue
        fields[name] = _text(value)
    return fields


def _text(value: bytes) -> str:
    """Decode UTF-8, as the standard requires; other bytes are percent-encoded, as in a URL."""
    value = value.strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], value).decode("ascii")
