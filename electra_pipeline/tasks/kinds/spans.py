"""Spans of a context as candidate answers: the best of a window, and n-best lists."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra_pipeline.tasks.kinds.kind import Feature

# configure_finetuning.py:80-92 (google-research/electra 8a46635)
ANSWER_TOKENS = 30
NUM_BEST = 20


@dataclass(frozen=True)
class Span:
    """A candidate answer: its text, and the logits of its first and last token."""

    text: str
    start_logit: float
    end_logit: float
    begin: int = 0
    """Characters [begin, end) of the context; none of them for no answer."""
    end: int = 0

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


def best_spans(
    logits: NDArray[Any],
    feature: Feature,
    context: str,
    *,
    num_best: int = NUM_BEST,
    answer_tokens: int = ANSWER_TOKENS,
) -> list[Span]:
    """Return the best allowed answers in one window, best first; logits are (length, 2).

    Allowed: start among the `num_best` best starts and end among the best ends, in the context, in
    order, at most `answer_tokens` tokens, and not empty (byte-level tokens of white space may have
    no character).
    """
    assert feature.alignment is not None
    offsets = feature.alignment
    inside = offsets[:, 1] >= 0
    masked = np.where(inside[:, None], logits, -np.inf)
    starts, ends = (np.argsort(-masked[:, side], kind="stable")[:num_best] for side in (0, 1))
    sums = masked[starts, 0][:, None] + masked[ends, 1][None, :]
    lengths = ends[None, :] - starts[:, None] + 1
    is_allowed = (lengths >= 1) & (lengths <= answer_tokens)
    is_allowed &= offsets[ends, 1][None, :] > offsets[starts, 0][:, None]
    sums = np.where(is_allowed, sums, -np.inf)
    found = []
    for flat in np.argsort(-sums, axis=None, kind="stable")[:num_best]:
        row, column = np.unravel_index(int(flat), sums.shape)
        if not np.isfinite(sums[row, column]):
            break
        start, end = starts[row], ends[column]
        begin, stop = int(offsets[start, 0]), int(offsets[end, 1])
        ends_logits = float(masked[start, 0]), float(masked[end, 1])
        found.append(Span(context[begin:stop], *ends_logits, begin, stop))
    return found


def distinct_best(ranked: Iterable[Span], num_best: int = NUM_BEST) -> list[Span]:
    """Return the first `num_best` spans of different text; `ranked` is best first."""
    found: dict[str, Span] = {}
    for span in ranked:
        found.setdefault(span.text, span)
    return list(found.values())[:num_best]


def probabilities(spans: Sequence[Span]) -> list[float]:
    """Return the softmax of the spans' scores, as run_squad writes it for its n-best list."""
    weights = [math.exp(span.score - spans[0].score) for span in spans]
    return [weight / math.fsum(weights) for weight in weights]
