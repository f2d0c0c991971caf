"""What each kind of model says about a batch of inputs, as plain JSON values.

A head takes a `Loaded` model and examples and returns one dict for each. Offsets count characters
of the text; probabilities lie between 0 and 1. An input longer than the model reads is cut, and
its answer says `"truncated": true`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, model_validator
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from electra_pipeline.identity import Config

NUM_CANDIDATES = 5  # fills of a mask: the default of transformers' fill-mask pipeline


class Text(Config):
    """One text."""

    text: str

    @classmethod
    def from_line(cls, line: str) -> "Text":
        """The line as it stands."""
        return cls(text=line)


class TextOrPair(Text):
    """One text, or two that belong together."""

    text_pair: str | None = None

    @classmethod
    def from_line(cls, line: str) -> "TextOrPair":
        """A line with one TAB is a pair."""
        text, *pair = line.split("\t")
        return cls(text=text, text_pair=pair[0]) if len(pair) == 1 else cls(text=line)


class TextOrWords(Config):
    """A text, or the words that it was already split into."""

    text: str | None = None
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_one(self) -> "TextOrWords":
        if (self.text is None) == (not self.words):
            raise ValueError("give either text or words")
        return self

    @classmethod
    def from_line(cls, line: str) -> "TextOrWords":
        """The line as it stands."""
        return cls(text=line)


class TextWithChoices(Config):
    """A text, and what may complete it."""

    text: str
    choices: tuple[str, ...] = Field(min_length=2)

    @classmethod
    def from_line(cls, line: str) -> "TextWithChoices":
        """A line holds the text and its choices, with TABs between them."""
        text, *choices = line.split("\t")
        if len(choices) < 2:
            raise ValueError(
                'needs a text and its choices: {"text": ..., "choices": [..., ...]}, '
                "or all of them with TABs between them"
            )
        return cls(text=text, choices=tuple(choices))


class Question(Config):
    """A question and the text that answers it, or does not."""

    question: str = Field(min_length=1)
    context: str = Field(min_length=1)

    @classmethod
    def from_line(cls, line: str) -> "Question":
        """A line holds question and context, with a TAB between them."""
        question, tab, context = line.partition("\t")
        if not tab:
            raise ValueError(
                'needs a question and a context: {"question": ..., "context": ...}, '
                "or both with a TAB between them"
            )
        return cls(question=question, context=context)


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with its tokenizer; `max_length` in tokens is what both allow."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def encode(self, *texts: Any, **options: Any) -> BatchEncoding:
        """Tokenize a batch, padded and cut to `max_length`."""
        encoded: BatchEncoding = self.tokenizer(
            *texts,
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
            **options,
        )
        return encoded

    @torch.inference_mode()
    def forward(self, encoded: Mapping[str, Tensor]) -> Any:
        """The model's output for a batch, whatever else (offsets) the encoding holds."""
        names = set(self.tokenizer.model_input_names)
        inputs = {
            name: value.to(self.model.device) for name, value in encoded.items() if name in names
        }
        return self.model(**inputs)


def replaced_tokens(loaded: Loaded, examples: Sequence[Text]) -> list[dict[str, Any]]:
    """For each token, how likely it is that it was put in the place of another."""
    encoded = loaded.encode([example.text for example in examples])
    probabilities = torch.sigmoid(loaded.forward(encoded).logits.float()).tolist()
    results = []
    for example, encoding, row in zip(examples, encoded.encodings, probabilities, strict=True):
        tokens = [
            {
                "token": token,
                "start": start,
                "end": end,
                "replaced": probability > 0.5,
                "probability": _rounded(probability),
            }
            for token, (start, end), special, probability in zip(
                encoding.tokens, encoding.offsets, encoding.special_tokens_mask, row, strict=True
            )
            if not special
        ]
        results.append(_answer({"text": example.text, "tokens": tokens}, encoding))
    return results


def check_mask(loaded: Loaded, example: Text) -> None:
    """Raises ValueError if a text has nothing to fill in."""
    if loaded.tokenizer.mask_token not in example.text:
        raise ValueError(
            f"nothing to fill in {example.text[:60]!r}; write {loaded.tokenizer.mask_token} in the "
            "place of each token to be guessed"
        )


def filled_masks(loaded: Loaded, examples: Sequence[Text]) -> list[dict[str, Any]]:
    """For each [MASK] of a text, the likeliest tokens; each mask is filled on its own."""
    tokenizer = loaded.tokenizer
    encoded = loaded.encode([example.text for example in examples])
    logits = loaded.forward(encoded).logits.float().cpu()
    results = []
    for example, encoding, row in zip(examples, encoded.encodings, logits, strict=True):
        places = [
            i for i, token_id in enumerate(encoding.ids) if token_id == tokenizer.mask_token_id
        ]
        best = torch.softmax(row[places], dim=-1).topk(min(NUM_CANDIDATES, row.shape[-1]))
        masks = [
            {
                "start": encoding.offsets[place][0],
                "end": encoding.offsets[place][1],
                "candidates": [
                    {"token": token, "probability": _rounded(probability)}
                    for token, probability in zip(
                        tokenizer.convert_ids_to_tokens(ids), probabilities, strict=True
                    )
                ],
            }
            for place, probabilities, ids in zip(
                places, best.values.tolist(), best.indices.tolist(), strict=True
            )
        ]
        results.append(_answer({"text": example.text, "masks": masks}, encoding))
    return results


