"""Bodies of HTTP responses are decoded by their bytes, not by their headers."""

import contextlib
import gzip
import random
import zlib
from collections.abc import Mapping

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.inputs.web.http_response import (
    MAX_PAGE_BYTES,
    PageError,
    Response,
    Unpacked,
    parse_response,
    unpack,
    zstd,
)

WORDS = ["The", "river", "was", "measured", "in", "spring", "and", "closed", "for", "repair."]
PROSE = " ".join(random.Random(0).choices(WORDS, k=400))
PAGE = f"<!DOCTYPE html><html><body><p>{PROSE}</p></body></html>".encode()
FRAGMENT = f"{PROSE} <b>bold</b> {PROSE}".encode()  # begins as no page does
UTF_16 = "Größe und Maß des Flusses. ".encode("utf-16") * 9


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def chunked(data: bytes, size: int = 100, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    chunks = [b"%x%b%b%b%b" % (len(part), extension, end, part, end) for part in parts]
    return b"".join(chunks) + b"0" + end + end


PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "chunked": chunked,
}
HEADERS: list[Mapping[str, str]] = [
    {},
    *(
        {"content-encoding": coding}
        for coding in (
            *("gzip", "x-gzip", "GZIP", "deflate", "br", "zstd", "compress", "gzip, gzip"),
            *("none", "identity", "utf-8", "", "gzip;q=1.0", "text/html"),
        )
    ),
    {"transfer-encoding": "chunked"},
    {"content-encoding": "gzip", "transfer-encoding": "Chunked"},
    {"transfer-encoding": "gzip, chunked"},
]


def unpacked(body: bytes, headers: Mapping[str, str] | None = None) -> Unpacked:
    return unpack(Response(200, headers or {}, body))


@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize(
    "content", [PAGE, FRAGMENT, UTF_16, b""], ids=["page", "text", "utf16", ""]
)
def test_a_body_is_decoded_by_its_bytes(headers: Mapping[str, str], content: bytes) -> None:
    assert unpacked(content, headers) == Unpacked(content, False)
    for name, pack in PACKERS.items():
        if content or name in ("gzip", "zstd"):  # the others are a byte or two, or "0"
            assert unpacked(pack(content), headers) == Unpacked(content, False), name


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_nested_compression_is_decoded(headers: Mapping[str, str]) -> None:
    for name, pack in PACKERS.items():
        if name != "chunked":
            assert unpacked(chunked(pack(PAGE)), headers).data == PAGE
            assert unpacked(gzip.compress(pack(PAGE)), headers).data == PAGE
            assert unpacked(pack(gzip.compress(PAGE)), headers).data == PAGE
    members = gzip.compress(PAGE[:50]) + gzip.compress(PAGE[50:]) + bytes(20)
    assert unpacked(members, headers).data == PAGE


@pytest.mark.parametrize(
    "body",
    [
        chunked(PAGE, extension=b';name="value"'),
        chunked(PAGE, extension=b"   "),
        chunked(PAGE, end=b"\n"),
        chunked(PAGE, size=10**6),
        chunked(PAGE)[:-2] + b"Expires: never\r\nX: y\r\n\r\n",
        chunked(PAGE)[:-2],
    ],
)
def test_chunks_are_joined(body: bytes) -> None:
    assert unpacked(body) == Unpacked(PAGE, False)
    assert unpacked(body, {"transfer-encoding": "chunked"}) == Unpacked(PAGE, False)


@pytest.mark.parametrize(
    "body",
    [
        b"404\r\nis the number of the page that was not found, " + b"words " * 300,
        b"a\r\nb\r\nc\r\n",
        b"0\r\nis where the count begins: at nothing.",
        b"10\nlittle words stood here in a row",
        b"ffffffff",
        b"face\n" + PAGE * 99,
    ],
)
def test_lines_that_look_like_chunks_are_text(body: bytes) -> None:
    assert unpacked(body) == Unpacked(body, False)
    if b"b\r\nc" not in body and b"10" not in body:
        assert unpacked(body, {"transfer-encoding": "chunked"}).data == body


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate", "br", "zstd", "chunked"])
def test_the_beginning_of_a_truncated_body_is_kept(name: str) -> None:
    text = b"<p>" + bytes(random.Random(1).choices(b"abcdefgh ", k=300_000))
    body = PACKERS[name](text)
    headers = {"transfer-encoding": name} if name == "chunked" else {"content-encoding": name}
    found = unpacked(body[: len(body) // 2], headers)
    assert found.is_cut
    assert text.startswith(found.data)
    assert len(found.data) >= 1 << 17  # zstd's blocks


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"\x1f\x8b\x08" + bytes(range(200)), ""),
        (gzip.compress(PAGE)[:200] + b"damage" + gzip.compress(PAGE)[206:], "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(range(200)), ""),
        (bytes(range(1, 255)), "br"),
        (bytes(range(1, 255)), "deflate"),
        (zstd.compress(PAGE)[:50], ""),  # cut before the end of its first block
        (gzip.compress(PAGE)[:11], ""),
        (b"5\r\n<p>ab\r\nthen no chunk follows", "chunked"),
    ],
)
def test_a_damaged_body_raises(body: bytes, coding: str) -> None:
    name = "transfer-encoding" if coding == "chunked" else "content-encoding"
    with pytest.raises(PageError) as caught:
        unpacked(body, {name: coding})
    assert caught.value.reason == "undecodable_response"


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate", "br", "zstd"])
def test_a_decompression_bomb_raises(name: str) -> None:
    bomb = PACKERS[name](bytes(2 * MAX_PAGE_BYTES))
    for body in (bomb, gzip.compress(bomb)):
        with pytest.raises(PageError) as caught:
            unpacked(body, {"content-encoding": name})
        assert caught.value.reason == "page_too_large"
    with pytest.raises(PageError):
        unpacked(b"a" * (MAX_PAGE_BYTES + 1))
    layers = PAGE
    for _ in range(20):
        layers = gzip.compress(layers)
    with pytest.raises(PageError):
        unpacked(layers)


def test_headers_of_equal_names_are_joined() -> None:
    response = parse_response(b"HTTP/1.1 200 OK\r\nA: b\r\na:c\r\n d\r\n\r\nbody")
    assert response == Response(200, {"a": "b, c d"}, b"body")
    assert parse_response(b"HTTP/1.1 200 OK") == Response(200, {}, b"")
    for block in (b"", b"HTTP", b"HTTP/1.1 OK", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n"):
        assert parse_response(block) is None


@pytest.mark.timeout(60)  # copies that grow with the square would take hours
@pytest.mark.parametrize(
    "block",
    [
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2_000_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + gzip.compress(b"a") * 500_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"1\r\na\r\n" * 500_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 500_000,
    ],
)
def test_many_small_parts_are_read_in_bounded_time(block: bytes) -> None:
    response = parse_response(block)
    assert response is not None
    with contextlib.suppress(PageError):
        unpack(response)


@given(st.data())
def test_any_body_is_decoded_or_raises(data: st.DataObject) -> None:
    body = PAGE[:300]
    for name in data.draw(st.lists(st.sampled_from(sorted(PACKERS)), max_size=2)):
        body = PACKERS[name](body)
    for _ in range(data.draw(st.integers(0, 2))):
        start = data.draw(st.integers(0, len(body)))
        body = body[:start] + data.draw(st.binary(max_size=4)) + body[start + 2 :]
    headers = data.draw(st.sampled_from(HEADERS))
    try:
        unpacked(body[: data.draw(st.integers(0, len(body)))], headers)
    except PageError as error:
        assert error.reason == "undecodable_response"
