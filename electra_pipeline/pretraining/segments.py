"""Google's segment builder: tokenized sentences of a document -> [CLS] A [SEP] B [SEP] sequences.

Source: google-research/electra, build_pretraining_dataset.py:40-110 (commit 8a46635). Its quirks
are kept, because parity with the published code requires them, and each is counted:

* text that does not fit is discarded (`tokens_discarded`);
* a later short sentence may be added to segment A, out of order (`reordered`): the length rule does
  not require segment B to be empty;
* a tenth of the sequences has one segment; a twentieth has a random shorter target length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

SINGLE_SEGMENT_FRACTION = 0.1  # build_pretraining_dataset.py:62
SHORT_SEQUENCE_FRACTION = 0.05  # :90
SHORTEST_TARGET = 5  # :91
UNREACHABLE_LENGTH = 100_000  # :65, the first segment's target when there is only one


@dataclass(frozen=True)
class Pair:
    """Token ids of one sequence without [CLS] and [SEP]; `second` is empty for a single segment."""

    first: Sequence[int]
    second: Sequence[int]
    discarded: Sequence[int]
    """Ids of text that did not fit."""
    reordered: bool


def _target_length(max_length: int, random: Random) -> int:
    if random.random() < SHORT_SEQUENCE_FRACTION:
        return random.randint(SHORTEST_TARGET, max_length)
    return max_length


def _split(
    sentences: Sequence[Sequence[int]], max_length: int, target_length: int, random: Random
) -> Pair:
    if random.random() < SINGLE_SEGMENT_FRACTION:
        first_target = UNREACHABLE_LENGTH
    else:
        first_target = (target_length - 3) // 2  # [CLS] and two [SEP] are not in the text yet
    first: list[int] = []
    second: list[int] = []
    reordered = False
    for sentence in sentences:
        if (
            not first
            or len(first) + len(sentence) < first_target
            or (not second and len(first) < first_target and random.random() < 0.5)
        ):
            reordered = reordered or bool(second)
            first += sentence
        else:
            second += sentence
    kept_first = first[: max_length - 2]
    kept_second = second[: max(0, max_length - len(kept_first) - 3)]
    discarded = first[len(kept_first) :] + second[len(kept_second) :]
    return Pair(kept_first, kept_second, discarded, reordered)


def build_pairs(
    sentences: Iterable[Sequence[int]], max_length: int, random: Random
) -> Iterator[Pair]:
    """Yield the non-empty sequences, of at most `max_length` tokens, of one document's sentences.

    The published code draws the next target length after each sequence and carries it into the next
    document. Here it is drawn before each sequence, which has the same distribution and makes the
    sequences of a document independent of other documents.
    """
    current: list[Sequence[int]] = []
    current_length = 0
    target_length = _target_length(max_length, random)
    for sentence in sentences:
        if not sentence:
            continue
        current.append(sentence)
        current_length += len(sentence)
        if current_length >= target_length:
            yield _split(current, max_length, target_length, random)
            current, current_length = [], 0
            target_length = _target_length(max_length, random)
    if current:
        yield _split(current, max_length, target_length, random)
