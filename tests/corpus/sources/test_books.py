"""Books become documents: where they are cut, and that nothing is lost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from electra_pipeline.corpus.sources.books import cut_book

SENTENCE = "It was a bright cold day in April, and the clocks were striking thirteen. "
PARTS = ["word ", "Done. ", "\n", "\n\n", "\r\n\r\n", "\n\nChapter I\n\n", "  ", "好。", "x" * 50]


def paragraphs(number: int) -> str:
    return "\n\n".join(SENTENCE * 5 for _ in range(number))


@given(
    text=st.lists(st.sampled_from(PARTS) | st.text(max_size=20), max_size=120).map("".join),
    limit=st.integers(8, 300),
)
@example(text="x" * 1000, limit=400)
@example(text="\n" * 1000 + "x", limit=400)
def test_only_white_space_between_documents_is_removed(text: str, limit: int) -> None:
    documents = list(cut_book(text, limit))
    assert all(0 < len(document) <= limit for document in documents)
    assert all(document == document.strip() for document in documents)
    place = 0
    for document in documents:
        found = text.index(document, place)
        assert not text[place:found].strip()
        place = found + len(document)
    assert not text[place:].strip()


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "Chapter 3",
            "CHAPTER III. The Whale",
            "Capítulo segundo",
            "-IV-",
            "XII.",
            "7",
            "Глава 2",
        ),
        *("Kapitel 9", "第三回", "*** END OF THE PROJECT GUTENBERG EBOOK ***", "Epílogo"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_chapter_begins_a_document(heading: str, line_end: str) -> None:
    text = f"{paragraphs(6)}\n\n\n{heading}\n\n{paragraphs(6)}".replace("\n", line_end)
    first, second = cut_book(text, len(text) * 3 // 4)
    assert second.startswith(heading)
    assert first == paragraphs(6).strip().replace("\n", line_end)


@pytest.mark.parametrize("line", ["Part of it all", "VII", "1984", "Letters came"])
def test_a_line_inside_a_paragraph_is_no_heading(line: str) -> None:
    text = f"{paragraphs(6)}\n{line}\n{paragraphs(6)}"
    assert not any(document.startswith(line) for document in cut_book(text, len(text) * 3 // 4))


def test_paragraphs_sentences_and_words_are_kept_whole() -> None:
    assert all(document.endswith("thirteen.") for document in cut_book(paragraphs(50), 1000))
    assert {len(document) % len(SENTENCE) for document in cut_book(SENTENCE * 50, 1000)} == {
        len(SENTENCE) - 1
    }
    assert set(" ".join(cut_book("word " * 500, 400)).split()) == {"word"}


def test_the_last_part_is_not_a_fragment() -> None:
    for number in range(1, 40):
        documents = list(cut_book(SENTENCE * number, 1000))
        assert len(documents) == 1 or min(map(len, documents)) >= 249


@pytest.mark.timeout(300)  # half a second; a square would take many minutes
@pytest.mark.parametrize("unit", ["\n", " ", "\n \n", "I\n\n", "a", "Chapter ", ". ", "*"])
def test_a_long_text_is_cut_whole_within_the_timeout(unit: str) -> None:
    text = unit * (2_000_000 // len(unit))
    words = "".join("".join(cut_book(text, 20_000)).split())
    assert words == "".join(text.split())
