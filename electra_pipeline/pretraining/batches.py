"""Global batch k as a pure function of (seed, k): its rows and all of its randomness.

Nothing here depends on how many workers train: a worker takes its rows of the global batch and the
noise that belongs to those rows. The only state of the data is the step.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from electra_pipeline.pretraining.objective import num_to_predict
from electra_pipeline.pretraining.sequences import SequenceReader

# Philox streams: one counter-based generator for each purpose, keyed by (seed, purpose, index).
ORDER, NOISE, HELD_OUT_NOISE = 0, 1, 2


def philox(seed: int, stream: int, index: int) -> np.random.Generator:
    """A generator whose numbers depend on (seed, stream, index) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, (stream << 56) | index]))


@dataclass(frozen=True)
class Batch:
    """The rows of a global batch that one worker computes, with the sums over the whole batch."""

    input_ids: torch.Tensor
    """(rows, length) int64, the original text."""
    lengths: torch.Tensor
    """(rows,) int64, tokens that are not padding."""
    segment_b: torch.Tensor
    """(rows,) int64, where segment B starts; equal to the length if there is none."""
    noise: torch.Tensor
    """(rows, slots, 3) float32 uniform in [0, 1): position, [MASK] coin, sampled replacement."""
    num_tokens: int
    """Non-padding tokens of the *global* batch: denominator of the discriminator's loss."""
    num_predictions: int
    """Masked slots of the *global* batch: denominator of the generator's loss."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on `device`."""
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
            segment_b=self.segment_b.to(device, non_blocking=True),
            noise=self.noise.to(device, non_blocking=True),
        )

    def split(self, num_rows: int | None) -> Iterator["Batch"]:
        """Micro-batches of at most `num_rows` rows that keep the global denominators."""
        step = num_rows or max(1, len(self))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield replace(
                self,
                input_ids=self.input_ids[part],
                lengths=self.lengths[part],
                segment_b=self.segment_b[part],
                noise=self.noise[part],
            )


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return philox(seed, ORDER, epoch).permutation(num_rows)


def global_rows(seed: int, step: int, num_rows: int, batch_sequences: int) -> np.ndarray:
    """Row numbers of global batch `step`, (batch_sequences,) int64.

    Batches are consecutive slices of the endless concatenation of one permutation per epoch, so
    each epoch shows every row exactly once and no tail is dropped.
    """
    positions = np.arange(step * batch_sequences, (step + 1) * batch_sequences)
    epochs, offsets = np.divmod(positions, num_rows)
    rows = np.empty(batch_sequences, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        rows[here] = _permutation(seed, int(epoch), num_rows)[offsets[here]]
    return rows


@dataclass(frozen=True)
class BatchSource:
    """Global batches of a sequences artifact for one worker out of `world_size`."""

    reader: SequenceReader
    seed: int
    batch_sequences: int
    mask_fraction: float
    num_slots: int
    rank: int = 0
    world_size: int = 1

    def batch(self, step: int) -> Batch:
        """This worker's rows (rank, rank + world_size, ...) of global training batch `step`."""
        rows = global_rows(self.seed, step, len(self.reader), self.batch_sequences)
        return self._batch(rows, philox(self.seed, NOISE, step))

    def held_out_batch(self, index: int, num_rows: int) -> Batch:
        """This worker's rows of held-out batch `index`: the same rows and noise at every call."""
        start = index * self.batch_sequences
        rows = np.arange(start, min(start + self.batch_sequences, num_rows))
        return self._batch(rows, philox(self.seed, HELD_OUT_NOISE, index))

    def _batch(self, rows: np.ndarray, generator: np.random.Generator) -> Batch:
        # Every worker draws the noise of the whole batch and keeps that of its rows: it costs
        # microseconds, and the numbers belong to the row's place in the batch, not to a rank.
        noise = generator.random((len(rows), self.num_slots, 3), dtype=np.float32)
        mine = slice(self.rank, None, self.world_size)
        ids, lengths, segment_b = self.reader.rows(rows)
        all_lengths = torch.from_numpy(lengths)
        predictions = num_to_predict(all_lengths, self.mask_fraction, self.num_slots)
        return Batch(
            input_ids=torch.from_numpy(np.ascontiguousarray(ids[mine])),
            lengths=torch.from_numpy(np.ascontiguousarray(lengths[mine])),
            segment_b=torch.from_numpy(np.ascontiguousarray(segment_b[mine])),
            noise=torch.from_numpy(np.ascontiguousarray(noise[mine])),
            num_tokens=int(lengths.sum()),
            num_predictions=int(predictions.sum()),
        )

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Training batches of the steps [start, stop), the next one prepared while one is used."""
        if start >= stop:
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-batch") as executor:
            following = executor.submit(self.batch, start)
            for step in range(start, stop):
                current = following.result()
                if step + 1 < stop:
                    following = executor.submit(self.batch, step + 1)
                yield current
