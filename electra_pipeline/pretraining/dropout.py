"""Dropout masks as functions of a row of the global batch, not of a worker's generator state.

Each mask is a hash of (seed, step, row, dropout of the model, element). So the same elements are
dropped for any number of workers, any micro-batch, any type and after resuming.

The mask of a row is a matrix. Its lines and its groups of four columns are hashed once each; the
product of the two hashes has four numbers of 14 bits, one for each element. So an element costs two
machine words of arithmetic in vector instructions, a fifth of one strong hash per group (figures:
benchmarks/LOG.md). A test compares the masks with independent draws.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# splitmix64: golden-ratio increment, then a mix whose every output bit depends on every input bit
# (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; multipliers of
# Stafford's variant 13), written as signed 64-bit numbers.
INCREMENT = 0x9E3779B97F4A7C15 - 2**64
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)

LANES = 4  # elements of one 64-bit number: their results are the bits of four bfloat16 numbers
RESOLUTION = 2**14  # of a lane's number; a fraction is accurate to 1 / 32,768
KEPT = 2.0  # mask of a kept element: bit 14, the only set bit of this bfloat16 number
CHUNK = 2**16  # 64-bit numbers that are hashed at once: half a megabyte stays in a core's cache


def mix(bits: Tensor) -> Tensor:
    """Apply splitmix64's finalizer elementwise to int64, in place, and return the argument."""
    for shift, multiplier in ((30, MULTIPLIERS[0]), (27, MULTIPLIERS[1]), (31, 1)):
        # the shift of int64 keeps the sign; the mask makes it logical
        bits ^= (bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        if multiplier != 1:
            bits *= multiplier
    return bits


def hashes(keys: Tensor, count: int) -> Tensor:
    """Return the first `count` hashes of each key, (*keys.shape, count) int64."""
    numbers = torch.arange(1, count + 1, device=keys.device)
    return mix(keys[..., None] + numbers * INCREMENT)


class Factors(NamedTuple):
    """Hashes of the lines and of the groups of columns of every mask of a model."""

    lines: Tensor
    """(num_dropouts, b, lines) int64, of the mask with the most lines; others use the first."""
    groups: Tensor
    """(num_dropouts, b, groups) int64, likewise."""


def factors(row_keys: Tensor, num_dropouts: int, lines: int, columns: int) -> Factors:
    """Return the factors of masks of at most `lines` x `columns`; row_keys: (b,) int64."""
    keys = hashes(row_keys, num_dropouts).t().contiguous()
    # odd numbers, so that no product loses bits
    return Factors(
        hashes(keys, lines).bitwise_or_(1), hashes(~keys, -(-columns // LANES)).bitwise_or_(1)
    )


def keep(
    lines: Tensor, groups: Tensor, columns: int, fraction: float, dtype: torch.dtype
) -> Tensor:
    """Return KEPT for the elements that are kept and 0 for the others, (b, lines, columns).

    lines: (b, lines) and groups: (b, >= columns / LANES) int64, of one dropout; `fraction` of the
    elements is 0. A kept value times KEPT times `scale` is the value divided by 1 - fraction.
    """
    num_rows, num_groups = len(lines), -(-columns // LANES)
    products = lines.new_empty(num_rows, lines.shape[1], num_groups)
    step = max(1, CHUNK // (lines.shape[1] * num_groups))
    if lines.device.type != "cpu":
        step = num_rows
    for start in range(0, num_rows, step):
        rows = slice(start, start + step)
        bits = products[rows]
        torch.mul(lines[rows, :, None], groups[rows, None, :num_groups], out=bits)
        bits ^= bits >> 32  # the low bits of a product depend on the low bits of its factors alone
        # a lane's number, plus what is missing to bit 14 at the first number that is kept
        bits &= _in_each_lane(RESOLUTION - 1)
        bits += _in_each_lane(RESOLUTION - round(fraction * RESOLUTION))
        bits &= _in_each_lane(RESOLUTION)
    return products.view(torch.bfloat16)[..., :columns].to(dtype)


def _in_each_lane(value: int) -> int:
    """Return a signed 64-bit number with `value`, below 2 ** 15, in each of its lanes."""
    return sum(value << (16 * lane) for lane in range(LANES))


def scale(fraction: float) -> float:
    """Return the factor that makes up for dropped elements, for values times their mask.

    Without dropout there is no mask, and the factor is 1.
    """
    return 1.0 / (KEPT * (1.0 - fraction)) if fraction else 1.0
