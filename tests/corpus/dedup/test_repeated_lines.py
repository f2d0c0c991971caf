import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.text import clean
from electra_pipeline.corpus.dedup.repeated_lines import (
    RepeatedLines,
    find_boilerplate,
    line_keys,
    remove_lines,
)

TEXTS = st.lists(st.text("abA \n", max_size=25).map(lambda text: clean(text)[0]), max_size=12)


def fold(line: str) -> str:
    return " ".join(line.lower().split())


def boilerplate_lines(config: RepeatedLines, texts: list[str]) -> set[str]:
    """A plain loop over lines as they are read."""
    separator = {"line": "\n", "paragraph": "\n\n"}[config.unit]
    counts = Counter(
        line
        for text in texts
        for line in {
            fold(line) for line in text.split(separator) if len(line) >= config.min_characters
        }
    )
    return {line for line, count in counts.items() if count >= config.min_documents}


@settings(deadline=None)
@given(
    TEXTS,
    st.sampled_from(["line", "paragraph"]),
    st.integers(2, 4),
    st.integers(1, 3),
    st.randoms(),
)
def test_counting_and_removing_equal_plain_loops(
    texts: list[str], unit: str, min_documents: int, min_characters: int, random: object
) -> None:
    config = RepeatedLines(unit=unit, min_documents=min_documents, min_characters=min_characters)
    lines = boilerplate_lines(config, texts)
    chunks = [line_keys(config, text) for text in texts]
    found = find_boilerplate(config, chunks)
    assert len(found) == len(lines)
    random.shuffle(chunks)  # type: ignore[attr-defined]
    for max_keys in (1, 3, 100):
        assert find_boilerplate(config, chunks, max_keys).tolist() == found.tolist()
    separator = "\n" if unit == "line" else "\n\n"
    for text in texts:
        is_long = {part for part in text.split(separator) if len(part) >= min_characters}
        kept = [p for p in text.split(separator) if not (p in is_long and fold(p) in lines)]
        expected = clean(separator.join(kept))[0]  # blank lines left alone by what is gone
        assert remove_lines(config, text, found) == (
            expected,
            len(text.split(separator)) - len(kept),
        )


def test_a_document_counts_once() -> None:
    config = RepeatedLines(min_documents=2, min_characters=1)
    assert len(find_boilerplate(config, [line_keys(config, "Menu\nmenu\nMENU")])) == 0
    chunks = [np.concatenate([line_keys(config, "Menu\nOne"), line_keys(config, "Two\nmenu")])]
    found = find_boilerplate(config, chunks)
    assert remove_lines(config, "Before\n\nMENU\n\nAfter\nmenu", found) == ("Before\n\nAfter", 2)
    assert remove_lines(config, "Menu\nmenu", found) == ("", 2)


def test_short_lines_stay() -> None:
    texts = [f"Yes.\nSubscribe to our newsletter\nArticle {number}" for number in range(7)]
    config = RepeatedLines()
    found = find_boilerplate(config, (line_keys(config, text) for text in texts))
    assert remove_lines(config, texts[0], found) == ("Yes.\nArticle 0", 1)
    one_fewer = find_boilerplate(config, (line_keys(config, text) for text in texts[:6]))
    assert len(one_fewer) == 0


def test_parts_on_disk_are_merged_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    random = np.random.default_rng(0)
    chunks = [np.unique(random.integers(0, 2**64, 500, np.uint64)) for _ in range(40)]
    common = random.integers(0, 2**64, 30, np.uint64)
    chunks = [np.concatenate([chunk, common[: n + 1]]) for n, chunk in enumerate(chunks)]
    # line n is in the documents from n on: 40 - n of them
    found = find_boilerplate(RepeatedLines(min_documents=21), chunks, max_keys=1500)
    assert found.tolist() == sorted(common[:20].tolist())
    assert list(tmp_path.iterdir()) == []


def test_keys_are_the_same_on_every_machine() -> None:
    config = RepeatedLines(min_characters=1)
    assert line_keys(config, "Quick  fox\nno").tolist() == [0x9D08FC5AB702AAE8, 0xB67125430A4D963E]


def test_no_document() -> None:
    assert find_boilerplate(RepeatedLines(), []).tolist() == []
    assert find_boilerplate(RepeatedLines(), [np.empty(0, np.uint64)]).tolist() == []
