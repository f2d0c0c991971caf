import bz2
import gzip
import io
import lzma
import random
import re
import sys
from collections.abc import Callable
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
def test_complete_streams_are_read(suffix: str) -> None:
    assert read(packed(suffix), suffix) == CONTENT


@pytest.mark.parametrize("suffix", COMPRESS)
def test_concatenated_members_read_as_one(suffix: str) -> None:
    data = packed(suffix) + COMPRESS[suffix](b"and more")
    assert read(data, suffix) == CONTENT + b"and more"


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.1, 0.8, 0.999])
def test_truncated_streams_are_refused_by_name(suffix: str, fraction: float) -> None:
    data = packed(suffix)
    with pytest.raises(ValueError, match=rf"book\.txt\{suffix}: .*download it again"):
        read(data[: int(fraction * len(data))], suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_truncated_second_member_is_refused(suffix: str) -> None:
    second = packed(suffix)
    with pytest.raises(ValueError, match="in the middle of its"):
        read(COMPRESS[suffix](b"first") + second[: len(second) * 8 // 10], suffix)


# As the command line programs write them; without a checksum zstd and lz4 do not detect all damage.
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
            assert re.search("; download it again|zstd -d -D", str(error))
            assert "\n" not in str(error)
    assert num_refused > 0.9 * len(data) * 8


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("padding", [b"\r\n", b"\n", b"\0" * 200_000, b"\0" * 8 + b"\r\n"])
def test_padding_after_the_last_member_is_skipped(
    suffix: str, padding: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(packed(suffix) + padding, suffix) == CONTENT
    assert not caplog.records


@pytest.mark.parametrize("suffix", COMPRESS)
def test_members_may_be_padded_with_zeros(suffix: str) -> None:
    data = packed(suffix) + bytes(70_000) + COMPRESS[suffix](b"more")
    assert read(data, suffix) == CONTENT + b"more"


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("rest", [b"signature of the mirror", b"x", b"\0\0-----BEGIN PGP" * 99])
def test_other_bytes_after_the_last_member_are_ignored_with_a_warning(
    suffix: str, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(packed(suffix) + rest, suffix) == CONTENT
    [record] = caplog.records
    message = record.getMessage()
    assert f"ignored {len(rest.lstrip(bytes(1)))} bytes after the end of its" in message


@pytest.mark.parametrize("suffix", COMPRESS)
def test_what_may_be_a_damaged_member_is_refused(suffix: str) -> None:
    more = COMPRESS[suffix](b"more")
    for rest in (b"?" + more[1:], b"????" + more, random.Random(1).randbytes(100_000)):
        with pytest.raises(ValueError, match=r"followed by other bytes .*download it again"):
            read(packed(suffix) + rest, suffix)


@pytest.mark.parametrize("suffix", [".zst", ".lz4"])
def test_skippable_frames_are_skipped(suffix: str) -> None:
    frame = b"\x5a\x2a\x4d\x18" + (100_000).to_bytes(4, "little") + bytes(range(250)) * 400
    data = frame + packed(suffix) + frame + COMPRESS[suffix](b"more") + frame
    assert read(data, suffix) == CONTENT + b"more"


@pytest.mark.parametrize("window_log", [27, 28, 31])
def test_zstd_with_a_long_window_is_read(window_log: int) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
    data = compressor.compress(b"a long way back\n") + compressor.flush()
    assert read(data, ".zst") == b"a long way back\n"


DICTIONARY = zstd.train_dict([b"the river was measured in spring %d" % n for n in range(999)], 1500)


def test_a_missing_zstd_dictionary_is_named() -> None:
    data = zstd.compress(b"the river was measured in spring", zstd_dict=DICTIONARY)
    number = DICTIONARY.dict_id
    message = rf"^book\.txt\.zst: was compressed with the zstd dictionary {number}, .*zstd -d -D"
    with pytest.raises(ValueError, match=message):
        read(data, ".zst")


@pytest.mark.parametrize("stored", [lambda data: data, zstd.compress])
@pytest.mark.parametrize("padding", [0, 200_000])
def test_a_dictionary_at_the_beginning_of_the_file_is_used(
    stored: Callable[[bytes], bytes], padding: int
) -> None:
    dictionary = zstd.ZstdDict(DICTIONARY.dict_content + bytes(padding))
    members = [
        zstd.compress(b"the river was measured in spring %d\n" % n, zstd_dict=dictionary)
        for n in range(3)
    ]
    content = stored(dictionary.dict_content)
    head = b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
    expected = b"".join(b"the river was measured in spring %d\n" % n for n in range(3))
    assert read(head + b"".join(members), ".zst") == expected


@pytest.mark.parametrize("suffix", COMPRESS)
def test_other_bytes_under_the_suffix_are_refused(suffix: str) -> None:
    with pytest.raises(ValueError, match=rf"book\.txt\{suffix}: "):
        read(b"<html>404 not found</html>" * 100, suffix)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_an_empty_text_is_read(suffix: str) -> None:
    assert read(COMPRESS[suffix](b""), suffix) == b""


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bomb_is_refused_after_a_bounded_expansion(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "EXPANSION_BYTES", 1_000_000)
    bomb = COMPRESS[suffix](bytes(20_000_000))
    num_bytes = 0
    with decompress(io.BytesIO(bomb), suffix, f"b.txt{suffix}", max_expansion=100) as stream:
        message = rf"^b\.txt\{suffix}: \d+ bytes from \d+, more than 100 times .* max_expansion"
        with pytest.raises(ValueError, match=message):
            while data := stream.read(65_536):
                num_bytes += len(data)
    assert num_bytes < 10_000_000


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_normal_expansion_or_a_small_file_is_read(suffix: str) -> None:
    assert len(read(COMPRESS[suffix](bytes(2_000_000)), suffix)) == 2_000_000
