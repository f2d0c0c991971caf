import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.pretraining.batches import BatchSource, global_rows
from electra_pipeline.pretraining.objective import Masking, SpecialIds
from electra_pipeline.pretraining.sequence_shards import SequenceReader
from electra_pipeline.storage.artifact import Artifact


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 1000), st.integers(2, 4))
def test_every_epoch_is_a_permutation(num_rows: int, batch: int, seed: int, epochs: int) -> None:
    steps = -(-epochs * num_rows // batch)
    stream = np.concatenate([global_rows(seed, step, num_rows, batch) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(stream[epoch * num_rows : (epoch + 1) * num_rows]) == list(range(num_rows))


def test_epochs_and_seeds_differ() -> None:
    first, second = global_rows(0, 0, 100, 100), global_rows(0, 1, 100, 100)
    assert (first != second).any()
    assert (first != global_rows(1, 0, 100, 100)).any()


MASKING = Masking(0.15, 4, False, SpecialIds(pad=0, cls=2, sep=3, mask=4))
NOISE = ("position_noise", "slot_noise", "dropout_keys")


def source(sequences: Artifact, rank: int = 0, world_size: int = 1) -> BatchSource:
    return BatchSource(SequenceReader(sequences), 3, 12, MASKING, rank, world_size)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_workers_share_one_global_batch(sequences: Artifact, world_size: int) -> None:
    whole = source(sequences).batch(7)
    for rank in range(world_size):
        part = source(sequences, rank, world_size).batch(7)
        assert len(part) == math.ceil(12 / world_size)
        own = range(rank, 12, world_size)
        for name in ("input_ids", "lengths", "counts", *NOISE):
            assert torch.equal(getattr(part, name)[: len(own)], getattr(whole, name)[own])
        assert not part.lengths[len(own) :].any()
        assert not part.counts[len(own) :].any()
        assert (part.num_tokens, part.num_predictions) == (whole.num_tokens, whole.num_predictions)


def test_a_resumed_run_gets_the_same_batches(sequences: Artifact) -> None:
    full = list(source(sequences).batches(0, 9))
    tail = list(source(sequences).batches(4, 9))
    for one, other in zip(full[4:], tail, strict=True):
        assert torch.equal(one.input_ids, other.input_ids)
        for name in NOISE:
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_noise_is_new_in_every_step(sequences: Artifact) -> None:
    batches = source(sequences)
    first, second, held_out = batches.batch(0), batches.batch(1), batches.held_out_batch(0, 12)
    for name in NOISE:
        assert not torch.equal(getattr(first, name), getattr(second, name))
        assert not torch.equal(getattr(first, name), getattr(held_out, name))


def test_micro_batches_together_are_the_batch(sequences: Artifact) -> None:
    whole = source(sequences).batch(0)
    parts = list(whole.split(5))
    assert [len(part) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([part.input_ids for part in parts]), whole.input_ids)
    assert {part.num_tokens for part in parts} == {whole.num_tokens}


def test_frequencies_are_counted_at_maskable_positions(sequences: Artifact) -> None:
    ids, lengths, _ = SequenceReader(sequences).rows(np.arange(len(SequenceReader(sequences))))
    counts = Counter(
        int(token)
        for row, length in zip(ids, lengths, strict=True)
        for token in row[:length]
        if token not in (2, 3, 4)
    )
    total = sum(counts.values()) + 0.5 * 50
    expected = [math.log((counts[token] + 0.5) / total) for token in range(50)]
    found = source(sequences, rank=1, world_size=2).log_frequencies(50)
    assert torch.allclose(found, torch.tensor(expected))
