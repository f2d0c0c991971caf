import numpy as np
import pytest
import rensa

from electra_pipeline.corpus.dedup.minhash import (
    SIGNATURE_VERSION,
    NearDuplicates,
    band_keys,
    shingle_sets,
)


def pair(num_common: int, num_each: int, trial: int) -> tuple[str, str]:
    """Two texts of distinct words that share the first: Jaccard c / (c + 2 e) of single words."""
    common = [f"c{trial}x{word}" for word in range(num_common)]
    return tuple(  # type: ignore[return-value]
        " ".join(common + [f"{side}{trial}x{word}" for word in range(num_each)]) for side in "ab"
    )


def test_rensa_computes_the_recorded_version() -> None:
    """Its output is part of an artifact's bytes, so that another algorithm must be noticed."""
    sketch = rensa.RMinHash(8, seed=42)
    sketch.update(["a b c", "b c d"])
    assert sketch.digest() == [
        2442342945, 736433413, 1180934726, 687236897,
        3368641856, 3296434177, 2976807386, 3542462099,
    ]  # fmt: skip
    assert SIGNATURE_VERSION == (2, 2)


def test_keys_are_the_same_on_every_machine() -> None:
    config = NearDuplicates(bands=2, rows=2, shingle_words=2)
    keys, is_too_short = band_keys(config, ["The quick brown fox jumps", "fox"])
    assert keys[0].tolist() == [0x5E554DCBF389D5CD, 0xB0D48B47721F274B]
    assert is_too_short.tolist() == [False, True]


@pytest.mark.parametrize(("num_common", "num_each"), [(200, 100), (280, 60), (320, 40), (360, 20)])
def test_candidates_follow_the_formula(num_common: int, num_each: int) -> None:
    similarity = num_common / (num_common + 2 * num_each)
    config = NearDuplicates(shingle_words=1)
    texts = [text for trial in range(1500) for text in pair(num_common, num_each, trial)]
    keys, _ = band_keys(config, texts)
    share = (keys[::2] == keys[1::2]).any(axis=1).mean()
    expected = 1 - (1 - similarity**config.rows) ** config.bands
    # 1,500 trials: three standard deviations are at most 0.039.
    assert share == pytest.approx(expected, abs=0.04)


def test_keys_differ_between_bands() -> None:
    """Equal rows in two bands are no match; with one hash for each band there are such."""
    config = NearDuplicates(bands=100, rows=1, shingle_words=1)
    keys, _ = band_keys(config, ["one"])
    assert len(np.unique(keys)) == 100


def test_keys_do_not_depend_on_the_batch() -> None:
    config = NearDuplicates()
    texts = [" ".join(pair(10 * n, n, n)) for n in range(8)] + ["", "four words are few"]
    keys, is_too_short = band_keys(config, texts)
    for number, text in enumerate(texts):
        alone, is_alone_too_short = band_keys(config, [text])
        assert (alone[0] == keys[number]).all()
        assert is_alone_too_short[0] == is_too_short[number] == (len(text.split()) < 5)


def test_shingles_are_sets() -> None:
    config = NearDuplicates(shingle_words=2)
    repeated, once, empty = shingle_sets(config, ["a b a b a b", "b, A b.", ""])
    assert repeated.tolist() == once.tolist() == sorted(once.tolist())
    assert (len(once), len(empty)) == (2, 0)


def test_bands_that_find_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 bands of 20 rows would find 0% .* more bands"):
        NearDuplicates(bands=2, rows=20)
