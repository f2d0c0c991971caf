"""Dropout masks as functions of a row of the global batch, not of a worker's generator state.

Each mask is a hash of (seed, step, row, dropout of the model, element). So the same elements are
dropped for any number of workers, any micro-batch and after resuming. On a CPU the hash is also
faster than torch's generator, which draws one number after another.
"""

import math

import torch
from torch import Tensor

# splitmix64: golden-ratio increment, then a mix whose every output bit depends on every input bit
# (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; multipliers of
# Stafford's variant 13), written as signed 64-bit numbers.
INCREMENT = 0x9E3779B97F4A7C15 - 2**64
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)

LANES = 4  # 16-bit numbers in one 64-bit hash
RESOLUTION = 2**16  # a fraction is accurate to 1 / 131,072


def mix(bits: Tensor) -> Tensor:
    """Apply splitmix64's finalizer elementwise to int64, in place, and return the argument."""
    for shift, multiplier in ((30, MULTIPLIERS[0]), (27, MULTIPLIERS[1]), (31, 1)):
        # the shift of int64 keeps the sign; the mask makes it logical
        bits ^= (bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        if multiplier != 1:
            bits *= multiplier
    return bits


def keys_at(row_keys: Tensor, num_dropouts: int) -> Tensor:
    """Return a key for each dropout of a model and each row, (num_dropouts, b) int64.

    row_keys: (b,) int64.
    """
    numbers = torch.arange(1, num_dropouts + 1, device=row_keys.device)
    return mix(row_keys + numbers[:, None] * INCREMENT)


def keep(keys: Tensor, shape: tuple[int, ...], fraction: float) -> Tensor:
    """Return which elements of each row are kept, (b, *shape) bool; `fraction` of them is false.

    keys: (b,) int64.
    """
    num_elements = math.prod(shape)
    counters = torch.arange(-(-num_elements // LANES), device=keys.device) * INCREMENT
    lanes = mix(keys[:, None] + counters).view(torch.int16)[:, :num_elements]
    return (lanes >= round(fraction * RESOLUTION) - RESOLUTION // 2).view(-1, *shape)


def drop(values: Tensor, kept: Tensor | None, fraction: float) -> Tensor:
    """Set the elements that are not kept to 0 and scale up the others; no mask changes nothing."""
    return values if kept is None else values * kept * (1.0 / (1.0 - fraction))
