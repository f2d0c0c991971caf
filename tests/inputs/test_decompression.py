import bz2
import gzip
import io
import lzma
import random
import sys

import lz4.frame
import pytest

from electra_pipeline.inputs import decompression
from electra_pipeline.inputs.decompression import CODECS, decompress

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Written by the codecs' own libraries: gzip by another one than the reader's.
COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
    ".lz4": lz4.frame.compress,
}
CONTENT = random.Random(0).randbytes(300_000) + b"text " * 60_000


def read(data: bytes, suffix: str) -> bytes:
    with decompress(io.BytesIO(data), suffix, f"book.txt{suffix}") as stream:
        return stream.read()


def test_every_codec_is_tested() -> None:
    assert COMPRESS.keys() == CODECS.keys()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_whole_streams_read_back(suffix: str) -> None:
    assert read(COMPRESS[suffix](CONTENT), suffix) == CONTENT


@pytest.mark.parametrize("suffix", COMPRESS)
def test_concatenated_members_read_as_one(suffix: str) -> None:
    data = COMPRESS[suffix](CONTENT) + COMPRESS[suffix](b"and more")
    assert read(data, suffix) == CONTENT + b"and more"


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.1, 0.8, 0.999])
def test_cut_streams_are_refused_by_name(suffix: str, fraction: float) -> None:
    data = COMPRESS[suffix](CONTENT)
    with pytest.raises(ValueError, match=rf"book\.txt\{suffix}: .*download it again"):
        read(data[: int(fraction * len(data))], suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_cut_second_member_is_refused(suffix: str) -> None:
    second = COMPRESS[suffix](CONTENT)
    with pytest.raises(ValueError, match="in the middle of its"):
        read(COMPRESS[suffix](b"first") + second[: len(second) * 8 // 10], suffix)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])  # the others need no checksum
def test_a_damaged_checksum_is_refused(suffix: str) -> None:
    data = bytearray(COMPRESS[suffix](CONTENT))
    data[-5] ^= 0xFF
    with pytest.raises(ValueError, match="download it again"):
        read(bytes(data), suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_other_bytes_under_the_suffix_are_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match=rf"book\.txt\{suffix}: "):
        read(b"<html>404 not found</html>" * 100, suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_an_empty_text_is_no_error(suffix: str) -> None:
    assert read(COMPRESS[suffix](b""), suffix) == b""


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bomb_is_refused_after_a_bounded_expansion(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "EXPANSION_BYTES", 1_000_000)
    bomb = COMPRESS[suffix](bytes(20_000_000))
    num_bytes = 0
    with decompress(io.BytesIO(bomb), suffix, f"b.txt{suffix}", max_expansion=100) as stream:
        message = rf"^b\.txt\{suffix}: \d+ bytes out of \d+, more than 100 times .* max_expansion"
        with pytest.raises(ValueError, match=message):
            while data := stream.read(65_536):
                num_bytes += len(data)
    assert num_bytes < 10_000_000


@pytest.mark.parametrize("suffix", COMPRESS)
def test_what_expands_as_text_does_or_is_small_is_read(suffix: str) -> None:
    assert len(read(COMPRESS[suffix](bytes(2_000_000)), suffix)) == 2_000_000
