"""Peak memory of one pre-training worker, by size and micro-batch, without a peer.

Two steps on full rows of random tokens, and the copy for a checkpoint, in a process of their own.
On a GPU the peak of torch's allocations is measured, on a CPU the peak resident memory of the
process. The global batch is one and a half micro-batches, so that gradients are accumulated.

    python benchmarks/memory.py --sizes small base large --length 128 --micro-batch 8
"""

import argparse
import multiprocessing
from dataclasses import dataclass

import numpy as np

from electra_pipeline.pretraining.sizes import SIZES, Size

VOCAB_SIZE = 30_522  # of the published models
MASK_FRACTION = 0.15


@dataclass(frozen=True)
class RandomRows:
    """Replaces the reader of a sequences artifact; all rows are full."""

    length: int
    is_packed: bool = False

    def __len__(self) -> int:
        return 10_000

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids = np.random.default_rng(0).integers(1000, VOCAB_SIZE, (len(indices), self.length))
        lengths = np.full(len(indices), self.length)
        return ids, lengths, lengths // 2


def measure(size: Size, length: int, micro_batch: int) -> tuple[int, int]:
    """Return the number of trainable parameters and the peak memory in bytes."""
    from electra_pipeline.core.execution import Scale, Worker
    from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
    from electra_pipeline.pretraining.batches import BatchSource
    from electra_pipeline.pretraining.checkpoint import CheckpointStore, ResumePoint
    from electra_pipeline.pretraining.config import PretrainConfig
    from electra_pipeline.pretraining.model import Electra, count_parameters
    from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
    from electra_pipeline.pretraining.outputs import peak_memory_bytes
    from electra_pipeline.pretraining.step import Step
    from electra_pipeline.storage.folder import Folder

    worker = Worker()
    special = SpecialIds(pad=0, cls=101, sep=102, mask=103)
    masking = Masking(MASK_FRACTION, num_slots(length, MASK_FRACTION), False, special)
    model = Electra(SIZES[size], VOCAB_SIZE, masking, seed=0).to(worker.device)
    optimizer = Adam(parameter_groups(model, 0.01))
    step = Step(worker, PretrainConfig(), Scale(micro_batch_sequences=micro_batch))
    source = BatchSource(RandomRows(length), 0, micro_batch + (micro_batch + 1) // 2, masking)
    model.train()
    for index in range(2):
        step.backward(model, source.batch(index).to(worker.device))
        clip_gradients(model.parameters(), 1.0)
        optimizer.set_learning_rate(1e-4)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    nowhere = Folder("memory://nowhere")
    state = CheckpointStore("", nowhere, nowhere).state(ResumePoint(2, [], 0.0), model, optimizer)
    del state
    return count_parameters(model), peak_memory_bytes(worker.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base", "large"], choices=SIZES)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=8)
    arguments = parser.parse_args()
    print(f"length {arguments.length}, micro-batch {arguments.micro_batch}")
    print("| size | parameters, trained | peak memory of a worker |\n|---|---|---|")
    for size in arguments.sizes:
        # a process's peak never falls, so each size has one of its own
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            given = (size, arguments.length, arguments.micro_batch)
            parameters, num_bytes = pool.apply(measure, given)
        print(f"| {size} | {parameters / 1e6:.1f} M | {num_bytes / 1e9:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
