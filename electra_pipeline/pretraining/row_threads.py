"""Threads of a CPU worker that each compute rows of their own, and the sum of their gradients.

torch divides each operation among threads, but most operations of a small model are too short for
it: on two cores ELECTRA-Small is 1.3 times as fast as on one with threads in each operation, 1.4
times (16 rows of 128 tokens) to 1.75 times (32 rows) with rows for each thread (benchmarks/LOG.md).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.weights import detached, tensors

Outputs = dict[str, Tensor]


class RowThreads:
    """A fixed number of threads, in each of which torch uses one thread."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self.num_threads,
            thread_name_prefix="rows",
            initializer=torch.set_num_threads,
            initargs=(1,),
        )

    def backward(
        self,
        model: Electra,
        batch: Batch,
        most_rows: int | None,
        dtype: torch.dtype,
        loss_and_sums: Callable[[Outputs], tuple[Tensor, Tensor]],
    ) -> Tensor:
        """Accumulate the gradients of a batch in the parameters; return the total of the sums.

        most_rows: of one part of the batch; loss_and_sums: gives the loss of a part's outputs and
        what to add up. The parts are always the same and added up in the same order. All threads
        use the same converted weights, whose gradients are passed on to the parameters together.
        """
        share = -(-len(batch) // self.num_threads)
        parts = list(batch.split(min(share, most_rows or share)))
        converted = model.weights(dtype)
        weights = detached(converted)
        leaves = tensors(weights)
        # two parts are added in the type of the products; more could vanish in a sum in bfloat16
        sum_dtype = None if len(parts) <= 2 else torch.float32

        def compute(thread: int) -> tuple[list[Tensor], Tensor]:
            gradients: list[Tensor] = []
            found: list[Tensor] = []
            for part in parts[thread :: self.num_threads]:
                loss, sums = loss_and_sums(model(part, dtype, weights))
                gradients = added(gradients, torch.autograd.grad(loss, leaves), sum_dtype)
                found.append(sums)
            return gradients, torch.stack(found).sum(0)

        computed = list(self._pool.map(compute, range(min(self.num_threads, len(parts)))))
        torch.set_num_threads(self.num_threads)  # new threads lower it for the process
        total: list[Tensor] = []
        for gradients, _ in computed:
            total = added(total, gradients, None)
        pass_on(tensors(converted), total)
        return torch.stack([sums for _, sums in computed]).sum(0)


def added(
    total: list[Tensor], gradients: Sequence[Tensor], dtype: torch.dtype | None
) -> list[Tensor]:
    """Return the sums of two lists of gradients, dense or sparse; the first may be empty.

    dtype: of dense sums, or None for the gradients' own.
    """
    if not total:
        return [each if each.is_sparse else each.to(dtype or each.dtype) for each in gradients]
    return [
        sum_ + each if each.is_sparse else sum_.add_(each)
        for sum_, each in zip(total, gradients, strict=True)
    ]


def pass_on(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Accumulate the gradients of converted weights in the parameters; tables may have sparse ones.

    gradients: as from `added`.
    """
    pairs = list(zip(weights, gradients, strict=True))
    dense = [(weight, each) for weight, each in pairs if not each.is_sparse]
    torch.autograd.backward(
        [weight for weight, _ in dense], [each.to(weight.dtype) for weight, each in dense]
    )
    for weight, each in pairs:
        if each.is_sparse:
            weight.grad = each.to_dense() if weight.grad is None else weight.grad.add_(each)
