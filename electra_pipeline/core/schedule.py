"""ELECTRA's learning rate schedule; apart from the optimizer, as configurations need no torch.

Source of each rule: google-research/electra, model/optimization.py (commit 8a46635).
"""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "constant"]


def learning_rate(
    step: int, peak: float, num_steps: int, warmup_steps: int, schedule: Schedule = "linear"
) -> float:
    """Return the rate: decay over `num_steps` times linear warm-up, both counted from step 0.

    The product form of the published code (optimization.py:36-45), whose decay is linear to zero:
    the highest rate reached is peak * (1 - warmup_steps / num_steps), and step 0 has rate 0. A
    cosine falls to zero too (Loshchilov and Hutter 2017, arXiv:1608.03983); constant does not fall.
    """
    progress = min(1.0, step / num_steps)
    decay = {
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
        "constant": 1.0,
    }[schedule]
    warmup = min(1.0, step / warmup_steps) if warmup_steps > 0 else 1.0
    return peak * decay * warmup
