"""Extractive question answering: from start and end scores of tokens to an answer.

transformers 5 has no question-answering pipeline any more; this is its decoding, over overlapping
windows, with SQuAD 2.0's "no answer" (the span that lies on [CLS]).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchEncoding

from electra_pipeline.publishing.heads import Loaded, Question

# Limits of BERT's and ELECTRA's run_squad (configure_finetuning.py)
MAX_QUESTION_TOKENS = 64
MAX_ANSWER_TOKENS = 30
NUM_BEST = 20
NUM_ANSWERS = 3
MAX_WINDOWS = 32  # in one forward pass


@dataclass(frozen=True)
class Span:
    """Characters [start, end) of the context, or no answer where both are 0."""

    start: int
    end: int
    score: float
    """Sum of the start's and the end's logit."""


def answers(loaded: Loaded, examples: Sequence[Question]) -> list[dict[str, Any]]:
    """For each question the likeliest spans of its context; `""` says that it has no answer."""
    return [_answer(loaded, example) for example in examples]


def _answer(loaded: Loaded, example: Question) -> dict[str, Any]:
    tokenizer = loaded.tokenizer
    question_length = min(MAX_QUESTION_TOKENS, loaded.max_length // 2)
    head = tokenizer(example.question, add_special_tokens=False, return_offsets_mapping=True)
    offsets = head["offset_mapping"][:question_length]
    question = example.question[: offsets[-1][1]] if offsets else ""
    room = loaded.max_length - len(offsets) - tokenizer.num_special_tokens_to_add(pair=True)
    encoded = tokenizer(
        [question],
        [example.context],
        truncation="only_second",
        max_length=loaded.max_length,
        stride=room // 2,
        padding=True,
        return_overflowing_tokens=True,
        return_tensors="pt",
    )
    starts, ends = _logits(loaded, encoded)
    windows = [
        window_spans(
            starts[index, : len(encoding.ids)],
            ends[index, : len(encoding.ids)],
            np.array([part == 1 for part in encoding.sequence_ids]),
            encoding.offsets,
        )
        for index, encoding in enumerate(encoded.encodings)
    ]
    null = min(float(starts[i, 0] + ends[i, 0]) for i in range(len(windows)))
    spans = best_spans([span for window in windows for span in window], null)
    scores = torch.softmax(torch.tensor([span.score for span in spans]), dim=0).tolist()
    found = [
        {
            "answer": example.context[span.start : span.end],
            "start": span.start,
            "end": span.end,
            "score": round(score, 6),
        }
        for span, score in zip(spans, scores, strict=True)
    ]
    result = {"question": example.question, "context": example.context, **found[0]}
    result["alternatives"] = found[1:NUM_ANSWERS]
    if len(head["input_ids"]) > question_length:
        result["truncated"] = True
    return result


def _logits(
    loaded: Loaded, encoded: BatchEncoding
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Start and end logits of W windows of T tokens: two arrays (W, T)."""
    starts, ends = [], []
    for index in range(0, len(encoded["input_ids"]), MAX_WINDOWS):
        part = {name: value[index : index + MAX_WINDOWS] for name, value in encoded.items()}
        output = loaded.forward(part)
        starts.append(output.start_logits.float().cpu().numpy())
        ends.append(output.end_logits.float().cpu().numpy())
    return np.concatenate(starts), np.concatenate(ends)


def window_spans(
    starts: NDArray[np.float32],
    ends: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    offsets: Sequence[tuple[int, int]],
) -> list[Span]:
    """The best spans of one window of T tokens.

    starts, ends: (T,) logits. allowed: (T,) whether a token belongs to the context. offsets: its
    characters there. A span ends where it starts or later and has at most `MAX_ANSWER_TOKENS`.
    """
    places = np.arange(len(starts))
    num_tokens = places[None, :] - places[:, None] + 1
    possible = allowed[:, None] & allowed[None, :]
    possible &= (num_tokens >= 1) & (num_tokens <= MAX_ANSWER_TOKENS)
    scores = np.where(possible, starts[:, None] + ends[None, :], -np.inf)
    best = np.argsort(-scores, axis=None, kind="stable")[:NUM_BEST]
    spans = []
    for first, last in zip(*np.unravel_index(best, scores.shape), strict=True):
        if possible[first, last]:
            spans.append(Span(offsets[first][0], offsets[last][1], float(scores[first, last])))
    return spans


def best_spans(spans: Sequence[Span], null_score: float) -> list[Span]:
    """The `NUM_BEST` spans of all windows, "no answer" among them, by falling score, each once.

    As in SQuAD 2.0's code, there is no answer only if every window says so: `null_score` is the
    lowest of them.
    """
    ordered = sorted([*spans, Span(0, 0, null_score)], key=lambda span: -span.score)
    first: dict[tuple[int, int], Span] = {}
    for span in ordered:
        first.setdefault((span.start, span.end), span)
    return list(first.values())[:NUM_BEST]
