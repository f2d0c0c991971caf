"""The search among places of shorter sequences against loops over all sequences."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.filters.gopher import GopherRepetition
from electra_pipeline.corpus.cleaning.filters.repetition import (
    find_repeats,
    most_frequent,
    repeated_characters,
    repeated_parts,
)
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "dd"]), min_size=1, max_size=60)


def sequences(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def plain_top(words: list[str], n: int) -> tuple[int, int]:
    """Count and characters of the most frequent sequence, the first of equally frequent ones."""
    sequence, count = Counter(sequences(words, n)).most_common(1)[0]
    return count, len("".join(sequence))


def plain_repeated(words: list[str], n: int) -> int:
    """Characters of sequences seen before, stepped over when they count."""
    seen, total, start = set(), 0, 0
    while start <= len(words) - n:
        sequence = tuple(words[start : start + n])
        if sequence in seen:
            total += len("".join(sequence))
            start += n
        else:
            seen.add(sequence)
            start += 1
    return total


@given(WORDS)
def test_repeats_of_each_length_equal_plain_loops(words: list[str]) -> None:
    found = {one.n: one for one in find_repeats(TextView(" ".join(words)), 2, 10)}
    for n in range(2, 11):
        repeated = [s for s, count in Counter(sequences(words, n)).items() if count > 1]
        assert (n in found) == bool(repeated)
        if repeated:
            places = [i for i, s in enumerate(sequences(words, n)) if s in repeated]
            assert found[n].positions.tolist() == places
            assert most_frequent(found[n]) == plain_top(words, n)
            assert repeated_characters(found[n]) == plain_repeated(words, n)


@given(WORDS, st.floats(0.0, 1.0))
def test_the_search_ends_early_only_where_nothing_could_be_found(
    words: list[str], most: float
) -> None:
    text = " ".join(words)
    loose = {"max_top_ngrams": (most,) * 3, "max_duplicate_ngrams": (most,) * 6}
    rejection = GopherRepetition.model_validate(loose).reject(TextView(text), "en")
    expected = None
    for n in reversed(range(2, 11)):
        if len(words) < n:
            continue
        count, length = plain_top(words, n)
        top = count * (length + n - 1) if count > 1 else 0
        if (top if n < 5 else plain_repeated(words, n)) / len(text) > most:
            expected = f"top_{n}_gram" if n < 5 else f"duplicate_{n}_grams"
    assert (rejection.reason if rejection else None) == expected


@given(st.lists(st.text("ab", max_size=3), max_size=20))
def test_repeated_parts_equal_a_plain_loop(parts: list[str]) -> None:
    seen: set[str] = set()
    again = []
    for part in parts:
        if part in seen:
            again.append(part)
        seen.add(part)
    assert repeated_parts(parts) == (len(again), len("".join(again)))


@pytest.mark.parametrize("text", ["one", "one two", "one two three"])
def test_short_texts_repeat_nothing(text: str) -> None:
    assert list(find_repeats(TextView(text), 2, 10)) == []
