import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.dedup import near_duplicates
from electra_pipeline.corpus.dedup.config import NearDuplicates
from electra_pipeline.corpus.dedup.minhash import band_keys, shingle_sets
from electra_pipeline.corpus.dedup.near_duplicates import cluster_sizes, find

SINGLE_WORDS = NearDuplicates(shingle_words=1)


def ids_of(texts: Sequence[str]) -> np.ndarray:
    digests = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
    return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)


def search(
    texts: Sequence[str], config: NearDuplicates = SINGLE_WORDS, keys: np.ndarray | None = None
) -> np.ndarray:
    found, is_too_short = band_keys(config, texts)
    keys = found if keys is None else keys
    return find(
        config,
        lambda band: keys[:, band],
        ids_of(texts),
        np.array([len(text) for text in texts], np.int64),
        lambda numbers: shingle_sets(config, [texts[number] for number in numbers]),
        ~is_too_short,
    )


ONE_BAND = NearDuplicates(bands=1, rows=1, shingle_words=1)


def same_key(texts: Sequence[str]) -> np.ndarray:
    """Keys that make all texts candidates: what is alike is decided by verification alone."""
    return np.zeros((len(texts), 1), np.uint64)


def jaccard(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return len(a & b) / len(a | b)


def clusters(texts: Sequence[str], labels: np.ndarray) -> dict[str, set[str]]:
    """By the text that is kept: all texts of its cluster."""
    found: dict[str, set[str]] = {}
    for text, label in zip(texts, labels.tolist(), strict=True):
        found.setdefault(texts[label], set()).add(text)
    return found


def brute_force(texts: Sequence[str], threshold: float) -> dict[str, set[str]]:
    parts = [{text} for text in texts]
    for number, one in enumerate(texts):
        for other in texts[:number]:
            if jaccard(one, other) >= threshold:
                joined = [part for part in parts if one in part or other in part]
                parts = [part for part in parts if part not in joined] + [set().union(*joined)]
    ids = dict(zip(texts, ids_of(texts).tolist(), strict=True))
    return {min(part, key=lambda text: (-len(text), ids[text])): part for part in parts}


WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8, unique=True))
def test_candidates_are_joined_as_brute_force_joins_them(texts: list[str]) -> None:
    """Up to 8 documents share a bucket, so all pairs are looked at."""
    assert clusters(texts, search(texts, ONE_BAND, same_key(texts))) == brute_force(texts, 0.7)


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=40, unique=True), st.randoms())
def test_the_order_of_the_input_does_not_count(texts: list[str], random: object) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for config, keys in ((SINGLE_WORDS, None), (ONE_BAND, same_key(texts))):
        before = clusters(texts, search(texts, config, keys))
        assert clusters(shuffled, search(shuffled, config, keys)) == before


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=30, unique=True))
def test_blocks_do_not_count(texts: list[str]) -> None:
    expected = search(texts, ONE_BAND, same_key(texts)).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK_CHARACTERS", 10)
        assert search(texts, ONE_BAND, same_key(texts)).tolist() == expected


def variants(num_groups: int, seed: int) -> list[str]:
    """Groups of six documents of 200 words, each a copy of the first with up to 30 % replaced."""
    random = np.random.default_rng(seed)
    texts = []
    for group in range(num_groups):
        original = [f"w{group}x{place}" for place in range(200)]
        texts.append(" ".join(original))
        for copy in range(5):
            words = list(original)
            for place in random.choice(200, random.integers(1, 60), replace=False):
                words[place] = f"n{group}x{copy}x{place}"
            texts.append(" ".join(words))
    return texts


