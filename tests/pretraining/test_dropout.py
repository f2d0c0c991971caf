"""Dropout by row: the right fraction, no pattern, independent of other rows."""

import pytest
import scipy.stats
import torch

from electra_pipeline.pretraining import dropout
from electra_pipeline.pretraining.dropout import KEPT, MULTIPLIERS, factors, keep, mix, scale


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


def masks(keys: torch.Tensor, lines: int, columns: int, fraction: float) -> torch.Tensor:
    """The masks of the first dropout of rows with these keys, (b, lines, columns) bool."""
    of_lines, of_groups = factors(keys, 1, lines, columns)
    return keep(of_lines[0], of_groups[0], columns, fraction, torch.float32) == KEPT


def test_elements_of_a_mask_are_bits_of_a_product_of_hashes() -> None:
    """Each element in plain integers."""
    dropped = 0.3
    of_lines, of_groups = factors(torch.tensor([12345]), 2, 5, 7)
    mask = keep(of_lines[1], of_groups[1], 7, dropped, torch.float32)[0]
    for line in range(5):
        for column in range(7):
            product = int(of_lines[1, 0, line]) * int(of_groups[1, 0, column // 4]) % 2**64
            signed = product - 2**64 if product >= 2**63 else product
            folded = product ^ (signed >> 32) % 2**64
            number = folded >> (16 * (column % 4)) & (2**14 - 1)
            assert mask[line, column] == (KEPT if number >= round(dropped * 2**14) else 0.0)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_dropped_fraction_is_exact_in_every_row_and_column(fraction: float) -> None:
    kept = masks(torch.arange(400), 50, 40, fraction).flatten(1)
    for axis in (0, 1):
        counts = (~kept).sum(axis)
        draws = kept.shape[axis]
        pvalue = scipy.stats.chisquare(
            torch.stack([counts, draws - counts]).flatten().double(),
            [fraction * draws] * len(counts) + [(1 - fraction) * draws] * len(counts),
            ddof=len(counts) - 1,
        ).pvalue
        assert 1e-4 < pvalue < 1 - 1e-4


@pytest.mark.parametrize("axis", [1, 2], ids=["lines", "columns"])
def test_lines_and_columns_of_a_mask_are_dropped_independently(axis: int) -> None:
    """The numbers of elements that two lines (columns) both drop vary as if drawn independently."""
    fraction, size = 0.1, 256
    dropped = (~masks(torch.arange(20), size, size, fraction)).double() - fraction
    lines = dropped if axis == 1 else dropped.transpose(1, 2)
    products = lines @ lines.transpose(1, 2) / (size**0.5 * fraction * (1 - fraction))
    different = products[:, ~torch.eye(size, dtype=torch.bool)]  # of mean 0 and deviation 1
    number = different.numel() / 2  # each pair occurs twice
    assert abs(different.mean()) < 5 / number**0.5
    # the fourth moment of a product of two such variables is about 11
    assert abs(different.square().mean() - 1) < 5 * (11 / number) ** 0.5
    assert different.abs().max() < 8


def test_the_mask_of_a_row_does_not_depend_on_other_rows_or_the_type() -> None:
    keys = torch.tensor([11, -7, 5])
    together = masks(keys, 9, 3, 0.3)  # three columns: the last hash is used in part
    for row in range(3):
        assert torch.equal(masks(keys[row : row + 1], 9, 3, 0.3)[0], together[row])
    of_lines, of_groups = factors(keys, 1, 200, 8)  # of the lines and columns, the first are used
    coarse = keep(of_lines[0, :, :9], of_groups[0], 3, 0.3, torch.bfloat16)
    assert torch.equal(coarse == KEPT, together)


def test_rows_in_several_chunks_are_the_rows_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.arange(6)
    whole = masks(keys, 16, 16, 0.3)
    monkeypatch.setattr(dropout, "CHUNK", 130)  # two rows of 64 numbers
    assert torch.equal(masks(keys, 16, 16, 0.3), whole)


def test_masks_of_dropouts_and_rows_differ() -> None:
    of_lines, of_groups = factors(torch.tensor([1, 2]), 30, 1, 64)
    found = [
        tuple(mask.flatten().tolist())
        for lines, groups in zip(of_lines, of_groups, strict=True)
        for mask in keep(lines, groups, 64, 0.5, torch.float32)
    ]
    assert len(set(found)) == 60


def test_kept_elements_are_scaled_up() -> None:
    values = torch.randn(1, 4, 1000)
    of_lines, of_groups = factors(torch.tensor([3]), 1, 4, 1000)
    mask = keep(of_lines[0], of_groups[0], 1000, 0.2, torch.float32)
    expected = torch.where(mask > 0, values / 0.8, 0.0)
    assert torch.allclose(values * mask * scale(0.2), expected)
    assert scale(0.0) == 1.0  # nothing is dropped, and there is no mask
