"""Sentences whose words have a tag each: chunks, names, parts of speech."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
import transformers
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import IGNORED, Encoded, Feature, Frame, frame
from electra_pipeline.tasks.kinds.metrics import tagging_scores


@dataclass(frozen=True, slots=True)
class TaggedExample:
    """The words of a sentence and the tag of each."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def content(self) -> str:
        """What must not be on both sides of a split."""
        return "\t".join(self.words)


@dataclass(frozen=True)
class Tagging:
    """Which of `labels` each word has; the first sub-token of a word speaks for it.

    A sentence that is longer than the model's input becomes several features, so that every word is
    trained on and predicted; the published code cuts it.
    """

    labels: tuple[str, ...]

    @property
    def head(self) -> Mapping[str, Any]:
        return {
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
        }

    def build(self, config: Any) -> Any:
        return transformers.AutoModelForTokenClassification.from_config(config)

    def encode(
        self, tokenizer: Any, examples: Sequence[TaggedExample], max_length: int, *, training: bool
    ) -> Encoded:
        if not examples:
            return Encoded([])
        encoded = tokenizer(
            [list(example.words) for example in examples],
            is_split_into_words=True,
            add_special_tokens=False,
            verbose=False,  # it would warn of sentences that are too long: they are windowed
        )
        index = {label: number for number, label in enumerate(self.labels)}
        special = frame(tokenizer)
        capacity = max_length - len(special.before) - len(special.after)
        features = []
        for origin, example in enumerate(examples):
            pieces: list[list[int]] = [[] for _ in example.words]
            ids = encoded["input_ids"][origin]
            for token, word in zip(ids, encoded.word_ids(origin), strict=True):
                pieces[word].append(token)
            # A word of characters that the tokenizer removes has no sub-token, and yet has a tag.
            pieces = [piece[:capacity] or [tokenizer.unk_token_id] for piece in pieces]
            tags = [index.get(tag, IGNORED) for tag in example.tags]  # scoring may meet new tags
            for window in _windows(pieces, capacity):
                features.append(_feature(pieces, tags, window, origin, special))
        return Encoded(features)

    def logits(self, output: Any) -> Tensor:
        logits: Tensor = output.logits
        return logits

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED
        )
        return losses, (targets != IGNORED).sum()

    def finish(self, model: Any) -> None:
        pass

    def decode(
        self, examples: Sequence[TaggedExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[list[str]]:
        return [
            [self.labels[best] for best in np.argmax(rows, axis=-1)]
            for rows in self.word_logits(examples, features, logits)
        ]

    def word_logits(
        self, examples: Sequence[TaggedExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[NDArray[np.float32]]:
        """The logits (words, labels) of each example's words: those of a word's first sub-token."""
        found = [
            np.zeros((len(example.words), len(self.labels)), dtype=np.float32)
            for example in examples
        ]
        for feature, scores in zip(features, logits, strict=True):
            assert feature.places is not None
            is_first = feature.places >= 0
            found[feature.origin][feature.places[is_first]] = scores[is_first]
        return found

    def majority(
        self, train: Sequence[TaggedExample], examples: Sequence[TaggedExample]
    ) -> list[list[str]]:
        counts = Counter(tag for example in train for tag in example.tags)
        most = max(self.labels, key=lambda label: counts[label])
        return [[most] * len(example.words) for example in examples]

    def score(
        self,
        examples: Sequence[TaggedExample],
        predictions: Sequence[Sequence[str]],
        names: Sequence[str],
    ) -> dict[str, float]:
        return tagging_scores([example.tags for example in examples], predictions, names)

    def show(self, example: TaggedExample, prediction: Sequence[str]) -> dict[str, Any]:
        right = sum(tag == guess for tag, guess in zip(example.tags, prediction, strict=True))
        return {
            "input": " ".join(example.words),
            "expected": list(example.tags),
            "prediction": list(prediction),
            "score": right / len(example.words),
            "detail": None,
        }


def _windows(pieces: Sequence[Sequence[int]], capacity: int) -> list[range]:
    """Consecutive words whose sub-tokens fit into `capacity`; every word is in one window."""
    windows, start, used = [], 0, 0
    for word, piece in enumerate(pieces):
        if used + len(piece) > capacity:
            windows.append(range(start, word))
            start, used = word, 0
        used += len(piece)
    return [*windows, range(start, len(pieces))]


def _feature(
    pieces: Sequence[Sequence[int]],
    tags: Sequence[int],
    window: range,
    origin: int,
    special: Frame,
) -> Feature:
    ids = list(special.before)
    targets, places = [IGNORED] * len(ids), [-1] * len(ids)
    for word in window:
        rest = len(pieces[word]) - 1
        ids += pieces[word]
        targets += [tags[word]] + [IGNORED] * rest
        places += [word] + [-1] * rest
    end = [-1] * len(special.after)
    return Feature(
        input_ids=np.asarray([*ids, *special.after], dtype=np.int32),
        second=len(ids) + len(end),
        target=np.asarray([*targets, *(IGNORED for _ in end)], dtype=np.int64),
        origin=origin,
        places=np.asarray([*places, *end], dtype=np.int32),
    )
