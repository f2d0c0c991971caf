# ruff: noqa: RUF001 - letters of other scripts are meant
import pytest

from electra_pipeline.corpus.cleaning.filters.text_view import OPTIONAL_MARK, TextView
from electra_pipeline.text.characters import WORD_ENDS
from electra_pipeline.text.words import split_words


def test_views_of_a_text() -> None:
    view = TextView("One  two, two.\n Three \n\n \nFour")
    assert view.words == ["One", "two,", "two.", "Three", "Four"]
    assert view.ends.tolist() == [0, 3, 7, 11, 16, 20]
    assert view.lines == ["One  two, two.", "Three", "Four"]
    assert view.paragraphs == ["One  two, two.\n Three", "Four"]


def test_equal_words_have_equal_hashes() -> None:
    view = TextView("one two one one. two")
    assert view.vocabulary == {"one": 0, "two": 1, "one.": 2}
    assert view.numbers.tolist() == [0, 1, 0, 2, 1]
    assert view.lengths.tolist() == [3, 3, 3, 4, 3]
    hashes = view.hashes.tolist()
    assert [hashes.index(each) for each in hashes] == [0, 1, 0, 3, 1]


@pytest.mark.parametrize("text", ["Is it the end? To be.", "Être — l’été", "וְהָאָרֶץ הָיְתָה", "ቤት፡ ነው፡"])
def test_bare_words_lack_optional_marks_and_word_ends(text: str) -> None:
    plain = {OPTIONAL_MARK.sub("", word).rstrip(WORD_ENDS) for word in split_words(text)}
    assert set(TextView(text).bare_words) == plain


def test_characters_stand_for_words_where_most_of_the_text_has_no_spaces() -> None:
    assert TextView("人人生而自由，在尊严和权利上一律平等。").words_per_word == 2
    assert TextView("ทุกคนเกิดมามีอิสระ").words_per_word == 2
    assert TextView("The word 自由 means freedom in Chinese, and in Japanese.").words_per_word == 1
    assert TextView("모든 인간은 태어날 때부터 자유롭다").words_per_word == 1
    assert TextView("人人生而").num_words == 2.0
