"""Numbers of a device that the host reads without waiting for it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class LateValues:
    """A number of each step, in order; on a GPU one step late, so that no step waits for it.

    The copy into pinned memory is queued behind the step. By the time the next step has been
    queued, it has finished.
    """

    device: torch.device
    waiting: deque[tuple[int, Tensor, Any]] = field(default_factory=deque)

    def add(self, step: int, value: Tensor) -> Iterator[tuple[int, float]]:
        """Add the number of a step, (); yield the steps and numbers that can be read by now."""
        event = None
        if self.device.type == "cuda":
            value = value.to("cpu", non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self.waiting.append((step, value, event))
        return self._read(num_left=1 if event is not None else 0)

    def remaining(self) -> Iterator[tuple[int, float]]:
        """Yield the steps and numbers that were not read yet."""
        return self._read(num_left=0)

    def _read(self, num_left: int) -> Iterator[tuple[int, float]]:
        while len(self.waiting) > num_left:
            step, value, event = self.waiting.popleft()
            if event is not None:
                event.synchronize()
            yield step, float(value)
