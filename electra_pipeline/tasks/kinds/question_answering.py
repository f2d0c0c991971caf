"""Extractive question answering: spans of a context, or no answer (SQuAD 1.1 and 2.0)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from electra_pipeline.tasks.kinds.answer_texts import answer_overlap, best_accepted
from electra_pipeline.tasks.kinds.encoding import SpecialTokens, num_characters_cut, special_tokens
from electra_pipeline.tasks.kinds.kind import Encoded, Feature, TaskKind
from electra_pipeline.tasks.kinds.metrics import best_threshold
from electra_pipeline.tasks.kinds.spans import (
    ANSWER_TOKENS,
    NUM_BEST,
    Span,
    best_spans,
    distinct_best,
    probabilities,
)

# configure_finetuning.py:80-92 (google-research/electra 8a46635)
QUESTION_TOKENS = 64
STRIDE_TOKENS = 128  # from the start of one window to the start of the next


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question on a context, and the accepted answers; none if it is unanswerable."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    start: int
    """Position of answers[0] in the context, in characters; -1 without an answer."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split: all questions on a context stay together."""
        return self.context


@dataclass(frozen=True)
class AnswerPrediction:
    """The best span, and whether it is withdrawn for "no answer"."""

    text: str
    """Of the best span, withdrawn or not."""
    null_margin: float
    """Score of "no answer" minus score of the best span minus threshold: the answer is withdrawn if
    it is positive. -inf if there is always an answer."""
    best: tuple[Span, ...] = ()
    """The n-best spans of different text, best first; no answer has the empty text."""

    @property
    def final(self) -> str:
        """The text, or the empty text if it is withdrawn: what exact match and F1 compare."""
        return "" if self.null_margin > 0 else self.text

    @property
    def ranked(self) -> list[tuple[Span, float]]:
        """The final answer with its probability among the n-best spans, then the other spans."""
        spans = list(zip(self.best, probabilities(self.best), strict=True))
        return sorted(spans, key=lambda each: each[0].text != self.final)


