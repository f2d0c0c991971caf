"""The ELECTRA objective: mask, sample replacements, detect them. Tensors in, tensors out.

Paper: Clark et al. 2020, section 3 (arXiv:2003.10555). Code: google-research/electra at 8a46635,
pretrain/pretrain_helpers.py and run_pretraining.py. Shapes: b sequences, l tokens, n masked slots,
v pieces in the vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

REPLACE_WITH_MASK_FRACTION = 0.85  # pretrain_helpers.py:203; the rest stays as it is


@dataclass(frozen=True)
class SpecialIds:
    """Ids that are never masked ([UNK] may be, as in the published code), and padding."""

    pad: int
    cls: int
    sep: int
    mask: int


@dataclass(frozen=True)
class Masked:
    """The generator's input and what it is to predict."""

    input_ids: Tensor
    """(b, l) int64 with [MASK] at most of the chosen positions."""
    positions: Tensor
    """(b, n) int64; 0 in unused slots."""
    original_ids: Tensor
    """(b, n) int64, the text at the chosen positions."""
    weights: Tensor
    """(b, n) float32, 1 in used slots and 0 in the others."""


@dataclass(frozen=True)
class Masking:
    """How positions are chosen. Host and device count alike, so that nobody waits to know."""

    fraction: float
    """Of the tokens of a sequence, [CLS] and [SEP] counted."""
    num_slots: int
    """Most positions that a sequence can have: the fixed shape n."""
    distinct: bool
    """Whether positions differ (recipe clean), or are drawn with replacement (google)."""
    special: SpecialIds

    def candidates(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Positions that may be masked, (b, l) bool."""
        found = attention_mask(lengths, input_ids.shape[1])
        for identifier in (self.special.cls, self.special.sep, self.special.mask):
            found &= input_ids != identifier
        return found

    def count(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Slots that each sequence uses, (b,) int64: max(1, min(slots, round(fraction * length))).

        The length counts [CLS] and [SEP], which are never masked themselves
        (pretrain_helpers.py:174); halves are rounded to even, as TensorFlow does. Where there is
        nothing to mask it is 0, and distinct positions are no more than there are candidates.
        """
        num_candidates = self.candidates(input_ids, lengths).sum(dim=1)
        wanted = torch.round(lengths.to(torch.float32) * self.fraction).to(torch.int64)
        wanted = wanted.clamp(max=self.num_slots).clamp(min=1)
        return wanted.minimum(num_candidates if self.distinct else wanted * (num_candidates > 0))


def num_slots(length: int, mask_fraction: float) -> int:
    """Masked slots of a sequence of `length` tokens (configure_pretraining.py:106)."""
    return int((mask_fraction + 0.005) * length)


def attention_mask(lengths: Tensor, length: int) -> Tensor:
    """(b, l) bool, true at tokens that are not padding."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def token_type_ids(segment_b: Tensor, lengths: Tensor, length: int) -> Tensor:
    """(b, l) int64, 1 in segment B with its [SEP], 0 elsewhere and at padding."""
    place = torch.arange(length, device=lengths.device)
    return ((place >= segment_b[:, None]) & (place < lengths[:, None])).to(torch.int64)


def document_starts(input_ids: Tensor, cls: int) -> Tensor:
    """Where the document of each token begins, (b, l) int64; padding goes with the last one.

    Packed rows hold several documents, and each begins with [CLS], which no text contains.
    """
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    return torch.where(input_ids == cls, place, 0).cummax(dim=1).values


def draw_positions(candidates: Tensor, uniforms: Tensor) -> Tensor:
    """Positions drawn with replacement among `candidates`, (b, n) int64.

    candidates: (b, l) bool; uniforms: (b, n) in [0, 1). The published code draws a multinomial
    *with* replacement (pretrain_helpers.py:188), so a position may come twice.
    """
    counts = candidates.sum(dim=1, keepdim=True)
    # float32 just below 1 times a count may round up to the count: stay inside
    ranks = (uniforms * counts).long().minimum(counts - 1)
    # candidate number r (from 0) sits where the running count first reaches r + 1
    return torch.searchsorted(candidates.cumsum(dim=1), ranks + 1)


def draw_distinct_positions(candidates: Tensor, uniforms: Tensor, slots: int) -> Tensor:
    """Positions drawn without replacement among `candidates`, (b, slots) int64, best first.

    candidates: (b, l) bool; uniforms: (b, l) in [0, 1). Slots beyond the number of candidates hold
    other positions: `Masking.count` leaves them unused.
    """
    return torch.where(candidates, uniforms, -1.0).topk(slots, dim=1).indices


def scatter_update(sequence: Tensor, updates: Tensor, positions: Tensor) -> Tensor:
    """`sequence` (b, l) with `updates` (b, n) written at `positions` (b, n), all int64.

    Position 0 is left alone: [CLS] stands there, and unused slots point to it. Updates that meet at
    one position are averaged and rounded down, the published quirk (pretrain_helpers.py:100-107).
    """
    zeros = torch.zeros_like(sequence)
    sums = zeros.scatter_add(1, positions, updates)
    counts = zeros.scatter_add(1, positions, torch.ones_like(updates))
    counts[:, 0] = 0
    means = sums.div(counts.clamp(min=1), rounding_mode="floor")
    return torch.where(counts > 0, means, sequence)


def mask_tokens(
    input_ids: Tensor,
    lengths: Tensor,
    counts: Tensor,
    position_noise: Tensor,
    coins: Tensor,
    masking: Masking,
) -> Masked:
    """Choose positions and hide them (pretrain_helpers.py:160-210).

    input_ids: (b, l) int64; lengths: (b,); counts: (b,), from `masking.count`; position_noise:
    uniform in [0, 1), (b, l) where positions are distinct and (b, n) where not; coins: (b, n).
    """
    slots = masking.num_slots
    candidates = masking.candidates(input_ids, lengths)
    if masking.distinct:
        drawn = draw_distinct_positions(candidates, position_noise, slots)
    else:
        drawn = draw_positions(candidates, position_noise)
    used = torch.arange(slots, device=input_ids.device) < counts[:, None]
    positions = torch.where(used, drawn, 0)
    hidden = used & (coins < REPLACE_WITH_MASK_FRACTION)
    mask_ids = torch.full_like(positions, masking.special.mask)
    return Masked(
        input_ids=scatter_update(input_ids, mask_ids, torch.where(hidden, positions, 0)),
        positions=positions,
        original_ids=input_ids.gather(1, positions),
        weights=used.to(torch.float32),
    )


@torch.no_grad()
def sample(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Ids drawn from softmax(logits), (b, n) int64, without a gradient.

    logits: (b, n, v) of any precision; uniforms: (b, n) in [0, 1). The distribution is that of the
    published Gumbel trick; inverting the cumulative distribution needs one number a slot instead of
    v, so that the noise can belong to the slot and not to a device. In float32 always: half
    precision biases the tail (NaN with Gumbel noise; reference trouble in several ports).
    """
    cumulative = torch.softmax(logits.float(), dim=-1).cumsum(dim=-1)
    # the last entry is 1 only up to rounding; scaling by it keeps every draw inside
    threshold = uniforms[..., None] * cumulative[..., -1:]
    ids = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return ids.clamp(max=logits.shape[-1] - 1)


def corrupt(input_ids: Tensor, masked: Masked, sampled_ids: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's input and its labels, both (b, l) int64.

    Starts from the *original* text and writes the samples at all chosen positions, hidden or not
    (run_pretraining.py:220-241). A sample that equals the original is labelled original.
    """
    corrupted = scatter_update(input_ids, sampled_ids, masked.positions)
    return corrupted, (corrupted != input_ids).to(torch.int64)


def generator_loss_sum(logits: Tensor, masked: Masked) -> Tensor:
    """Cross-entropy summed over used slots; logits (b, n, v), in float32."""
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), masked.original_ids.flatten(), reduction="none"
    )
    return (losses * masked.weights.flatten()).sum()


def discriminator_loss_sum(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Binary cross-entropy summed over non-padding tokens, [CLS] and [SEP] included; (b, l)."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return (losses * present).sum()
