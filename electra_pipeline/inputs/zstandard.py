"""Decompress zstd frames, also with long windows or a dictionary stored in the file."""

import sys
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

ZstdError = zstd.ZstdError
# First bytes of skippable frames, the same in zstd and lz4 (RFC 8878, 3.1.2)
SKIPPABLE_MAGIC = tuple(bytes((0x50 + number,)) + b"\x2a\x4d\x18" for number in range(16))
# First bytes of a .warc.zst's dictionary frame (IIPC's "Zstandard compression" 1.0, 2)
DICTIONARY_MAGIC = SKIPPABLE_MAGIC[0x0D]
FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
HEADER_BYTES = 8  # of a skippable frame: its magic and its length
MAX_DICTIONARY_BYTES = 64 << 20  # real ones have some hundred kilobytes
# The maximum of zstd, whose default is 27. A window of 2 GiB takes only as much memory as there is
# content before it.
MAX_WINDOW_LOG = 31


def zstd_decompressor(head: bytes) -> Any:
    """Return a decompressor of one frame of the file that begins with `head`.

    Raises ZstdError if the dictionary at the beginning of the file is damaged.
    """
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    return zstd.ZstdDecompressor(_dictionary(head), options)


def missing_dictionary(head: bytes) -> int:
    """Return the number of the dictionary that the first frame needs and the file lacks, or 0."""
    if not head.startswith(FRAME_MAGIC):
        return 0
    try:
        return int(zstd.get_frame_info(head).dictionary_id)
    except zstd.ZstdError:
        return 0


def num_dictionary_bytes(head: bytes) -> int:
    """Return how many bytes at the beginning of the file are its dictionary; 0 if it has none."""
    if not head.startswith(DICTIONARY_MAGIC):
        return 0
    length = HEADER_BYTES + int.from_bytes(head[4:HEADER_BYTES], "little")
    return length if length <= MAX_DICTIONARY_BYTES else 0


def _dictionary(head: bytes) -> Any:
    if not (length := num_dictionary_bytes(head)):
        return None
    content = head[HEADER_BYTES:length]
    if content.startswith(FRAME_MAGIC):  # it may be compressed itself
        content = zstd.decompress(content)
    return zstd.ZstdDict(content, is_raw=not content.startswith(b"\x37\xa4\x30\xec"))
