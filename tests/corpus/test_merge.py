import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.dedup.corpus_rules import first_occurrences
from electra_pipeline.corpus.merge import held_out

KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)


def as_array(keys: list[tuple[int, int]]) -> np.ndarray:
    return np.array(keys, dtype=np.uint64).reshape(-1, 2)


def random_keys(number: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 2**64, size=(number, 2), dtype=np.uint64)


@given(KEYS)
def test_first_occurrences_against_a_set(keys: list[tuple[int, int]]) -> None:
    seen: set[tuple[int, int]] = set()
    expected = [not (key in seen or seen.add(key)) for key in keys]
    assert first_occurrences(as_array(keys)).tolist() == expected


@given(KEYS, st.floats(0.001, 0.999))
def test_neither_split_is_empty(keys: list[tuple[int, int]], fraction: float) -> None:
    array = as_array(keys)
    is_first = first_occurrences(array)
    mask = held_out(array, is_first, fraction)
    assert not (mask & ~is_first).any()
    if is_first.sum() >= 2:
        assert 0 < mask.sum() < is_first.sum()
    else:
        assert not mask.any()
    assert not held_out(array, is_first, 0.0).any()


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_held_out_fraction(fraction: float) -> None:
    keys = random_keys(20_000)
    mask = held_out(keys, np.ones(len(keys), dtype=bool), fraction)
    deviation = (fraction * (1 - fraction) / len(keys)) ** 0.5
    assert abs(mask.mean() - fraction) < 4 * deviation


def test_held_out_does_not_depend_on_other_documents() -> None:
    keys = random_keys(2_000)
    few, many = (np.ones(number, dtype=bool) for number in (1_000, 2_000))
    assert (held_out(keys[:1_000], few, 0.1) == held_out(keys, many, 0.1)[:1_000]).all()
    # and what is held out at a small fraction still is at a larger one
    assert (held_out(keys, many, 0.1) <= held_out(keys, many, 0.2)).all()
