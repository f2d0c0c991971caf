"""Tagging of words: chunks, named entities, parts of speech."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from scipy.special import softmax
from torch import Tensor

from electra_pipeline.tasks.kinds.encoding import SpecialTokens, special_tokens
from electra_pipeline.tasks.kinds.kind import IGNORED, Encoded, Feature, TaskKind, label_fields


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


@dataclass(frozen=True, slots=True)
class TagsPrediction:
    """The likeliest tag of each word of a sentence, and its probability."""

    tags: tuple[str, ...]
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tagging(TaskKind[TaggedExample, TagsPrediction]):
    """One of `labels` for each word, predicted at the word's first token.

    A sentence that is longer than the model's input becomes several features, so that every word is
    trained on and predicted; the published code cuts it.
    """

    name = "tagging"
    auto_class = "AutoModelForTokenClassification"

    labels: tuple[str, ...]

    @property
    def head(self) -> Mapping[str, Any]:
        return label_fields(self.labels)

    def encode(
        self, tokenizer: Any, examples: Sequence[TaggedExample], max_length: int, *, training: bool
    ) -> Encoded:
        if not examples:
            return Encoded([])
        encoded = tokenizer(
            [list(example.words) for example in examples],
            is_split_into_words=True,
            add_special_tokens=False,
            verbose=False,  # it would warn of long sentences, which are windowed
        )
        index = {label: number for number, label in enumerate(self.labels)}
        special = special_tokens(tokenizer)
        capacity = max_length - len(special.before) - len(special.after)
        features = []
        for position, example in enumerate(examples):
            words: list[list[int]] = [[] for _ in example.words]
            ids = encoded["input_ids"][position]
            for token, word in zip(ids, encoded.word_ids(position), strict=True):
                words[word].append(token)
            # A word of characters that the tokenizer removes has no token, and yet has a tag.
            words = [tokens[:capacity] or [tokenizer.unk_token_id] for tokens in words]
            tags = [index.get(tag, IGNORED) for tag in example.tags]  # train may lack some tags
            for window in _windows(words, capacity):
                features.append(_feature(words, tags, window, position, special))
        return Encoded(features)

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED
        )
        return losses, (targets != IGNORED).sum()

    def decode(
        self, examples: Sequence[TaggedExample], features: Sequence[Feature], logits: Sequence[Any]
    ) -> list[TagsPrediction]:
        words = [
            np.zeros((len(example.words), len(self.labels)), dtype=np.float32)
            for example in examples
        ]
        for feature, scores in zip(features, logits, strict=True):
            assert feature.alignment is not None
            is_first = feature.alignment >= 0
            words[feature.example][feature.alignment[is_first]] = scores[is_first]
        found = []
        for scores in words:
            best = np.argmax(scores, axis=-1)
            probabilities = softmax(scores, axis=-1)[np.arange(len(best)), best]
            tags = tuple(self.labels[index] for index in best)
            found.append(TagsPrediction(tags, tuple(probabilities.tolist())))
        return found

    def majority(
        self, train: Sequence[TaggedExample], examples: Sequence[TaggedExample]
    ) -> list[TagsPrediction]:
        counts = Counter(tag for example in train for tag in example.tags)
        most = max(self.labels, key=lambda label: counts[label])
        return [TagsPrediction((most,) * len(example.words)) for example in examples]

    def row(self, example: TaggedExample, prediction: TagsPrediction) -> dict[str, Any]:
        right = sum(tag == guess for tag, guess in zip(example.tags, prediction.tags, strict=True))
        return {
            "input": " ".join(example.words),
            "expected": list(example.tags),
            "prediction": list(prediction.tags),
            "score": right / len(example.words),
            "detail": None,
        }


def _windows(words: Sequence[Sequence[int]], capacity: int) -> list[range]:
    """Return windows of words whose tokens fit into `capacity`; every word is in one window."""
    windows, start, used = [], 0, 0
    for word, tokens in enumerate(words):
        if used + len(tokens) > capacity:
            windows.append(range(start, word))
            start, used = word, 0
        used += len(tokens)
    return [*windows, range(start, len(words))]


def _feature(
    words: Sequence[Sequence[int]],
    tags: Sequence[int],
    window: range,
    example: int,
    special: SpecialTokens,
) -> Feature:
    ids = list(special.before)
    targets, alignment = [IGNORED] * len(ids), [-1] * len(ids)
    for word in window:
        rest = len(words[word]) - 1
        ids += words[word]
        targets += [tags[word]] + [IGNORED] * rest
        alignment += [word] + [-1] * rest
    ids += special.after
    targets += [IGNORED] * len(special.after)
    alignment += [-1] * len(special.after)
    return Feature(
        input_ids=np.asarray(ids, dtype=np.int32),
        segment_b=len(ids),
        target=np.asarray(targets, dtype=np.int64),
        example=example,
        alignment=np.asarray(alignment, dtype=np.int32),
    )
