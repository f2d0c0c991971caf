"""What a kind of task must know how to do, and the batches that all kinds share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.text.words import count_characters

IGNORED = -100  # a target that the loss skips; torch's default ignore_index
NO_TOKEN = -1  # in the ids of choices, where another choice is longer
POOL_BATCHES = 64  # examples of so many batches are sorted by length together: little padding

Example = TypeVar("Example", contravariant=True)
Prediction = TypeVar("Prediction")


@dataclass(frozen=True)
class Feature:
    """One model input with what its loss compares.

    `input_ids` has (length,) token ids, special tokens included; segment B begins at `second`,
    which is the length where there is none or the model is not told. Where one of several choices
    is right they are (length, choices), filled up with NO_TOKEN.
    `target` is a scalar for texts, (length,) for tags, (2,) for an answer's span and for a choice.
    `origin` is the position of the example that it was made from, and `places` maps tokens back to
    it: the word of each token for tags, (length, 2) character offsets for answers; -1 where there
    is none.
    """

    input_ids: NDArray[np.int32]
    second: int
    target: NDArray[Any]
    origin: int
    places: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Encoded:
    """Features of a split, and what of its examples did not fit."""

    features: list[Feature]
    truncated: Mapping[int, int] = field(default_factory=dict)
    """How many characters were cut off, by the position of the example; others were not cut."""

    @property
    def num_truncated(self) -> int:
        return len(self.truncated)


class TaskKind(Protocol[Example, Prediction]):
    """One kind of task: how its examples become model inputs, and outputs become scores."""

    @property
    def head(self) -> Mapping[str, Any]:
        """What the model's config says of the task: labels, problem type."""
        ...

    def build(self, config: Any) -> Any:
        """The model with newly initialised weights."""
        ...

    def encode(
        self, tokenizer: Any, examples: Sequence[Example], max_length: int, *, training: bool
    ) -> Encoded:
        """Model inputs of at most `max_length` tokens."""
        ...

    def logits(self, output: Any) -> Tensor:
        """The scores in a model's output: (batch, out), or (batch, length, out) for each token."""
        ...

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the losses of a batch, and how many things it is a sum over."""
        ...

    def finish(self, model: Any) -> None:
        """Change a trained model, in place, into what is published."""
        ...

    def decode(
        self, examples: Sequence[Example], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[Prediction]:
        """One prediction for each example."""
        ...

    def majority(self, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
        """What a guess that looks at the training labels alone says of each example."""
        ...

    def score(
        self, examples: Sequence[Example], predictions: Sequence[Prediction], names: Sequence[str]
    ) -> dict[str, float]:
        """The named metrics."""
        ...

    def show(self, example: Example, prediction: Prediction) -> dict[str, Any]:
        """An example's prediction beside what was expected, for the predictions file.

        `input` is the example as a person reads it; `expected`, `prediction` and `detail` are what
        JSON holds, `detail` None if there is no more to say; `score` is a float, higher is better.
        For an example whose label is kept back, `expected` and `score` mean nothing.
        """
        ...


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around texts.

    `before` a `between` b `after`: [CLS] a [SEP] b [SEP] for BERT and its like, <s> a </s></s> b
    </s> for RoBERTa.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    has_segments: bool
    """Whether the model is told which tokens are of the second text."""


def frame(tokenizer: Any) -> Frame:
    """What the tokenizer itself puts around a pair. Raises ValueError if that is nothing."""
    encoded = tokenizer("a", "a")  # whatever the texts
    ids, texts = encoded["input_ids"], encoded.sequence_ids(0)
    first = [position for position, text in enumerate(texts) if text == 0]
    second = [position for position, text in enumerate(texts) if text == 1]
    if not (first and second and first[0] > 0 and second[-1] + 1 < len(ids)):
        raise ValueError(
            f"{tokenizer.name_or_path}: the tokenizer puts no [CLS] and [SEP] around a text; give "
            "an encoder's"
        )
    return Frame(
        before=tuple(ids[: first[0]]),
        between=tuple(ids[first[-1] + 1 : second[0]]),
        after=tuple(ids[second[-1] + 1 :]),
        has_segments=names_segments(tokenizer) and encoded.encodings[0].type_ids[second[0]] == 1,
    )


def names_segments(tokenizer: Any) -> bool:
    """Whether the tokenizer gives its model token types; RoBERTa's and DistilBERT's do not."""
    return "token_type_ids" in tokenizer.model_input_names


def output_layer(model: Any) -> torch.nn.Linear:
    """The linear layer that gives a model's logits: the last one that its head has."""
    *_, last = (each for each in model.modules() if isinstance(each, torch.nn.Linear))
    return last


