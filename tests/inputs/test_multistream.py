"""All parts of a multistream dump together have its articles, wherever it is split."""

import bz2
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.config import FilesSource
from electra_pipeline.corpus.sources.plan import plan
from electra_pipeline.corpus.sources.wikipedia import read_wikipedia
from electra_pipeline.inputs import parts
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.multistream import END, count_dump_parts, open_part
from electra_pipeline.inputs.parts import Part
from tests.corpus.sources.test_wikipedia import DOCUMENTS, HEAD, PAGES, TAIL, page


def write(path: Path, streams: Sequence[str]) -> SourceFile:
    path.write_bytes(b"".join(bz2.compress(stream.encode()) for stream in streams))
    return SourceFile(path.name, "", str(path))


def articles(number: int) -> list[str]:
    """Pages of text that does not compress well, one of which looks like a dump itself."""
    noise = random.Random(0)
    texts = [noise.randbytes(noise.randrange(400)).hex() for _ in range(number)]
    return [page(f"P{n}", f"&lt;page&gt;\n {text}.") for n, text in enumerate(texts)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=8),
    st.integers(1, 9),
    st.integers(1, 200),
    st.sampled_from(["multistream", "no end", "cut anywhere"]),
)
def test_the_articles_of_all_parts_are_those_of_the_dump(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    number: int,
    search_bytes: int,
    kind: str,
) -> None:
    pages = iter(articles(sum(sizes) + 1))
    streams = [HEAD, "".join(next(pages) for _ in range(1))]
    streams += ["".join(next(pages) for _ in range(size)) for size in sizes]
    if kind == "cut anywhere":  # as pbzip2 does
        whole = "".join([*streams[2:], TAIL])
        cut = len(whole) // 3
        streams = [*streams[:2], whole[:cut], whole[cut : 2 * cut], whole[2 * cut :]]
    elif kind == "no end":  # not one of its own
        streams[-1] += TAIL
    else:
        streams.append(TAIL)
    file = write(tmp_path_factory.mktemp("dump") / "d.xml.bz2", streams)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("electra_pipeline.inputs.multistream.SEARCH_BYTES", search_bytes)
        found = [list(read_wikipedia(file, Part(n, number))) for n in range(number)]
    assert [document for part in found for document in part] == list(read_wikipedia(file))


def test_a_large_multistream_dump_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = write(tmp_path / "many.xml.bz2", [HEAD, *PAGES, TAIL])
    one = write(tmp_path / "one.xml.bz2", [HEAD + "".join(PAGES) + TAIL])
    plain = tmp_path / "plain.xml"
    plain.write_text(HEAD + "".join(PAGES) + TAIL)
    assert count_dump_parts(many) == 1  # it is small
    monkeypatch.setattr(parts, "PART_BYTES", 200)
    assert count_dump_parts(one) == count_dump_parts(SourceFile("", "", str(plain))) == 1

    def partitions(name: str, **reading: object) -> list[list[object]]:
        values = {"urls": [f"{tmp_path}/{name}"], "format": "wikipedia-xml", **reading}
        return [list(partition.read()) for partition in plan([FilesSource.model_validate(values)])]

    found = partitions("many.xml.bz2")
    assert len(found) > 3
    assert [document for partition in found for document in partition] == DOCUMENTS
    assert partitions("many.xml.bz2", max_documents_per_file=2) == [DOCUMENTS[:4]]
    assert partitions("one.xml.bz2") == partitions("plain.xml") == [DOCUMENTS]


def test_a_damaged_or_truncated_part_is_refused(tmp_path: Path) -> None:
    streams = [bz2.compress(text.encode()) for text in [HEAD, *articles(60), TAIL]]
    file = tmp_path / "d.xml.bz2"
    data = b"".join(streams)
    start = len(b"".join(streams[:10]))

    def read(data: bytes) -> int:
        file.write_bytes(data)
        source = SourceFile("d.xml.bz2", "", str(file))
        return sum(len(list(read_wikipedia(source, Part(n, 2)))) for n in range(2))

    assert read(data) == 60
    # The head of a stream: the rest would pass for something behind the last one.
    no_head = data[:start] + b"xx" + data[start + 2 :]
    no_block = data[: start + 40] + b"xxxx" + data[start + 44 :]
    for broken in (no_head, no_block, data[: len(data) * 3 // 4]):
        with pytest.raises(ValueError, match=r"d\.xml\.bz2.*download it again"):
            read(broken)


def test_a_part_is_a_complete_dump(tmp_path: Path) -> None:
    file = write(tmp_path / "d.xml.bz2", [HEAD, *PAGES, TAIL])
    with open_part(file, Part(0, 3)) as stream:
        text = stream.read().decode()
    assert text.startswith(HEAD + PAGES[0]) and text.endswith("</mediawiki>")
    assert bz2.decompress(END) == b"</mediawiki>"
