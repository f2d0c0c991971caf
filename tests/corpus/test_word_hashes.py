import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.word_hashes import MULTIPLIER, hash_ngrams, hash_vocabulary


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.integers(1, 6))
def test_ngram_hashes_equal_a_plain_loop(words: list[str], n: int) -> None:
    vocabulary = hash_vocabulary(words)
    hashes = np.array([vocabulary[word] for word in words], np.uint64)
    expected = []
    for start in range(len(words) - n + 1):
        value = 0
        for one in hashes[start : start + n]:
            value = (value * int(MULTIPLIER) + int(one)) % 2**64
        expected.append(value)
    assert hash_ngrams(hashes, n).tolist() == expected


def test_hashes_are_the_same_on_every_machine() -> None:
    hashes = {"quick": 0xA484D68AB370B322, "fox": 0xC1CFEE97854B92CF}
    assert hash_vocabulary(["quick", "fox", "quick"]) == hashes
