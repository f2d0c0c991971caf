"""What a device sets limits to: how many examples it holds at once, how soon it says a loss."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import Feature

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

CPU_ALLOCATOR = "DefaultCPUAllocator"  # c10/core/impl/alloc_cpu.cpp: a plain RuntimeError says so


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch found no memory, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)
    )


@dataclass
class Parts:
    """Batches in parts of at most `num_examples`; half as many from where memory runs out."""

    num_examples: int

    def run(
        self, function: Callable[[Sequence[Sequence[Feature]]], Value], batch: Sequence[Feature]
    ) -> Value:
        """`function` of the batch's parts, again from its beginning with each halving.

        Raises ValueError in one line if one example alone does not fit.
        """
        while True:
            size = self.num_examples
            try:
                return function([batch[i : i + size] for i in range(0, len(batch), size)])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out here nothing holds the tensors of the failed attempt any more.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            largest = min(size, len(batch))
            if largest == 1:
                longest = max(len(feature.input_ids) for feature in batch)
                raise ValueError(
                    f"memory runs out with one example of up to {longest} tokens; lower "
                    "finetune.max_length, or run fewer trials at once"
                )
            self.num_examples = (largest + 1) // 2
            logger.warning(
                "memory ran out with %d examples at once; going on with %d at once, to the same "
                "gradient",
                *(largest, self.num_examples),
            )


@dataclass
class LateLosses:
    """The loss of each step, in order; on a GPU one step late, so that it never waits to be read.

    A copy into pinned memory is queued behind the step. When the next one has been queued too, the
    copy is long there.
    """

    device: torch.device
    waiting: deque[tuple[int, Tensor, Any]] = field(default_factory=deque)

    def add(self, step: int, loss: Tensor) -> Iterator[tuple[int, float]]:
        """Take in a loss, and give those that can be read by now with their steps."""
        event = None
        if self.device.type == "cuda":
            loss = loss.to("cpu", non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self.waiting.append((step, loss, event))
        return self._read(num_left=1 if event is not None else 0)

    def rest(self) -> Iterator[tuple[int, float]]:
        """The losses that are still waiting."""
        return self._read(num_left=0)

    def _read(self, num_left: int) -> Iterator[tuple[int, float]]:
        while len(self.waiting) > num_left:
            step, loss, event = self.waiting.popleft()
            if event is not None:
                event.synchronize()
            yield step, float(loss)
