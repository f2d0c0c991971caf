"""The predictions of each kind of model for a batch of inputs, as JSON values.

A function takes a `Loaded` model and inputs and returns one dict for each input. Offsets count
characters of the text; probabilities are between 0 and 1, rounded to six places. Tasks are encoded
and decoded by `tasks/kinds`, as in scoring. An input that was cut to the model's length has
`"truncated": true`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from electra_pipeline.core.identity import Config
from electra_pipeline.serving.inputs import Question, Text, TextOrPair, TextOrWords, TextWithChoices
from electra_pipeline.serving.loaded import Loaded
from electra_pipeline.tasks.kinds.chunks import are_chunks, chunks
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample, ChoicePrediction
from electra_pipeline.tasks.kinds.question_answering import AnswerPrediction, QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging
from electra_pipeline.tasks.kinds.text_classification import (
    Classification,
    LabelsPrediction,
    TextExample,
)

NUM_CANDIDATES = 5  # fills of a mask: the default of transformers' fill-mask pipeline
NUM_ANSWERS = 3  # of the n-best list, in the output


def replaced_tokens(loaded: Loaded, examples: Sequence[Text]) -> list[dict[str, Any]]:
    """Return for each token the probability that it replaces another one."""
    encodings, logits = loaded.logits([example.text for example in examples])
    results = []
    for example, encoding, row in zip(
        examples, encodings, torch.sigmoid(logits).tolist(), strict=True
    ):
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
    """Raise ValueError if a text has no mask token."""
    if loaded.tokenizer.mask_token not in example.text:
        raise ValueError(
            f"nothing to fill in {example.text[:60]!r}; write {loaded.tokenizer.mask_token} for "
            "each token to be predicted"
        )


def filled_masks(loaded: Loaded, examples: Sequence[Text]) -> list[dict[str, Any]]:
    """Return the likeliest tokens for each [MASK] of a text, each mask filled independently."""
    tokenizer = loaded.tokenizer
    encodings, logits = loaded.logits([example.text for example in examples])
    results = []
    for example, encoding, row in zip(examples, encodings, logits, strict=True):
        positions = [
            i for i, token_id in enumerate(encoding.ids) if token_id == tokenizer.mask_token_id
        ]
        best = torch.softmax(row[positions], dim=-1).topk(min(NUM_CANDIDATES, row.shape[-1]))
        masks = [
            {
                "start": encoding.offsets[position][0],
                "end": encoding.offsets[position][1],
                "candidates": [
                    {"token": token, "probability": _rounded(probability)}
                    for token, probability in zip(
                        tokenizer.convert_ids_to_tokens(ids), probabilities, strict=True
                    )
                ],
            }
            for position, probabilities, ids in zip(
                positions, best.values.tolist(), best.indices.tolist(), strict=True
            )
        ]
        results.append(_result({"text": example.text, "masks": masks}, bool(encoding.overflowing)))
    return results


def check_pair(loaded: Loaded, example: TextOrPair) -> None:
    """Raise ValueError for one text if the model was trained on pairs, and the reverse."""
    takes_pairs = loaded.settings and loaded.settings.pairs
    if takes_pairs is True and example.text_pair is None:
        raise ValueError(
            'the model was trained on pairs of texts; give {"text": ..., "text_pair": ...}, or '
            "both with a TAB between them"
        )
    if takes_pairs is False and example.text_pair is not None:
        raise ValueError(
            'the model was trained on single texts; give {"text": ...}, with a TAB in it as \\t'
        )


def classes(loaded: Loaded, examples: Sequence[TextOrPair]) -> list[dict[str, Any]]:
    """Return the class of each text, or its number if the model is a regression."""
    singles = [i for i, example in enumerate(examples) if example.text_pair is None]
    pairs = [i for i, example in enumerate(examples) if example.text_pair is not None]
    results: dict[int, dict[str, Any]] = {}
    for positions in filter(None, (singles, pairs)):  # a tokenizer's call takes either
        given = [examples[i] for i in positions]
        found = _predicted(
            loaded,
            given,
            [TextExample("", each.text, each.text_pair, None) for each in given],
            partial(_class, loaded),
        )
        results |= zip(positions, found, strict=True)
    return [results[i] for i in range(len(examples))]


def _class(loaded: Loaded, prediction: Any) -> dict[str, Any]:
    if isinstance(prediction, float):
        return {"value": prediction}  # not rounded: any unit may be small
    if isinstance(prediction, list):
        return {"values": prediction}
    assert isinstance(loaded.kind, Classification)
    scores = dict(zip(loaded.kind.labels, map(_rounded, prediction.probabilities), strict=True))
    if isinstance(prediction, LabelsPrediction):
        return {"labels": list(prediction.labels), "scores": scores}
    return {"label": prediction.label, "score": scores[prediction.label], "scores": scores}


def chosen(loaded: Loaded, examples: Sequence[TextWithChoices]) -> list[dict[str, Any]]:
    """Return which of its choices completes each text, and the probability of each choice."""
    items = [ChoiceExample("", each.text, each.choices, gold=None) for each in examples]
    return _predicted(loaded, examples, items, _choice)


def _choice(prediction: ChoicePrediction) -> dict[str, Any]:
    scores = list(map(_rounded, prediction.probabilities))
    return {"choice": prediction.index, "score": scores[prediction.index], "scores": scores}


def tagged_words(loaded: Loaded, examples: Sequence[TextOrWords]) -> list[dict[str, Any]]:
    """Return the tag of each word, and the entities that the tags mark.

    Words are all those given, or the parts into which the tokenizer splits a text first (at white
    space and, for BERT's, punctuation). A word that has no token is encoded as the unknown one.
    Entities follow from B-/I-/E-/S- tags by the rules of conlleval (see `kinds/chunks`).
    """
    assert isinstance(loaded.kind, Tagging)
    has_entities = are_chunks(loaded.kind.labels)
    sentences = [_words(loaded, example) for example in examples]
    _, predictions = loaded.predict(
        [
            TaggedExample("", tuple(word for word, _, _ in words), ("",) * len(words))
            for words in sentences
        ]
    )
    results: list[dict[str, Any]] = []
    for example, words, prediction in zip(examples, sentences, predictions, strict=True):
        tagged = [
            {"word": word, "start": start, "end": end, "label": tag, "score": _rounded(probability)}
            for (word, start, end), tag, probability in zip(
                words, prediction.tags, prediction.probabilities, strict=True
            )
        ]
        text = example.text if example.text is not None else " ".join(example.words)
        answer: dict[str, Any] = {"text": text, "words": tagged}
        if has_entities:
            entities = []
            for type_, first, last in chunks(prediction.tags):
                start, end = words[first][1], words[last][2]
                span = {"text": text[start:end], "start": start, "end": end}
                entities.append({"type": type_} | span)
            answer["entities"] = entities
        results.append(answer)
    return results


def _words(loaded: Loaded, example: TextOrWords) -> list[tuple[str, int, int]]:
    """Return each word with its start and end; given words count as joined by single spaces."""
    found = []
    if example.text is None:
        start = 0
        for word in example.words:
            found.append((word, start, start + len(word)))
            start += len(word) + 1
        return found
    [encoding] = loaded.tokenizer(
        [example.text], add_special_tokens=False, verbose=False
    ).encodings  # not cut, because a long text is windowed
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        spans[word] = (spans.get(word, (start, end))[0], end)
    for start, end in spans.values():
        given = example.text[start:end]
        start += len(given) - len(given.lstrip())  # a byte-level token begins with its space
        found.append((given.strip(), start, start + len(given.strip())))
    return found


def answers(loaded: Loaded, examples: Sequence[Question]) -> list[dict[str, Any]]:
    """Return the answer to each question as a span of its context; `""` for no answer.

    Only models that were trained on unanswerable questions return no answer, namely if
    `null_margin`, the score of "no answer" above the answer and the calibrated threshold, is
    positive.
    """
    items = [QuestionExample("", each.question, each.context, (), start=-1) for each in examples]
    return _predicted(loaded, examples, items, _answer)


def _answer(prediction: AnswerPrediction) -> dict[str, Any]:
    """Return the final answer, and the likeliest other ones."""
    spans = [
        {
            "answer": span.text,
            "start": span.begin,
            "end": span.end,
            "score": _rounded(probability),
        }
        for span, probability in prediction.ranked
    ]
    if not spans:  # a context without a token
        spans = [{"answer": "", "start": 0, "end": 0, "score": 0.0}]
    result = dict(spans[0])
    if math.isfinite(prediction.null_margin):
        result["null_margin"] = prediction.null_margin
    result["alternatives"] = spans[1:NUM_ANSWERS]
    return result


def _predicted(
    loaded: Loaded,
    given: Sequence[Config],
    examples: Sequence[Any],
    answer: Callable[[Any], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return each input with the `answer` of its prediction; examples: the inputs of the task."""
    encoded, predictions = loaded.predict(examples)
    return [
        _result(each.model_dump(exclude_none=True) | answer(prediction), i in encoded.truncated)
        for i, (each, prediction) in enumerate(zip(given, predictions, strict=True))
    ]


def _result(answer: dict[str, Any], is_cut: bool) -> dict[str, Any]:
    return answer | {"truncated": True} if is_cut else answer


def _rounded(value: float) -> float:
    return round(value, 6)
