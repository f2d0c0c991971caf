import bz2
import gzip
import io
import lzma
import random
import sys
from functools import cache

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


@cache
def packed(suffix: str) -> bytes:
    """CONTENT, compressed."""
    return COMPRESS[suffix](CONTENT)


def read(data: bytes, suffix: str) -> bytes:
    with decompress(io.BytesIO(data), suffix, f"book.txt{suffix}") as stream:
        return stream.read()


def test_every_codec_is_tested() -> None:
    assert COMPRESS.keys() == CODECS.keys()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_whole_streams_read_back(suffix: str) -> None:
    assert read(packed(suffix), suffix) == CONTENT


@pytest.mark.parametrize("suffix", COMPRESS)
def test_concatenated_members_read_as_one(suffix: str) -> None:
    data = packed(suffix) + COMPRESS[suffix](b"and more")
    assert read(data, suffix) == CONTENT + b"and more"


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.1, 0.8, 0.999])
def test_cut_streams_are_refused_by_name(suffix: str, fraction: float) -> None:
    data = packed(suffix)
    with pytest.raises(ValueError, match=rf"book\.txt\{suffix}: .*download it again"):
        read(data[: int(fraction * len(data))], suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_cut_second_member_is_refused(suffix: str) -> None:
    second = packed(suffix)
    with pytest.raises(ValueError, match="in the middle of its"):
        read(COMPRESS[suffix](b"first") + second[: len(second) * 8 // 10], suffix)


# As their command lines write them; without a checksum zstd and lz4 cannot know of all damage.
CHECKED = COMPRESS | {
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    ".lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}


@pytest.mark.parametrize("suffix", CHECKED)
def test_one_flipped_bit_is_refused_or_changes_nothing(suffix: str) -> None:
    first, second = b"".join(b"line %d\n" % n for n in range(40)), b"another member\n" * 9
    data = CHECKED[suffix](first) + CHECKED[suffix](second)
    num_refused = 0
    for place in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        try:
            assert read(bytes(damaged), suffix) == first + second  # a time stamp, a spare bit
        except ValueError as error:
            num_refused += 1
            assert str(error).endswith("; download it again") and "\n" not in str(error)
    assert num_refused > 0.9 * len(data) * 8


@pytest.mark.parametrize("suffix", COMPRESS)
def test_what_follows_the_last_member_is_refused_unless_it_is_padding(suffix: str) -> None:
    data = packed(suffix)
    with pytest.raises(ValueError, match="download it again"):
        read(data + b"and more", suffix)
    if suffix in (".gz", ".bz2", ".xz"):
        assert read(data + bytes(200_000), suffix) == CONTENT
        assert read(data + bytes(8) + COMPRESS[suffix](b"more"), suffix) == CONTENT + b"more"


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