@dataclass(frozen=True)
class QuestionAnswering(TaskKind[QuestionExample, AnswerPrediction]):
    """A span of the context for each question; [CLS] is the span of no answer.

    Start and end are scored independently, as in transformers' model, so that the result loads
    there. The published code conditions the end on the start and has a separate answerability
    logit.
    """

    name = "question-answering"
    auto_class = "AutoModelForQuestionAnswering"

    has_unanswerable: bool
    """Whether "no answer" competes with the spans; else the answer is always a span."""
    threshold: float = 0.0
    """The answer is withdrawn if "no answer" scores above it by more than this."""
    question_tokens: Annotated[int, Field(ge=1)] = QUESTION_TOKENS
    stride_tokens: Annotated[int, Field(ge=1)] = STRIDE_TOKENS
    answer_tokens: Annotated[int, Field(ge=1)] = ANSWER_TOKENS
    num_best: Annotated[int, Field(ge=1)] = NUM_BEST

    def calibrated(
        self, examples: Sequence[QuestionExample], answers: Sequence[AnswerPrediction]
    ) -> "QuestionAnswering":
        """Return this kind with the threshold that gives these answers the highest F1.

        answers: predictions of this kind for examples that were not trained on.
        """
        values = [
            (
                best_accepted(answer_overlap, example.answers, answer.text),
                best_accepted(answer_overlap, example.answers, ""),
                answer.null_margin,
            )
            for example, answer in zip(examples, answers, strict=True)
            if math.isfinite(answer.null_margin)  # else the context had no span
        ]
        if not values:
            return self
        return replace(self, threshold=self.threshold + best_threshold(values))

    @property
    def head(self) -> Mapping[str, Any]:
        return {"num_labels": 2}  # start and end

    def encode(
        self,
        tokenizer: Any,
        examples: Sequence[QuestionExample],
        max_length: int,
        *,
        training: bool,
    ) -> Encoded:
        """Return windows over each context; in training, those without the answer target [CLS]."""
        special = special_tokens(tokenizer)
        room = max_length - len(special.before) - len(special.between) - len(special.after)
        contexts = list(dict.fromkeys(example.context for example in examples))
        tokenized = dict(zip(contexts, _tokenize(tokenizer, contexts), strict=True))
        questions = _tokenize(tokenizer, [example.question.strip() for example in examples])
        features = []
        truncated = {}
        for position, (example, (question, question_offsets)) in enumerate(
            zip(examples, questions, strict=True)
        ):
            longest = min(self.question_tokens, room // 2)
            if len(question) > longest:
                kept = question_offsets[:longest]
                truncated[position] = num_characters_cut([example.question], [kept])
            ids, offsets = tokenized[example.context]
            span = _token_span(offsets, example) if training else None
            capacity = room - min(len(question), longest)
            for window in _windows(len(ids), capacity, self.stride_tokens):
                features.append(
                    _feature(question[:longest], ids, offsets, window, span, position, special)
                )
        return Encoded(features, truncated)

    def logits(self, output: Any) -> Tensor:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(logits, targets, reduction="sum")  # over positions, for both ends
        return losses, targets.new_tensor(targets.numel())

    def decode(
        self,
        examples: Sequence[QuestionExample],
        features: Sequence[Feature],
        logits: Sequence[Any],
    ) -> list[AnswerPrediction]:
        spans: list[list[Span]] = [[] for _ in examples]
        null = [Span("", math.inf, math.inf)] * len(examples)
        for feature, row in zip(features, logits, strict=True):
            position = feature.example
            # a context has no answer if none of its windows has one: the lowest score decides
            here = Span("", float(row[0, 0]), float(row[0, 1]))
            null[position] = min(null[position], here, key=lambda span: span.score)
            spans[position] += best_spans(
                row,
                feature,
                examples[position].context,
                num_best=self.num_best,
                answer_tokens=self.answer_tokens,
            )
        return list(map(self._answer, spans, null))

    def _answer(self, spans: Sequence[Span], null: Span) -> AnswerPrediction:
        """Return the best of the spans of all windows of a question, or no answer."""
        ranked = sorted(spans, key=lambda span: -span.score)
        top = ranked[0] if ranked else None  # a context may have no token
        can_withdraw = self.has_unanswerable and top is not None
        margin = null.score - top.score - self.threshold if can_withdraw and top else -math.inf
        distinct = distinct_best(ranked, self.num_best)
        if self.has_unanswerable:
            distinct = sorted([*distinct[: self.num_best - 1], null], key=lambda span: -span.score)
        return AnswerPrediction(top.text if top else "", margin, tuple(distinct))

    def majority(
        self, train: Sequence[QuestionExample], examples: Sequence[QuestionExample]
    ) -> list[AnswerPrediction]:
        return [AnswerPrediction("", 1.0)] * len(examples)

    def row(self, example: QuestionExample, prediction: AnswerPrediction) -> dict[str, Any]:
        margin = prediction.null_margin
        return {
            "input": f"{example.question}\t{example.context}",
            "expected": list(example.answers),
            "prediction": prediction.final,
            "score": best_accepted(answer_overlap, example.answers, prediction.final),
            "detail": {
                "answer": prediction.text,  # whether withdrawn or not
                "null_margin": margin if math.isfinite(margin) else None,
                "best": [
                    {
                        "text": span.text,
                        "probability": probability,
                        "start_logit": span.start_logit,
                        "end_logit": span.end_logit,
                    }
                    for span, probability in zip(
                        prediction.best, probabilities(prediction.best), strict=True
                    )
                ],
            },
        }


def _tokenize(
    tokenizer: Any, texts: Sequence[str]
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return token ids and character offsets of each text, without special tokens."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # it would warn of long contexts, which are windowed
    )
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _token_span(
    offsets: Sequence[tuple[int, int]], example: QuestionExample
) -> tuple[int, int] | None:
    """Return first and last token of the context that overlap the first answer, if it has one."""
    if not example.answers:
        return None
    begin, end = example.start, example.start + len(example.answers[0])
    tokens = [i for i, (left, right) in enumerate(offsets) if left < end and right > begin]
    return (tokens[0], tokens[-1]) if tokens else None


def _windows(num_tokens: int, capacity: int, stride_tokens: int) -> list[range]:
    """Return overlapping windows that cover all tokens; at least one, which may be empty."""
    stride = min(stride_tokens, max(1, capacity // 2))
    windows = [range(0, min(num_tokens, capacity))]
    while windows[-1].stop < num_tokens:
        start = windows[-1].start + stride
        windows.append(range(start, min(num_tokens, start + capacity)))
    return windows


def _feature(
    question: Sequence[int],
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    window: range,
    span: tuple[int, int] | None,
    example: int,
    special: SpecialTokens,
) -> Feature:
    """Return the input [CLS] question [SEP] window [SEP]."""
    head = [*special.before, *question, *special.between]
    input_ids = [*head, *ids[window.start : window.stop], *special.after]
    shift = len(head) - window.start  # position in the input of the context's token 0
    is_inside = span is not None and window.start <= span[0] and span[1] < window.stop
    target = [span[0] + shift, span[1] + shift] if span is not None and is_inside else [0, 0]
    alignment = np.full((len(input_ids), 2), -1, dtype=np.int32)
    if len(window):
        alignment[len(head) : len(head) + len(window)] = offsets[window.start : window.stop]
    return Feature(
        input_ids=np.asarray(input_ids, dtype=np.int32),
        segment_b=len(head) if special.has_segments else len(input_ids),
        target=np.asarray(target, dtype=np.int64),
        example=example,
        alignment=alignment,
    )
