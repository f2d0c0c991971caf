"""Dropout by row: the right fraction, no pattern, independent of other rows."""

import pytest
import scipy.stats
import torch

from electra_pipeline.pretraining.dropout import MULTIPLIERS, drop, keep, keys_at, mix


def splitmix64(state: int) -> int:
    """The finalizer in plain integers, as Steele, Lea and Flood give it."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * (MULTIPLIERS[0] % 2**64)) & mask
    state = ((state ^ (state >> 27)) * (MULTIPLIERS[1] % 2**64)) & mask
    return state ^ (state >> 31)


def test_the_hash_is_splitmix64() -> None:
    states = torch.randint(-(2**63), 2**63 - 1, (1000,), generator=torch.Generator().manual_seed(0))
    expected = [splitmix64(state % 2**64) for state in states.tolist()]
    assert [value % 2**64 for value in mix(states.clone()).tolist()] == expected


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_dropped_fraction_is_exact_in_every_row_and_column(fraction: float) -> None:
    kept = keep(torch.arange(400), (50, 40), fraction).flatten(1)
    for axis in (0, 1):
        counts = (~kept).sum(axis)
        draws = kept.shape[axis]
        pvalue = scipy.stats.chisquare(
            torch.stack([counts, draws - counts]).flatten().double(),
            [fraction * draws] * len(counts) + [(1 - fraction) * draws] * len(counts),
            ddof=len(counts) - 1,
        ).pvalue
        assert 1e-4 < pvalue < 1 - 1e-4


def test_the_mask_of_a_row_does_not_depend_on_other_rows() -> None:
    keys = torch.tensor([11, -7, 5])
    together = keep(keys, (9, 3), 0.3)  # 27 elements: the last hash is used in part
    for row in range(3):
        assert torch.equal(keep(keys[row : row + 1], (9, 3), 0.3)[0], together[row])


def test_masks_of_dropouts_and_rows_differ() -> None:
    keys = keys_at(torch.tensor([1, 2]), 30)
    assert keys.unique().numel() == 60
    masks = keep(keys.flatten(), (64,), 0.5)
    assert len({tuple(mask.tolist()) for mask in masks}) == 60


def test_kept_elements_are_scaled_up_in_value_and_gradient() -> None:
    values = torch.randn(4, 1000, requires_grad=True)
    kept = keep(torch.arange(4), (1000,), 0.2)
    dropped = drop(values, kept, 0.2)
    dropped.sum().backward()
    assert torch.allclose(dropped, torch.where(kept, values / 0.8, 0.0))
    assert values.grad is not None
    assert torch.allclose(values.grad, torch.where(kept, 1 / 0.8, 0.0))
    assert drop(values, None, 0.2) is values
