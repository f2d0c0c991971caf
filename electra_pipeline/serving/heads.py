"""The output of each kind of model for a batch of inputs, as plain JSON values.

A head takes a `Loaded` model and examples and returns one dict for each. Offsets count characters
of the text; probabilities lie between 0 and 1, rounded to six places. Heads of tasks encode and
decode with `tasks/kinds`, as scoring does. An input that was cut to the model's length has
`"truncated": true`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from seqeval.metrics.sequence_labeling import get_entities

from electra_pipeline.serving.examples import (
    Question,
    Text,
    TextOrPair,
    TextOrWords,
    TextWithChoices,
)
from electra_pipeline.serving.loaded import Loaded
from electra_pipeline.tasks.kinds.chunks import are_chunks, conll_tag
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample
from electra_pipeline.tasks.kinds.question_answering import Answer, QuestionExample
from electra_pipeline.tasks.kinds.spans import with_probabilities
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging
from electra_pipeline.tasks.kinds.text_classification import Regression, TextExample

NUM_CANDIDATES = 5  # fills of a mask: the default of transformers' fill-mask pipeline
NUM_ANSWERS = 3  # of an n-best list, what is shown


def replaced_tokens(loaded: Loaded, examples: Sequence[Text]) -> list[dict[str, Any]]:
    """For each token, how likely it is that it was put in the place of another."""
    encoded = loaded.encode([example.text for example in examples])
    probabilities = torch.sigmoid(loaded.forward(encoded)).tolist()
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
        answer = {"text": example.text, "tokens": tokens}
        results.append(_result(answer, bool(encoding.overflowing)))
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
    results = []
    for example, encoding, row in zip(
        examples, encoded.encodings, loaded.forward(encoded), strict=True
    ):
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
        results.append(_result({"text": example.text, "masks": masks}, bool(encoding.overflowing)))
    return results


def check_pair(loaded: Loaded, example: TextOrPair) -> None:
    """Raises ValueError for one text where the model was trained on pairs, and the reverse."""
    wanted = loaded.settings and loaded.settings.pairs
    if wanted is True and example.text_pair is None:
        raise ValueError(
            'the model was trained on pairs of texts; give {"text": ..., "text_pair": ...}, or '
            "both with a TAB between them"
        )
    if wanted is False and example.text_pair is not None:
        raise ValueError(
            'the model was trained on single texts; give {"text": ...}, with a TAB in it as \\t'
        )


def classes(loaded: Loaded, examples: Sequence[TextOrPair]) -> list[dict[str, Any]]:
    """The class of each text, or its number where the model is a regression."""
    singles = [i for i, example in enumerate(examples) if example.text_pair is None]
    pairs = [i for i, example in enumerate(examples) if example.text_pair is not None]
    results: dict[int, dict[str, Any]] = {}
    for positions in filter(None, (singles, pairs)):  # a tokenizer's call takes either
        given = [
            TextExample("", examples[i].text, examples[i].text_pair, label=None) for i in positions
        ]
        encoded, logits = loaded.ask(given)
        for number, (i, row) in enumerate(zip(positions, logits, strict=True)):
            answer = examples[i].model_dump(exclude_none=True) | _verdict(loaded, row)
            results[i] = _result(answer, number in encoded.truncated)
    return [results[i] for i in range(len(examples))]


def _verdict(loaded: Loaded, logits: NDArray[np.float32]) -> dict[str, Any]:
    """A class or number from logits (labels,)."""
    config = loaded.model.config
    if isinstance(loaded.kind, Regression):
        values = [float(value) for value in logits]  # not rounded: any unit may be small
        return {"value": values[0]} if len(values) == 1 else {"values": values}
    several = config.problem_type == "multi_label_classification"
    probabilities = (expit(logits) if several else softmax(logits)).tolist()
    scores = {config.id2label[i]: _rounded(value) for i, value in enumerate(probabilities)}
    if several:
        return {"labels": [label for label, p in scores.items() if p > 0.5], "scores": scores}
    label = config.id2label[int(np.argmax(logits))]
    return {"label": label, "score": scores[label], "scores": scores}


def chosen(loaded: Loaded, examples: Sequence[TextWithChoices]) -> list[dict[str, Any]]:
    """Which of its choices completes each text, and how likely each of them is."""
    given = [ChoiceExample("", example.text, example.choices, gold=None) for example in examples]
    encoded, choices = loaded.decoded(given)
    results = []
    for number, (example, choice) in enumerate(zip(examples, choices, strict=True)):
        scores = [_rounded(share) for share in choice.probabilities]
        answer = {"choice": choice.index, "score": scores[choice.index], "scores": scores}
        results.append(_result(example.model_dump() | answer, number in encoded.truncated))
    return results


def tagged_words(loaded: Loaded, examples: Sequence[TextOrWords]) -> list[dict[str, Any]]:
    """The tag of each word, and the entities that tags spell.

    Words are those given, every one of them, or what the tokenizer splits a text into before it
    makes tokens (at white space and, for BERT's, punctuation). A word that has no token is read as
    the unknown one. Entities are read from B-/I-/E-/S- tags as seqeval does.
    """
    assert isinstance(loaded.kind, Tagging)
    labels = loaded.kind.labels
    places = [_word_places(loaded, example) for example in examples]
    given = [
        TaggedExample("", tuple(word for word, _, _ in words), ("",) * len(words))
        for words in places
    ]
    encoded, logits = loaded.ask(given)
    rows = loaded.kind.word_logits(given, encoded.features, logits)
    results: list[dict[str, Any]] = []
    for example, words, row in zip(examples, places, rows, strict=True):
        probabilities = softmax(row, axis=-1)
        tagged = [
            {
                "word": word,
                "start": start,
                "end": end,
                "label": labels[best],
                "score": _rounded(float(shares[best])),
            }
            for (word, start, end), shares, best in zip(
                words, probabilities, row.argmax(axis=-1), strict=True
            )
        ]
        text = example.text if example.text is not None else " ".join(example.words)
        answer: dict[str, Any] = {"text": text, "words": tagged}
        if are_chunks(labels):
            answer["entities"] = _entities(text, tagged)
        results.append(answer)
    return results


def _word_places(loaded: Loaded, example: TextOrWords) -> list[tuple[str, int, int]]:
    """Each word with its start and end; given words count as joined by single spaces."""
    found = []
    if example.text is None:
        start = 0
        for word in example.words:
            found.append((word, start, start + len(word)))
            start += len(word) + 1
        return found
    [encoding] = loaded.tokenizer(
        [example.text], add_special_tokens=False, verbose=False
    ).encodings  # not cut: a long text is windowed
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        spans[word] = (spans.get(word, (start, end))[0], end)
    for start, end in spans.values():
        given = example.text[start:end]
        start += len(given) - len(given.lstrip())  # byte-level tokens begin with their space
        found.append((given.strip(), start, start + len(given.strip())))
    return found


def _entities(text: str, tagged: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for kind, first, last in get_entities([conll_tag(word["label"]) for word in tagged]):
        start, end = tagged[first]["start"], tagged[last]["end"]
        found.append({"type": kind, "text": text[start:end], "start": start, "end": end})
    return found


def answers(loaded: Loaded, examples: Sequence[Question]) -> list[dict[str, Any]]:
    """The answer to each question as a span of its context; `""` where there is none.

    Only models that were trained on unanswerable questions give none, where `null_margin`, by how
    much "no answer" is ahead after the threshold of the fine-tuning, is positive.
    """
    given = [
        QuestionExample("", each.question, each.context, answers=(), start=-1) for each in examples
    ]
    encoded, predictions = loaded.decoded(given)
    return [
        _result(example.model_dump() | _answer(prediction), number in encoded.truncated)
        for number, (example, prediction) in enumerate(zip(examples, predictions, strict=True))
    ]


def _answer(prediction: Answer) -> dict[str, Any]:
    """What is answered, with its probability in the n-best list, and what else was likely."""
    shares = with_probabilities(prediction.best)
    spans = [
        {
            "answer": span.text,
            "start": span.begin,
            "end": span.end,
            "score": _rounded(share["probability"]),
        }
        for span, share in zip(prediction.best, shares, strict=True)
    ]
    nothing = {"answer": "", "start": 0, "end": 0, "score": 0.0}  # a context without a token
    given = next((span for span in spans if span["answer"] == prediction.final), nothing)
    result = dict(given)
    if np.isfinite(prediction.null_margin):
        result["null_margin"] = prediction.null_margin
    result["alternatives"] = [span for span in spans if span is not given][: NUM_ANSWERS - 1]
    return result


def _result(answer: dict[str, Any], is_cut: bool) -> dict[str, Any]:
    return answer | {"truncated": True} if is_cut else answer


def _rounded(value: float) -> float:
    return round(value, 6)
