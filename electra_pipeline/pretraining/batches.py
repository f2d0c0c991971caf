"""Global batch k as a pure function of (seed, k): its rows and all of its random numbers.

Nothing here depends on the number of workers: a worker takes its rows of the global batch and the
noise of those rows. The step is the only state of the data.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import torch

from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sequence_shards import SequenceReader

FREQUENCY_ROWS = 16_384  # two million tokens at length 128: enough for biases

# Philox streams: one counter-based generator for each purpose, keyed by (seed, purpose, index).
ORDER, NOISE, HELD_OUT_NOISE, DROPOUT = 0, 1, 2, 3


def philox(seed: int, stream: int, index: int) -> np.random.Generator:
    """Return a generator whose numbers depend on (seed, stream, index) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, (stream << 56) | index]))


@dataclass(frozen=True)
class Batch:
    """One worker's rows of a global batch, with counts of the whole batch."""

    input_ids: torch.Tensor
    """(rows, length) int64, the original text."""
    lengths: torch.Tensor
    """(rows,) int64, tokens that are not padding."""
    segment_b: torch.Tensor
    """(rows,) int64, start of segment B; equal to the length if there is none."""
    counts: torch.Tensor
    """(rows,) int64, masked slots that each row uses."""
    position_noise: torch.Tensor
    """(rows, slots) or, for distinct positions, (rows, length) float32 uniform in [0, 1)."""
    slot_noise: torch.Tensor
    """(rows, slots, 2) float32 uniform in [0, 1): [MASK] coin, sampled replacement."""
    dropout_keys: torch.Tensor
    """(rows, 2) int64, keys of `dropout.factors` for generator and discriminator."""
    num_tokens: int
    """Non-padding tokens of the *global* batch: denominator of the discriminator's loss."""
    num_predictions: int
    """Masked slots of the *global* batch: denominator of the generator's loss."""
    num_parts: int
    """Most documents and paddings of a row of the global batch, or a few more: of compiled
    functions there is one for each number."""
    is_packed: bool
    """Whether rows hold several documents, each beginning with [CLS]."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> "Batch":
        """Return the batch in page-locked memory, from which a GPU copies asynchronously."""
        return self._each(lambda tensor: tensor.pin_memory())

    def split(self, num_rows: int | None) -> Iterator["Batch"]:
        """Yield micro-batches of at most `num_rows` rows, with the counts of the global batch."""
        step = num_rows or max(1, len(self))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            yield self._each(lambda tensor, part=part: tensor[part])  # type: ignore[misc]

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        tensors = {
            field.name: change(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        return replace(self, **tensors)  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return philox(seed, ORDER, epoch).permutation(num_rows)


def global_rows(seed: int, step: int, num_rows: int, batch_sequences: int) -> np.ndarray:
    """Return the row numbers of global batch `step`, (batch_sequences,) int64.

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
    masking: Masking
    rank: int = 0
    world_size: int = 1

    def batch(self, step: int) -> Batch:
        """Return this worker's rows (rank, rank + world_size, ...) of global batch `step`.

        If they are fewer than those of other workers, a row without tokens follows.
        """
        rows = global_rows(self.seed, step, len(self.reader), self.batch_sequences)
        return self._batch(rows, philox(self.seed, NOISE, step), philox(self.seed, DROPOUT, step))

    def held_out_batch(self, index: int, num_rows: int) -> Batch:
        """Return this worker's rows of held-out batch `index`; rows and noise never change."""
        start = index * self.batch_sequences
        rows = np.arange(start, min(start + self.batch_sequences, num_rows))
        noise = philox(self.seed, HELD_OUT_NOISE, index)
        return self._batch(rows, noise, noise)  # nothing is dropped in an evaluation

    def _batch(
        self, rows: np.ndarray, noise: np.random.Generator, dropout: np.random.Generator
    ) -> Batch:
        # Every worker draws the noise of the whole batch and keeps that of its rows: it takes
        # microseconds, and the numbers depend on the row's position in the batch, not on a rank.
        num_rows, slots = len(rows), self.masking.num_slots
        num_positions = self.reader.length if self.masking.distinct else slots
        position_noise = noise.random((num_rows, num_positions), dtype=np.float32)
        slot_noise = noise.random((num_rows, slots, 2), dtype=np.float32)
        bounds = np.iinfo(np.int64)
        keys = dropout.integers(bounds.min, bounds.max, (num_rows, 2), endpoint=True)
        ids, lengths, segment_b = (torch.from_numpy(column) for column in self.reader.rows(rows))
        counts = self.masking.count(ids, lengths)

        # Workers that hold parts of a model call it equally often, so all have as many rows: an
        # additional one of length 0, without masked positions, has no loss and no gradient.
        most_rows = math.ceil(num_rows / self.world_size)
        num_missing = most_rows - len(range(self.rank, num_rows, self.world_size))

        def own_rows(tensor: torch.Tensor) -> torch.Tensor:
            own = tensor[self.rank :: self.world_size]
            return torch.cat([own, own.new_zeros(num_missing, *own.shape[1:])])

        return Batch(
            input_ids=own_rows(ids),
            lengths=own_rows(lengths),
            segment_b=own_rows(segment_b),
            counts=own_rows(counts),
            position_noise=own_rows(torch.from_numpy(position_noise)),
            slot_noise=own_rows(torch.from_numpy(slot_noise)),
            dropout_keys=own_rows(torch.from_numpy(keys)),
            num_tokens=int(lengths.sum()),
            num_predictions=int(counts.sum()),
            num_parts=self._num_parts(ids),
            is_packed=self.reader.is_packed,
        )

    def _num_parts(self, ids: torch.Tensor) -> int:
        """Return the most parts of a row, rounded up to a power of two."""
        if not self.reader.is_packed:
            return 2
        most = int((ids == self.masking.special.cls).sum(dim=1).max()) + 1
        return 1 << (most - 1).bit_length()

    def log_frequencies(self, vocab_size: int) -> torch.Tensor:
        """Return log frequencies of the tokens at maskable positions, (vocab_size,) float32.

        They are counted over the first rows of the training order, the same for every worker; in
        the order of the shards these would all come from one source. Half an occurrence is added to
        each token, so that the values of unseen tokens are finite.
        """
        rows = _permutation(self.seed, 0, len(self.reader))[:FREQUENCY_ROWS]
        ids, lengths, _ = (torch.from_numpy(column) for column in self.reader.rows(rows))
        counts = torch.bincount(ids[self.masking.candidates(ids, lengths)], minlength=vocab_size)
        return torch.log((counts + 0.5) / (counts + 0.5).sum())

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the training batches of the steps [start, stop); a thread prepares the next one."""
        if start >= stop:
            return

        def prepare(step: int) -> Batch:
            batch = self.batch(step)
            return batch.pin() if torch.cuda.is_available() else batch

        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-batch") as executor:
            following = executor.submit(prepare, start)
            for step in range(start, stop):
                current = following.result()
                if step + 1 < stop:
                    following = executor.submit(prepare, step + 1)
                yield current
