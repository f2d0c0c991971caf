"""Peak memory of one pre-training worker, by size and micro-batch, without a peer.

Two steps on full rows of random tokens, and the copy for a checkpoint, in a process of their own.
On a GPU the peak of torch's allocations is measured, on a CPU the peak resident memory of the
process. The global batch is one and a half micro-batches, so that gradients are accumulated. With
several workers the model is sharded, and the last one is measured: it keeps no copy.

    python benchmarks/memory.py --sizes small base large --length 128 --micro-batch 8
    python benchmarks/memory.py --sizes large --gradient-checkpointing --workers 2
"""

import argparse
import multiprocessing
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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


@dataclass(frozen=True)
class Measured:
    """What a worker does."""

    size: Size
    length: int
    micro_batch: int
    gradient_checkpointing: bool
    workers: int


def measure(what: Measured, store: str, rank: int) -> tuple[int, int]:
    """Return the number of trainable parameters and the peak memory of this worker in bytes."""
    import torch
    from torch import distributed as dist

    from electra_pipeline.core.execution import Scale, Worker
    from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
    from electra_pipeline.pretraining.batches import BatchSource
    from electra_pipeline.pretraining.checkpoint import CheckpointStore, ResumePoint
    from electra_pipeline.pretraining.config import PretrainConfig
    from electra_pipeline.pretraining.kernels import kernels
    from electra_pipeline.pretraining.model import Electra, count_parameters
    from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
    from electra_pipeline.pretraining.outputs import peak_memory_bytes
    from electra_pipeline.pretraining.sharding import distribute
    from electra_pipeline.pretraining.step import Step
    from electra_pipeline.storage.folder import Folder

    worker = Worker(rank=rank, world_size=what.workers)
    if what.workers > 1:
        if worker.device.type == "cuda":
            torch.cuda.set_device(rank)
        backend = "nccl" if worker.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, f"file://{store}", rank=rank, world_size=worker.world_size)
    special = SpecialIds(pad=0, cls=101, sep=102, mask=103)
    masking = Masking(MASK_FRACTION, num_slots(what.length, MASK_FRACTION), False, special)
    using = kernels(worker.device, Scale(gradient_checkpointing=what.gradient_checkpointing))
    model = Electra(SIZES[what.size], VOCAB_SIZE, masking, seed=0, kernels=using)
    scale = Scale(micro_batch_sequences=what.micro_batch, sharding="full")
    wrapped = distribute(model, worker, scale)
    optimizer = Adam(parameter_groups(model, 0.01))
    step = Step(worker, PretrainConfig(), scale)
    num_rows = worker.world_size * (what.micro_batch + (what.micro_batch + 1) // 2)
    source = BatchSource(
        RandomRows(what.length), 0, num_rows, masking, worker.rank, worker.world_size
    )
    model.train()
    for index in range(2):
        step.backward(wrapped, source.batch(index).to(worker.device))
        clip_gradients(model.parameters(), 1.0)
        optimizer.set_learning_rate(1e-4)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    nowhere = Folder("memory://nowhere")
    CheckpointStore("", nowhere, nowhere).state(
        ResumePoint(2, [], 0.0), model, optimizer, is_kept=rank == 0
    )
    if what.workers > 1:
        dist.destroy_process_group()
    return count_parameters(model), peak_memory_bytes(worker.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base", "large"], choices=SIZES)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="share one sharded model")
    arguments = parser.parse_args()
    print(
        f"length {arguments.length}, micro-batch {arguments.micro_batch}, gradient checkpointing "
        f"{arguments.gradient_checkpointing}, workers {arguments.workers}"
    )
    print("| size | parameters, trained | peak memory of a worker |\n|---|---|---|")
    for size in arguments.sizes:
        what = Measured(
            size,
            arguments.length,
            arguments.micro_batch,
            arguments.gradient_checkpointing,
            arguments.workers,
        )
        # a process's peak never falls, so each size has processes of its own
        context = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory() as folder, context.Pool(what.workers) as pool:
            run = partial(measure, what, str(Path(folder) / "store"))
            *_, (parameters, num_bytes) = pool.map(run, range(what.workers), chunksize=1)
        print(f"| {size} | {parameters / 1e6:.1f} M | {num_bytes / 1e9:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
