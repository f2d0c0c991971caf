# ruff: noqa: RUF001 - letters of other scripts are meant
from electra_pipeline.corpus.cleaning.filters.text_view import TextView
from electra_pipeline.corpus.word_hashes import hash_vocabulary


def test_views_of_a_text() -> None:
    view = TextView("One  two, two.\n Three \n\n \nFour")
    assert view.words == ["One", "two,", "two.", "Three", "Four"]
    assert view.ends.tolist() == [0, 3, 7, 11, 16, 20]
    assert view.lines == ["One  two, two.", "Three", "Four"]
    assert view.paragraphs == ["One  two, two.\n Three", "Four"]
    vocabulary = hash_vocabulary(view.words)
    assert view.hashes.tolist() == [vocabulary[word] for word in view.words]


def test_characters_stand_for_words_where_most_of_the_text_has_no_spaces() -> None:
    assert TextView("人人生而自由，在尊严和权利上一律平等。").words_per_word == 2
    assert TextView("ทุกคนเกิดมามีอิสระ").words_per_word == 2
    assert TextView("The word 自由 means freedom in Chinese, and in Japanese.").words_per_word == 1
    assert TextView("모든 인간은 태어날 때부터 자유롭다").words_per_word == 1
    assert TextView("人人生而").num_words == 2.0
