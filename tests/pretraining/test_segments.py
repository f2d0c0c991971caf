"""The A/B builder against a straight transcription of its published rules."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.pretraining.segments import build_pairs

sentences = st.lists(st.lists(st.integers(5, 999), min_size=0, max_size=40), max_size=25)


@given(sentences, st.integers(8, 64), st.integers(0, 2**32))
def test_every_token_is_kept_or_counted_and_nothing_is_too_long(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    pairs = list(build_pairs(document, max_length, Random(seed)))
    num_tokens = sum(len(sentence) for sentence in document)
    assert sum(len(p.first) + len(p.second) + len(p.discarded) for p in pairs) == num_tokens
    assert all(p.first for p in pairs)
    for p in pairs:  # with [CLS] and one [SEP] for each segment
        assert len(p.first) + len(p.second) + (3 if p.second else 2) <= max_length


@given(sentences, st.integers(8, 64), st.integers(0, 2**32))
def test_same_seed_gives_the_same_pairs(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    assert list(build_pairs(document, max_length, Random(seed))) == list(
        build_pairs(document, max_length, Random(seed))
    )


@given(sentences, st.integers(8, 64), st.integers(0, 2**32))
def test_text_without_reordering_stays_in_order(
    document: list[list[int]], max_length: int, seed: int
) -> None:
    text = [token for sentence in document for token in sentence]
    at = 0
    for pair in build_pairs(document, max_length, Random(seed)):
        if not pair.reordered and not pair.discarded:
            joined = [*pair.first, *pair.second]
            assert text[at : at + len(joined)] == joined
        at += len(pair.first) + len(pair.second) + len(pair.discarded)


def test_the_published_rates_of_single_segments_and_short_targets() -> None:
    random = Random(1)
    # one-token sentences fill every target exactly, so the length shows the target
    pairs = list(build_pairs(([7] for _ in range(600_000)), 64, random))
    single = sum(not p.second for p in pairs) / len(pairs)
    full = sum(len(p.first) + len(p.second) + len(p.discarded) == 64 for p in pairs) / len(pairs)
    assert 0.09 < single < 0.13  # a tenth, and the short targets that leave B empty
    assert 0.94 < full < 0.96


def test_reordering_is_seen() -> None:
    """A long sentence goes to B, then a short one fits A again: the published quirk."""
    document = [[1] * 3, [2] * 30, [3] * 3, [4] * 40]
    found = [p for s in range(200) for p in build_pairs(document, 64, Random(s)) if p.reordered]
    assert found
    assert all(3 in p.first and 2 in p.second for p in found)
