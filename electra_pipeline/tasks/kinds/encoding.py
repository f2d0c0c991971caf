"""Tokenization that the kinds of task share: special tokens, truncation, unknown tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electra_pipeline.tasks.kinds.kind import NO_TOKEN, Feature
from electra_pipeline.text.words import count_characters


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens around a pair of texts.

    `before` a `between` b `after`: [CLS] a [SEP] b [SEP] for BERT and its like, <s> a </s></s> b
    </s> for RoBERTa.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    has_segments: bool
    """Whether token types distinguish the second text from the first."""


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """Return the special tokens that the tokenizer adds. Raise ValueError if it adds none."""
    encoded = tokenizer("a", "a")  # any texts
    ids, texts = encoded["input_ids"], encoded.sequence_ids(0)
    first = [position for position, text in enumerate(texts) if text == 0]
    second = [position for position, text in enumerate(texts) if text == 1]
    if not (first and second and first[0] > 0 and second[-1] + 1 < len(ids)):
        raise ValueError(
            f"{tokenizer.name_or_path}: the tokenizer puts no [CLS] and [SEP] around a text; give "
            "an encoder's"
        )
    return SpecialTokens(
        before=tuple(ids[: first[0]]),
        between=tuple(ids[first[-1] + 1 : second[0]]),
        after=tuple(ids[second[-1] + 1 :]),
        has_segments=has_token_types(tokenizer) and encoded.encodings[0].type_ids[second[0]] == 1,
    )


def has_token_types(tokenizer: Any) -> bool:
    """Return whether the model takes token types; RoBERTa and DistilBERT do not."""
    return "token_type_ids" in tokenizer.model_input_names


def pre_truncate(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[str]:
    """Return texts cut to twice `max_length` tokens, which changes none of the first `max_length`.

    tokenizers builds a list of all parts that it cuts off, for pairs of every part with every
    other: truncating two texts of 100,000 characters takes minutes and gigabytes. A text that was
    too long still is, so that it is counted as truncated.
    """
    kept = list(texts)
    long = [i for i, text in enumerate(texts) if len(text) > 4 * max_length]
    if not long:
        return kept
    encoded = tokenizer(
        [texts[i] for i in long],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # it would warn of long texts
    )
    for i, offsets in zip(long, encoded["offset_mapping"], strict=True):
        if len(offsets) > 2 * max_length:
            kept[i] = texts[i][: offsets[2 * max_length][0]]
    return kept


def num_characters_cut(texts: Sequence[str], kept: Iterable[Sequence[tuple[int, int]]]) -> int:
    """Return how many characters of `texts` are in no token; `kept` has the tokens' offsets."""
    num_kept = sum(stop - start for offsets in kept for start, stop in offsets)
    return max(0, sum(map(count_characters, texts)) - num_kept)


def num_unknown(features: Sequence[Feature], tokenizer: Any) -> int:
    """Return how many examples have only unknown tokens: a model can learn nothing from them."""
    if not features:
        return 0
    special = np.array([*tokenizer.all_special_ids, NO_TOKEN])  # the unknown token is one of them
    ids = [feature.input_ids.ravel() for feature in features]
    starts = np.cumsum([0, *(len(each) for each in ids[:-1])])
    is_known = np.isin(np.concatenate(ids), special, invert=True)
    examples = np.array([feature.example for feature in features])
    known = examples[np.logical_or.reduceat(is_known, starts)]
    return len(set(examples.tolist()) - set(known.tolist()))
