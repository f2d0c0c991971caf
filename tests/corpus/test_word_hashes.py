import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.word_hashes import MULTIPLIER, hash_ngrams, hash_numbers


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(1, 6))
def test_ngram_hashes_equal_a_plain_loop(words: list[int], n: int) -> None:
    hashes = np.array(words, np.uint64)
    expected = []
    for start in range(len(words) - n + 1):
        value = 0
        for one in words[start : start + n]:
            value = (value * int(MULTIPLIER) + one) % 2**64
        expected.append(value)
    assert hash_ngrams(hashes, n).tolist() == expected


def test_hashes_of_numbers_are_those_of_splitmix64() -> None:
    # The published generator's first outputs from the seed 0 are the hashes of 1, 2, 3.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hash_numbers(np.arange(1, 4)).tolist() == published
