"""Batches of model inputs: their order in training and scoring, and their padding."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import IGNORED, NO_TOKEN, Feature

POOL_BATCHES = 64  # examples of so many batches are sorted by length together: little padding


def collate(features: Sequence[Feature], pad_id: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return model inputs (batch, length) int64 padded to the longest feature, and the targets.

    The inputs of multiple choice are (batch, choices, length), padded to the largest number of
    choices. Token types are left out where all are 0: models fill these in, and some take none.
    """
    # A text is a choice without alternatives.
    ids_of = [each.input_ids.reshape(len(each.input_ids), -1) for each in features]
    length, num_choices = np.max([ids.shape for ids in ids_of], axis=0)
    input_ids = np.full((len(features), num_choices, length), NO_TOKEN, dtype=np.int64)
    token_type_ids = np.zeros_like(input_ids)
    for row, (feature, ids) in enumerate(zip(features, ids_of, strict=True)):
        size, own = ids.shape
        input_ids[row, :own, :size] = ids.T
        token_type_ids[row, :own, feature.segment_b : size] = 1
    is_token = input_ids != NO_TOKEN
    token_type_ids *= is_token
    is_token[:, :, 0] = True  # a choice of padding alone attends to itself, or softmax gives nan
    inputs = {
        "input_ids": np.where(input_ids == NO_TOKEN, pad_id, input_ids),
        "attention_mask": is_token.astype(np.int64),
    }
    if token_type_ids.any():
        inputs["token_type_ids"] = token_type_ids
    if features[0].input_ids.ndim == 1:
        inputs = {name: values[:, 0] for name, values in inputs.items()}
    targets = [feature.target for feature in features]
    if targets[0].ndim == 1:  # tags: one for each token
        width = max(len(target) for target in targets)
        targets = [
            np.pad(target, (0, width - len(target)), constant_values=IGNORED) for target in targets
        ]
    tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
    return tensors, torch.from_numpy(np.stack(targets))


def training_batches(
    lengths: Sequence[int], batch_examples: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of each batch of one epoch, a pure function of the arguments.

    Each epoch has its own random order; within pools of it, features of similar length are batched
    together.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    sizes = np.asarray(lengths)
    for start in range(0, len(order), batch_examples * POOL_BATCHES):
        pool = order[start : start + batch_examples * POOL_BATCHES]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        batches = [pool[i : i + batch_examples] for i in range(0, len(pool), batch_examples)]
        for index in rng.permutation(len(batches)):
            yield batches[index]


def scoring_batches(lengths: Sequence[int], batch_examples: int) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of each batch, shortest features first."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_examples):
        yield order[start : start + batch_examples]