def test_recall_follows_the_formula_and_precision_is_one() -> None:
    """Pairs apart from each other: no third document may join them."""
    texts = variants(200, seed=3)
    config = NearDuplicates(shingle_words=1)
    firsts = [number // 6 * 6 for number in range(len(texts))]
    expected, found, num_pairs = 0.0, 0, 0
    for copy in range(1, 6):
        numbers = [n for n in range(len(texts)) if n % 6 in (0, copy)]
        labels = search([texts[number] for number in numbers], config)
        for place in range(0, len(numbers), 2):
            similarity = jaccard(texts[numbers[place]], texts[numbers[place + 1]])
            is_joined = labels[place] == labels[place + 1]
            assert firsts[numbers[place]] == firsts[numbers[place + 1]]
            if similarity < config.min_jaccard:
                assert not is_joined
            else:
                num_pairs += 1
                expected += 1 - (1 - similarity**config.rows) ** config.bands
                found += is_joined
    assert num_pairs > 500
    assert found / num_pairs == pytest.approx(expected / num_pairs, abs=0.04)


def test_a_chain_is_one_cluster_whose_longest_document_is_kept() -> None:
    a, b, c = "1 2 3 4 5 6 7", "2 3 4 5 6 7 8", "3 4 5 6 7 8 9999"
    assert jaccard(a, b) >= 0.7 <= jaccard(b, c)
    assert jaccard(a, c) < 0.7
    assert search([a, b, c], ONE_BAND, same_key("abc")).tolist() == [2, 2, 2]
    assert search([a, c], ONE_BAND, same_key("ac")).tolist() == [0, 1]


def test_the_smallest_hash_of_equal_sizes_is_kept() -> None:
    texts = [f"a b c d e f g h i {last}" for last in "jklmnopqrs"]
    smallest = min(range(10), key=lambda number: tuple(ids_of(texts)[number]))
    assert search(texts, ONE_BAND, same_key(texts)).tolist() == [smallest] * 10


def test_documents_without_words_are_no_duplicates() -> None:
    texts = ["", "...", "one two three four", "one two three four!"]
    assert search(texts, NearDuplicates()).tolist() == [0, 1, 2, 3]
    # not even where nobody told that they are too short
    labels = find(
        NearDuplicates(),
        lambda band: np.zeros(2, np.uint64),
        ids_of(texts[:2]),
        np.array([0, 3]),
        lambda numbers: [np.empty(0, np.uint64)] * len(numbers),
        np.ones(2, dtype=bool),
    )
    assert labels.tolist() == [0, 1]


def test_only_candidates_take_part() -> None:
    texts = ["a b c d e", "e d c b a", "b a c d e"]
    labels = find(
        SINGLE_WORDS,
        lambda band: np.zeros(3, np.uint64),
        ids_of(texts),
        np.array([9, 9, 9]),
        lambda numbers: shingle_sets(SINGLE_WORDS, [texts[number] for number in numbers]),
        np.array([True, False, True]),
    )
    assert labels[1] == 1
    assert labels[0] == labels[2] != 1


@pytest.mark.parametrize("num_kinds", [1, 4, 10_000])
def test_a_large_bucket_is_compared_in_bounded_time(num_kinds: int) -> None:
    """10,000 documents of one key: all alike, of four kinds, or none like another."""
    texts = [" ".join(f"k{n % num_kinds}w{word}" for word in range(20)) for n in range(10_000)]
    sets = shingle_sets(SINGLE_WORDS, texts)
    asked = 0

    def shingles(numbers: np.ndarray) -> list[np.ndarray]:
        nonlocal asked
        asked += len(numbers)
        return [sets[number] for number in numbers]

    labels = find(
        ONE_BAND,
        lambda band: np.zeros(10_000, np.uint64),
        np.random.default_rng(0).integers(0, 2**63, (10_000, 2)).astype(np.uint64),
        np.full(10_000, 100),
        shingles,
        np.ones(10_000, dtype=bool),
    )
    assert cluster_sizes(labels) == {10_000 // num_kinds: num_kinds}
    assert asked <= 10_000 * min(num_kinds, near_duplicates.CENTRES)


def test_texts_read_at_a_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a b c d e f g h {number}" for number in range(1000)]
    sizes = np.array([len(text) for text in texts])
    monkeypatch.setattr(near_duplicates, "BLOCK_CHARACTERS", 500)
    largest = 0

    def shingles(numbers: np.ndarray) -> list[np.ndarray]:
        nonlocal largest
        assert (np.diff(numbers) > 0).all()
        largest = max(largest, int(sizes[numbers].sum()))
        return shingle_sets(SINGLE_WORDS, [texts[number] for number in numbers])

    labels = find(
        SINGLE_WORDS,
        lambda band: np.zeros(1000, np.uint64),
        ids_of(texts),
        sizes,
        shingles,
        np.ones(1000, dtype=bool),
    )
    assert cluster_sizes(labels) == {1000: 1}
    assert largest <= 500 + 2 * sizes.max()


def test_memory_is_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """All documents in pairs, half of them alike."""
    number = 200_000
    random = np.random.default_rng(0)
    keys = random.integers(0, 2**64, number // 2, np.uint64).repeat(2)
    ids = random.integers(0, 2**64, (number, 2), np.uint64)
    monkeypatch.setattr(near_duplicates, "BLOCK_CHARACTERS", 1 << 18)

    def shingles(numbers: np.ndarray) -> list[np.ndarray]:
        same = np.where(numbers // 2 % 2, numbers // 2, numbers)
        return list(2 * same.astype(np.uint64)[:, None])

    tracemalloc.start()
    labels = find(
        ONE_BAND,
        lambda band: keys,
        ids,
        np.full(number, 1000),
        shingles,
        np.ones(number, dtype=bool),
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cluster_sizes(labels) == {1: number // 2, 2: number // 4}
    assert 60 < peak / number < 120


def test_cluster_sizes() -> None:
    assert cluster_sizes(np.array([0, 1, 1, 3, 3, 3, 6, 7])) == {1: 3, 2: 1, 3: 1}
    assert cluster_sizes(np.empty(0, np.int64)) == {}


def test_no_document() -> None:
    assert search([]).tolist() == []
    assert search(["", ""]).tolist() == [0, 1]
