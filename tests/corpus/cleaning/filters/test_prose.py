# ruff: noqa: RUF001 - letters of other scripts are meant
import numpy as np

from electra_pipeline.corpus.cleaning.filters.prose import Prose
from electra_pipeline.corpus.dedup.hashing import hash_ngrams, hash_words


def test_views_of_a_text() -> None:
    prose = Prose("One  two, two.\n Three \n\n \nFour")
    assert prose.words == ["One", "two,", "two.", "Three", "Four"]
    assert prose.ends.tolist() == [0, 3, 7, 11, 16, 20]
    assert prose.lines == ["One  two, two.", "Three", "Four"]
    assert prose.paragraphs == ["One  two, two.\n Three", "Four"]
    assert np.array_equal(prose.hashes, hash_words(prose.words))
    assert np.array_equal(prose.ngrams(2), hash_ngrams(prose.hashes, 2))
    assert prose.ngrams(2) is prose.ngrams(2)


def test_characters_stand_for_words_where_most_of_the_text_has_no_spaces() -> None:
    assert Prose("人人生而自由，在尊严和权利上一律平等。").words_per_word == 2
    assert Prose("ทุกคนเกิดมามีอิสระ").words_per_word == 2
    assert Prose("The word 自由 means freedom in Chinese, and in Japanese.").words_per_word == 1
    assert Prose("모든 인간은 태어날 때부터 자유롭다").words_per_word == 1
    assert Prose("人人生而").num_words == 2.0