def classes(loaded: Loaded, examples: Sequence[TextOrPair]) -> list[dict[str, Any]]:
    """The class of each text, or its number where the model is a regression."""
    encoded = loaded.encode(
        [
            example.text if example.text_pair is None else (example.text, example.text_pair)
            for example in examples
        ]
    )
    logits = loaded.forward(encoded).logits.float().cpu()
    results = []
    for example, encoding, row in zip(examples, encoded.encodings, logits, strict=True):
        answer = example.model_dump(exclude_none=True) | _verdict(loaded.model.config, row)
        results.append(_answer(answer, encoding))
    return results


def _verdict(config: Any, logits: Tensor) -> dict[str, Any]:
    if config.problem_type == "regression" or len(logits) == 1:
        values = [_rounded(value) for value in logits.tolist()]
        return {"value": values[0]} if len(values) == 1 else {"values": values}
    several = config.problem_type == "multi_label_classification"
    probabilities = (torch.sigmoid(logits) if several else torch.softmax(logits, dim=-1)).tolist()
    scores = {config.id2label[i]: _rounded(value) for i, value in enumerate(probabilities)}
    if several:
        return {"labels": [label for label, p in scores.items() if p > 0.5], "scores": scores}
    label = config.id2label[int(logits.argmax())]
    return {"label": label, "score": scores[label], "scores": scores}


def chosen(loaded: Loaded, examples: Sequence[TextWithChoices]) -> list[dict[str, Any]]:
    """Which of its choices completes each text, and how likely each of them is."""
    results = []
    for example in examples:  # one at a time: they may have different numbers of choices
        encoded = loaded.encode([(example.text, choice) for choice in example.choices])
        batch = {name: value.unsqueeze(0) for name, value in encoded.items()}
        scores = torch.softmax(loaded.forward(batch).logits[0].float(), dim=-1).tolist()
        best = max(range(len(scores)), key=scores.__getitem__)
        answer = example.model_dump() | {
            "choice": best,
            "score": _rounded(scores[best]),
            "scores": [_rounded(score) for score in scores],
        }
        is_cut = any(encoding.overflowing for encoding in encoded.encodings)
        results.append(answer | ({"truncated": True} if is_cut else {}))
    return results


def tagged_words(loaded: Loaded, examples: Sequence[TextOrWords]) -> list[dict[str, Any]]:
    """The tag of each word, which is that of its first piece, and the entities that tags spell.

    Words are those given, or what the tokenizer splits before it makes pieces (white space and, for
    BERT's, punctuation). Entities are read from B-/I-/E-/S- tags as seqeval does.
    """
    results: list[dict[str, Any]] = []
    for example in examples:  # one at a time: given words and texts take different calls
        words = list(example.words)
        encoded = loaded.encode(
            [words or example.text], is_split_into_words=bool(words), return_offsets_mapping=True
        )
        encoding = encoded.encodings[0]
        probabilities = torch.softmax(loaded.forward(encoded).logits[0].float(), dim=-1).cpu()
        text = example.text if example.text is not None else " ".join(words)
        spans = _word_spans(encoding, words)
        tagged = []
        for word, (piece, start, end) in sorted(spans.items()):
            tag = int(probabilities[piece].argmax())
            tagged.append(
                {
                    "word": words[word] if words else text[start:end],
                    "start": start,
                    "end": end,
                    "label": loaded.model.config.id2label[tag],
                    "score": _rounded(float(probabilities[piece, tag])),
                }
            )
        answer: dict[str, Any] = {"text": text, "words": tagged}
        if _spells_entities(loaded.model.config.id2label):
            answer["entities"] = _entities(text, tagged)
        results.append(_answer(answer, encoding))
    return results


def _word_spans(encoding: Any, words: Sequence[str]) -> dict[int, tuple[int, int, int]]:
    """Word -> (its first piece, start, end); given words count as joined by single spaces."""
    spans: dict[int, tuple[int, int, int]] = {}
    for piece, (word, (start, end)) in enumerate(
        zip(encoding.word_ids, encoding.offsets, strict=True)
    ):
        if word is not None:
            first, begin, _ = spans.get(word, (piece, start, end))
            spans[word] = (first, begin, end)
    if not words:
        return spans
    starts = [0]
    for text in words:
        starts.append(starts[-1] + len(text) + 1)
    return {
        word: (piece, starts[word], starts[word] + len(words[word]))
        for word, (piece, _, _) in spans.items()
    }


def _spells_entities(labels: Mapping[int, str]) -> bool:
    return all(label == "O" or label[:2] in ("B-", "I-", "E-", "S-") for label in labels.values())


def _entities(text: str, tagged: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for kind, first, last in get_entities([word["label"] for word in tagged]):
        start, end = tagged[first]["start"], tagged[last]["end"]
        found.append({"type": kind, "text": text[start:end], "start": start, "end": end})
    return found


def _answer(result: dict[str, Any], encoding: Any) -> dict[str, Any]:
    return result | {"truncated": True} if encoding.overflowing else result


def _rounded(value: float) -> float:
    return round(value, 6)
