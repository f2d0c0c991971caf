"""Micro-batches: parts of a batch that are small enough for the memory of the device."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from electra_pipeline.tasks.kinds.kind import Feature

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

CPU_ALLOCATOR = "DefaultCPUAllocator"  # in the RuntimeError of c10/core/impl/alloc_cpu.cpp


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch means that memory ran out, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)
    )


@dataclass
class MicroBatches:
    """Splits batches into parts of at most `num_examples`; halved when memory runs out."""

    num_examples: int

    def run(
        self, function: Callable[[Sequence[Sequence[Feature]]], Value], batch: Sequence[Feature]
    ) -> Value:
        """Return `function` of the batch's parts; call it again after each halving.

        Raise ValueError if one example alone does not fit.
        """
        while True:
            size = self.num_examples
            try:
                return function([batch[i : i + size] for i in range(0, len(batch), size)])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # After the except block nothing refers to the tensors of the failed attempt.
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
                "memory ran out with %d examples at once; continuing with %d and the same gradient",
                *(largest, self.num_examples),
            )
