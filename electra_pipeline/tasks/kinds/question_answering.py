"""Questions whose answer is a span of a given context, or that have none (SQuAD 1.1 and 2.0)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from pydantic import Field
from torch import Tensor

from electra_pipeline.tasks.kinds.kind import Encoded, Feature, Frame, frame, num_cut
from electra_pipeline.tasks.kinds.metrics import (
    answer_overlap,
    best_accepted,
    best_threshold,
    question_scores,
)
from electra_pipeline.tasks.kinds.spans import (
    ANSWER_TOKENS,
    NUM_BEST,
    Span,
    best_spans,
    distinct_best,
    with_probabilities,
)

# configure_finetuning.py:80-92 (google-research/electra 8a46635)
QUESTION_TOKENS = 64
STRIDE_TOKENS = 128  # from the start of one window to the start of the next


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question on a context; `answers` are accepted texts, none of them if it has no answer."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    start: int
    """Where answers[0] begins in the context, in characters; -1 where there is no answer."""

    @property
    def content(self) -> str:
        """What must not be on both sides of a split: all questions on one context stay together."""
        return self.context


@dataclass(frozen=True)
class Answer:
    """The best span, and by how much "no answer" scored above it (-inf: always answer).

    The margin is what is left after the threshold: the answer is withdrawn where it is positive.
    """

    text: str
    null_margin: float
    best: tuple[Span, ...] = ()
    """The n-best spans of different text, best first; no answer is the empty text."""

    @property
    def final(self) -> str:
        """The text, or the empty one where it is withdrawn: what exact match and F1 judge."""
        return "" if self.null_margin > 0 else self.text


@dataclass(frozen=True)
class QuestionAnswering:
    """Which span of the context answers; [CLS] stands for no answer.

    Start and end are scored independently, as transformers' model does, so that the result loads
    there. The published code conditions the end on the start and has an own answerability logit.
    """

    has_unanswerable: bool
    """Whether "no answer" competes with the spans; else one of these is always given."""
    threshold: float = 0.0
    """The answer is withdrawn where "no answer" scores above it by more than this."""
    question_tokens: Annotated[int, Field(ge=1)] = QUESTION_TOKENS
    stride_tokens: Annotated[int, Field(ge=1)] = STRIDE_TOKENS
    answer_tokens: Annotated[int, Field(ge=1)] = ANSWER_TOKENS
    num_best: Annotated[int, Field(ge=1)] = NUM_BEST

    def calibrated(
        self, examples: Sequence[QuestionExample], answers: Sequence[Answer]
    ) -> "QuestionAnswering":
        """The same with the threshold that gives these answers the highest F1.

        `answers` are predictions of this problem for questions that were not trained on.
        """
        finite = [
            (example.answers, answer)
            for example, answer in zip(examples, answers, strict=True)
            if math.isfinite(answer.null_margin)  # else there was nothing to answer with
        ]
        if not finite:
            return self
        _, beyond = best_threshold(
            [best_accepted(answer_overlap, accepted, answer.text) for accepted, answer in finite],
            [best_accepted(answer_overlap, accepted, "") for accepted, _ in finite],
            [answer.null_margin for _, answer in finite],
        )
        return replace(self, threshold=self.threshold + beyond)

    @property
    def head(self) -> Mapping[str, Any]:
        return {"num_labels": 2}  # start and end

    def build(self, config: Any) -> Any:
        return transformers.AutoModelForQuestionAnswering.from_config(config)

    def encode(
        self,
        tokenizer: Any,
        examples: Sequence[QuestionExample],
        max_length: int,
        *,
        training: bool,
    ) -> Encoded:
        """Windows over each context; in training, those without the answer point to [CLS]."""
        special = frame(tokenizer)
        room = max_length - len(special.before) - len(special.between) - len(special.after)
        contexts = list(dict.fromkeys(example.context for example in examples))
        tokenized = dict(zip(contexts, _tokenize(tokenizer, contexts), strict=True))
        questions = _tokenize(tokenizer, [example.question.strip() for example in examples])
        features = []
        truncated = {}
        for origin, (example, (question, places)) in enumerate(
            zip(examples, questions, strict=True)
        ):
            longest = min(self.question_tokens, room // 2)
            if len(question) > longest:
                truncated[origin] = num_cut([example.question], [places[:longest]])
            ids, offsets = tokenized[example.context]
            span = _token_span(offsets, example) if training else None
            capacity = room - min(len(question), longest)
            for window in _windows(len(ids), capacity, self.stride_tokens):
                features.append(
                    _feature(question[:longest], ids, offsets, window, span, origin, special)
                )
        return Encoded(features, truncated)

    def logits(self, output: Any) -> Tensor:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)

    def loss(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(logits, targets, reduction="sum")  # over positions, for both ends
        return losses, targets.new_tensor(targets.numel())

    def finish(self, model: Any) -> None:
        pass

    def decode(
        self,
        examples: Sequence[QuestionExample],
        features: Sequence[Feature],
        logits: Sequence[Any],
    ) -> list[Answer]:
        spans: list[list[Span]] = [[] for _ in examples]
        null = [Span("", math.inf, math.inf)] * len(examples)
        for feature, scores in zip(features, logits, strict=True):
            origin = feature.origin
            context = examples[origin].context
            here = Span("", float(scores[0, 0]), float(scores[0, 1]))  # of the least likely window
            null[origin] = min(null[origin], here, key=lambda span: span.score)
            found = best_spans(
                scores, feature, num_best=self.num_best, answer_tokens=self.answer_tokens
            )
            spans[origin] += [
                Span(context[begin:end], first, last, begin, end)
                for begin, end, first, last in found
            ]
        return list(map(self._answer, spans, null))

    def _answer(self, spans: Sequence[Span], null: Span) -> Answer:
        """The best of the spans of all windows of a question, beside that of no answer."""
        ranked = sorted(spans, key=lambda span: -span.score)
        top = ranked[0] if ranked else None  # a context without a token leaves nothing to answer
        can_withdraw = self.has_unanswerable and top is not None
        margin = null.score - top.score - self.threshold if can_withdraw and top else -math.inf
        distinct = distinct_best(ranked, self.num_best)
        if self.has_unanswerable:
            distinct = sorted([*distinct[: self.num_best - 1], null], key=lambda span: -span.score)
        return Answer(top.text if top else "", margin, tuple(distinct))

    def majority(
        self, train: Sequence[QuestionExample], examples: Sequence[QuestionExample]
    ) -> list[Answer]:
        return [Answer("", 1.0)] * len(examples)

    def score(
        self,
        examples: Sequence[QuestionExample],
        predictions: Sequence[Answer],
        names: Sequence[str],
    ) -> dict[str, float]:
        return question_scores(
            [example.answers for example in examples],
            [answer.text for answer in predictions],
            [answer.null_margin for answer in predictions],
            names,
        )

    def show(self, example: QuestionExample, prediction: Answer) -> dict[str, Any]:
        margin = prediction.null_margin
        return {
            "input": f"{example.question}\t{example.context}",
            "expected": list(example.answers),
            "prediction": prediction.final,
            "score": best_accepted(answer_overlap, example.answers, prediction.final),
            "detail": {
                "answer": prediction.text,  # what is said if it is not withdrawn
                "null_margin": margin if math.isfinite(margin) else None,
                "best": with_probabilities(prediction.best),
            },
        }


def _tokenize(
    tokenizer: Any, texts: Sequence[str]
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Token ids and character offsets of each text, without special tokens."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # it would warn of contexts that are too long: they are windowed
    )
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _token_span(
    offsets: Sequence[tuple[int, int]], example: QuestionExample
) -> tuple[int, int] | None:
    """First and last token of the context that overlap the first answer; None without one."""
    if not example.answers:
        return None
    begin, end = example.start, example.start + len(example.answers[0])
    tokens = [i for i, (left, right) in enumerate(offsets) if left < end and right > begin]
    return (tokens[0], tokens[-1]) if tokens else None


def _windows(num_tokens: int, capacity: int, stride_tokens: int) -> list[range]:
    """Overlapping windows that cover all tokens; at least one, which may be empty."""
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
    origin: int,
    special: Frame,
) -> Feature:
    """The question and a window of the context: [CLS] question [SEP] window [SEP]."""
    head = [*special.before, *question, *special.between]
    input_ids = [*head, *ids[window.start : window.stop], *special.after]
    shift = len(head) - window.start  # position in the input of the context's token 0
    is_inside = span is not None and window.start <= span[0] and span[1] < window.stop
    target = [span[0] + shift, span[1] + shift] if span is not None and is_inside else [0, 0]
    places = np.full((len(input_ids), 2), -1, dtype=np.int32)
    if len(window):
        places[len(head) : len(head) + len(window)] = offsets[window.start : window.stop]
    return Feature(
        input_ids=np.asarray(input_ids, dtype=np.int32),
        second=len(head) if special.has_segments else len(input_ids),
        target=np.asarray(target, dtype=np.int64),
        origin=origin,
        places=places,
    )
