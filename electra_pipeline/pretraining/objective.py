"""The ELECTRA objective: mask, sample replacements, detect them. Tensors in, tensors out.

Paper: Clark et al. 2020, section 3 (arXiv:2003.10555). Code: google-research/electra at 8a46635,
pretrain/pretrain_helpers.py and run_pretraining.py.

Shapes: b sequences, l tokens, n masked slots, v tokens in the vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

REPLACE_WITH_MASK_FRACTION = 0.85  # pretrain_helpers.py:203; the rest stays as it is


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that are never masked ([UNK] may be, as in the published code)."""

    pad: int
    cls: int
    sep: int
    mask: int


@dataclass(frozen=True)
class Masked:
    """The generator's input and targets."""

    input_ids: Tensor
    """(b, l) int64 with [MASK] at most of the chosen positions."""
    positions: Tensor
    """(b, n) int64; 0 in unused slots."""
    original_ids: Tensor
    """(b, n) int64, original tokens at the chosen positions."""
    weights: Tensor
    """(b, n) float32, 1 in used slots and 0 in the others."""


@dataclass(frozen=True)
class Masking:
    """How positions are chosen. Host and device compute the counts alike, so neither waits."""

    fraction: float
    """Fraction of the tokens of a sequence, including [CLS] and [SEP]."""
    num_slots: int
    """Maximum number of positions in a sequence: the static shape n."""
    distinct: bool
    """Whether positions are distinct (recipe clean) or drawn with replacement (google)."""
    special: SpecialIds

    def candidates(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return which positions may be masked, (b, l) bool."""
        found = attention_mask(lengths, input_ids.shape[1])
        for identifier in (self.special.cls, self.special.sep, self.special.mask):
            found &= input_ids != identifier
        return found

    def count(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the number of slots in use, (b,) int64: max(1, min(slots, round(fraction * len))).

        The length includes [CLS] and [SEP], which are never masked (pretrain_helpers.py:174);
        halves are rounded to even, as in TensorFlow. Without candidates the number is 0, and there
        are at most as many distinct positions as candidates.
        """
        num_candidates = self.candidates(input_ids, lengths).sum(dim=1)
        wanted = torch.round(lengths.to(torch.float32) * self.fraction).to(torch.int64)
        wanted = wanted.clamp(max=self.num_slots).clamp(min=1)
        return wanted.minimum(num_candidates if self.distinct else wanted * (num_candidates > 0))


def num_slots(length: int, mask_fraction: float) -> int:
    """Return the masked slots of a sequence of `length` tokens (configure_pretraining.py:106)."""
    return int((mask_fraction + 0.005) * length)


def attention_mask(lengths: Tensor, length: int) -> Tensor:
    """Return (b, l) bool, true at tokens that are not padding."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def token_type_ids(segment_b: Tensor, lengths: Tensor, length: int) -> Tensor:
    """Return (b, l) int64, 1 in segment B with its [SEP], 0 elsewhere and at padding."""
    position = torch.arange(length, device=lengths.device)
    return ((position >= segment_b[:, None]) & (position < lengths[:, None])).to(torch.int64)


def document_starts(input_ids: Tensor, cls: int) -> Tensor:
    """Return the start of each token's document, (b, l) int64; padding belongs to the last one.

    Packed rows hold several documents, and each begins with [CLS], which no text contains.
    """
    position = torch.arange(input_ids.shape[1], device=input_ids.device)
    return torch.where(input_ids == cls, position, 0).cummax(dim=1).values


def draw_positions(candidates: Tensor, uniforms: Tensor) -> Tensor:
    """Draw positions with replacement among `candidates`; return (b, n) int64.

    candidates: (b, l) bool; uniforms: (b, n) in [0, 1). The published code draws a multinomial
    *with* replacement (pretrain_helpers.py:188), so a position may occur twice.
    """
    counts = candidates.sum(dim=1, keepdim=True)
    # float32 just below 1 times a count may round up to the count: stay inside
    ranks = (uniforms * counts).long().minimum(counts - 1)
    # candidate number r (from 0) sits where the running count first reaches r + 1
    return torch.searchsorted(candidates.cumsum(dim=1), ranks + 1)


def draw_distinct_positions(candidates: Tensor, uniforms: Tensor, slots: int) -> Tensor:
    """Draw positions without replacement among `candidates`; return (b, slots) int64.

    candidates: (b, l) bool; uniforms: (b, l) in [0, 1). Slots beyond the number of candidates hold
    other positions: `Masking.count` leaves them unused.
    """
    return torch.where(candidates, uniforms, -1.0).topk(slots, dim=1).indices


def scatter_update(sequence: Tensor, updates: Tensor, positions: Tensor) -> Tensor:
    """Write `updates` (b, n) into a copy of `sequence` (b, l) at `positions` (b, n), all int64.

    Position 0 is never written: it holds [CLS], and unused slots point to it. Several updates of
    one position are averaged and rounded down, a published quirk (pretrain_helpers.py:100-107).
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
    """Choose positions and mask them (pretrain_helpers.py:160-210).

    input_ids: (b, l) int64; lengths: (b,); counts: (b,), from `masking.count`; position_noise:
    uniform in [0, 1), (b, l) for distinct positions and (b, n) otherwise; coins: (b, n), uniform in
    [0, 1).
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
    """Draw ids from softmax(logits), (b, n) int64, without a gradient.

    logits: (b, n, v) of any precision; uniforms: (b, n) in [0, 1). The distribution is that of the
    published Gumbel trick; inverting the cumulative distribution needs one number per slot instead
    of v, so the noise can be a function of the slot and not of a device. Always in float32: half
    precision biases the tail (and gives NaN with Gumbel noise, a known fault of several ports).
    """
    cumulative = torch.softmax(logits.float(), dim=-1).cumsum(dim=-1)
    # the last entry is 1 only up to rounding; scaling by it keeps every draw inside
    threshold = uniforms[..., None] * cumulative[..., -1:]
    ids = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return ids.clamp(max=logits.shape[-1] - 1)


def corrupt(input_ids: Tensor, masked: Masked, sampled_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the discriminator's input and its labels, both (b, l) int64.

    The input is the *original* text with the samples at all chosen positions, masked or not
    (run_pretraining.py:220-241). A sample that equals the original is labelled original.
    """
    corrupted = scatter_update(input_ids, sampled_ids, masked.positions)
    return corrupted, (corrupted != input_ids).to(torch.int64)


def generator_loss_sum(logits: Tensor, masked: Masked) -> Tensor:
    """Return the cross-entropy summed over the slots in use, in float32; logits: (b, n, v)."""
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), masked.original_ids.flatten(), reduction="none"
    )
    return (losses * masked.weights.flatten()).sum()


def discriminator_loss_sum(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Return the binary cross-entropy summed over non-padding tokens; all arguments (b, l).

    [CLS] and [SEP] are included.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return (losses * present).sum()