def shortened(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[str]:
    """Texts without what lies far beyond an input of `max_length` tokens, which are as they were.

    tokenizers makes a list of all that it cuts off, for pairs of each piece with each: truncating
    two texts of 100,000 characters takes minutes and gigabytes. What is left here is still too long
    where the text was, so that it is counted as truncated.
    """
    kept = list(texts)
    long = [i for i, text in enumerate(texts) if len(text) > 4 * max_length]
    if not long:
        return kept
    encoded = tokenizer(
        [texts[i] for i in long],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # it would warn of what this is for
    )
    for i, offsets in zip(long, encoded["offset_mapping"], strict=True):
        if len(offsets) > 2 * max_length:
            kept[i] = texts[i][: offsets[2 * max_length][0]]
    return kept


def num_cut(texts: Sequence[str], kept: Iterable[Sequence[tuple[int, int]]]) -> int:
    """How many characters of `texts` are in no token; `kept` are the offsets of those left."""
    num_kept = sum(stop - start for offsets in kept for start, stop in offsets)
    return max(0, sum(map(count_characters, texts)) - num_kept)


def num_unknown(features: Sequence[Feature], tokenizer: Any) -> int:
    """How many examples have nothing but unknown tokens: a model can learn nothing from them."""
    if not features:
        return 0
    special = np.array([*tokenizer.all_special_ids, NO_TOKEN])  # the unknown token is one of them
    ids = [feature.input_ids.ravel() for feature in features]
    starts = np.cumsum([0, *(len(each) for each in ids[:-1])])
    is_known = np.isin(np.concatenate(ids), special, invert=True)
    origins = np.array([feature.origin for feature in features])
    known = origins[np.logical_or.reduceat(is_known, starts)]
    return len(set(origins.tolist()) - set(known.tolist()))


def collate(features: Sequence[Feature], pad_id: int) -> tuple[dict[str, Tensor], Tensor]:
    """Model inputs (batch, length) padded to the longest feature, and targets padded likewise.

    Token types are left out where all are 0: models fill these in, and some take none. Features of
    choices give (batch, choices, length), padded to the largest number of choices.
    """
    if features[0].input_ids.ndim == 2:
        return _collate_choices(features, pad_id)
    length = max(len(feature.input_ids) for feature in features)
    input_ids = np.full((len(features), length), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(features), length), dtype=np.int64)
    token_type_ids = np.zeros((len(features), length), dtype=np.int64)
    for row, feature in enumerate(features):
        size = len(feature.input_ids)
        input_ids[row, :size] = feature.input_ids
        attention_mask[row, :size] = 1
        token_type_ids[row, feature.second : size] = 1
    targets = [feature.target for feature in features]
    if targets[0].ndim == 1:  # tags: one for each token
        width = max(len(target) for target in targets)
        targets = [
            np.pad(target, (0, width - len(target)), constant_values=IGNORED) for target in targets
        ]
    inputs = {
        "input_ids": torch.from_numpy(input_ids),
        "attention_mask": torch.from_numpy(attention_mask),
    }
    if token_type_ids.any():
        inputs["token_type_ids"] = torch.from_numpy(token_type_ids)
    return inputs, torch.from_numpy(np.stack(targets))


def _collate_choices(features: Sequence[Feature], pad_id: int) -> tuple[dict[str, Tensor], Tensor]:
    length, num_choices = np.max([feature.input_ids.shape for feature in features], axis=0)
    input_ids = np.full((len(features), num_choices, length), NO_TOKEN, dtype=np.int64)
    token_type_ids = np.zeros_like(input_ids)
    for row, feature in enumerate(features):
        size, own = feature.input_ids.shape
        input_ids[row, :own, :size] = feature.input_ids.T
        token_type_ids[row, :, feature.second :] = 1
    is_token = input_ids != NO_TOKEN
    is_token[:, :, 0] = True  # a choice of padding alone attends to itself: nothing is undefined
    inputs = {
        "input_ids": torch.from_numpy(np.where(input_ids == NO_TOKEN, pad_id, input_ids)),
        "attention_mask": torch.from_numpy(is_token.astype(np.int64)),
    }
    if token_type_ids.any():  # some models take none
        inputs["token_type_ids"] = torch.from_numpy(token_type_ids * is_token)
    return inputs, torch.from_numpy(np.stack([feature.target for feature in features]))


def training_batches(
    lengths: Sequence[int], batch_examples: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Positions of each batch of one epoch: a pure function of its arguments.

    Each epoch has its own random order; within pools of it, features of like length go together.
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
    """Positions of each batch, shortest features first."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_examples):
        yield order[start : start + batch_examples]
