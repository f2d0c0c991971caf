"""The masking law, the sampling distribution and the corruption rules."""

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.pretraining import objective
from electra_pipeline.pretraining.objective import Masked, Masking, SpecialIds

SPECIAL = SpecialIds(pad=0, cls=101, sep=102, mask=103)
LENGTH = 32


def masking(distinct: bool = False) -> Masking:
    return Masking(0.15, objective.num_slots(LENGTH, 0.15), distinct, SPECIAL)


def batch(num_rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and lengths of random sequences; [UNK] is 100."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, LENGTH + 1, (num_rows,), generator=generator)
    ids = torch.randint(100, 400, (num_rows, LENGTH), generator=generator)
    ids[ids == SPECIAL.mask] = 200
    ids[:, 0] = SPECIAL.cls
    ids[torch.arange(num_rows), lengths - 1] = SPECIAL.sep
    ids[~objective.attention_mask(lengths, LENGTH)] = SPECIAL.pad
    return ids, lengths


def mask(
    num_rows: int, seed: int = 0, distinct: bool = False
) -> tuple[torch.Tensor, torch.Tensor, Masked]:
    ids, lengths = batch(num_rows, seed)
    law = masking(distinct)
    generator = torch.Generator().manual_seed(seed + 1)
    num_numbers = LENGTH if distinct else law.num_slots
    position_noise = torch.rand(num_rows, num_numbers, generator=generator)
    coins = torch.rand(num_rows, law.num_slots, generator=generator)
    counts = law.count(ids, lengths)
    return ids, lengths, objective.mask_tokens(ids, lengths, counts, position_noise, coins, law)


both_recipes = pytest.mark.parametrize("distinct", [False, True], ids=["google", "clean"])


def test_published_slot_counts() -> None:
    # configure_pretraining.py: small 19 of 128; base 79 and large 130 of 512
    assert objective.num_slots(128, 0.15) == 19
    assert objective.num_slots(512, 0.15) == 79
    assert objective.num_slots(512, 0.25) == 130


@both_recipes
def test_number_of_masked_tokens_is_the_published_law(distinct: bool) -> None:
    law = Masking(0.15, 19, distinct, SPECIAL)
    lengths = torch.arange(3, 129)
    ids = torch.full((len(lengths), 128), 300)
    ids[:, 0] = SPECIAL.cls
    ids[torch.arange(len(lengths)), lengths - 1] = SPECIAL.sep
    expected = [max(1, min(19, round(0.15 * length))) for length in range(3, 129)]
    got = law.count(ids, lengths).tolist()
    # float32, as in the published code, decides exact halves: allow nothing else to differ
    different = [n for n, a, b in zip(lengths.tolist(), got, expected, strict=True) if a != b]
    assert all((0.15 * n) % 1 == pytest.approx(0.5) for n in different)


@both_recipes
def test_nothing_is_masked_where_nothing_can_be(distinct: bool) -> None:
    ids = torch.tensor([[SPECIAL.cls, SPECIAL.sep, SPECIAL.pad, SPECIAL.pad]])
    assert Masking(0.5, 2, distinct, SPECIAL).count(ids, torch.tensor([2])).tolist() == [0]


def test_distinct_positions_are_no_more_than_the_candidates() -> None:
    row = [SPECIAL.cls, 300, SPECIAL.sep] * 4
    ids, lengths = torch.tensor([row]), torch.tensor([12])
    assert Masking(0.75, 9, True, SPECIAL).count(ids, lengths).tolist() == [4]
    assert Masking(0.75, 9, False, SPECIAL).count(ids, lengths).tolist() == [9]


@both_recipes
def test_special_tokens_and_padding_are_never_chosen(distinct: bool) -> None:
    ids, lengths, masked = mask(2000, distinct=distinct)
    used = masked.weights > 0
    assert not torch.isin(
        masked.original_ids[used], torch.tensor([SPECIAL.pad, SPECIAL.cls, SPECIAL.sep])
    ).any()
    assert (masked.positions < lengths[:, None]).all()
    assert (masked.weights.sum(1) == masking(distinct).count(ids, lengths)).all()
    assert (masked.original_ids == ids.gather(1, masked.positions)).all()


def test_unknown_tokens_may_be_chosen_as_in_the_published_code() -> None:
    _, _, masked = mask(5000)
    assert (masked.original_ids[masked.weights > 0] == 100).any()


@both_recipes
def test_85_percent_become_mask_and_the_rest_stays(distinct: bool) -> None:
    ids, _, masked = mask(20_000, distinct=distinct)
    changed = masked.input_ids != ids
    assert (masked.input_ids[changed] == SPECIAL.mask).all()
    chosen = torch.zeros_like(ids).scatter_add(1, masked.positions, masked.weights.long())
    once = chosen == 1
    once[:, 0] = False
    assert not changed[chosen == 0].any()
    share = (masked.input_ids[once] == SPECIAL.mask).float().mean().item()
    num_slots = int(once.sum())
    assert abs(share - 0.85) < 4 * (0.85 * 0.15 / num_slots) ** 0.5


def test_positions_are_uniform_over_the_candidates() -> None:
    candidates = torch.zeros(40_000, LENGTH, dtype=torch.bool)
    allowed = [1, 2, 3, 7, 8, 20, 31]
    candidates[:, allowed] = True
    uniforms = torch.rand(40_000, 1, generator=torch.Generator().manual_seed(1))
    positions = objective.draw_positions(candidates, uniforms)
    counts = torch.bincount(positions.flatten(), minlength=LENGTH)
    assert counts.nonzero().flatten().tolist() == allowed
    assert scipy.stats.chisquare(counts[allowed].numpy()).pvalue > 1e-4


def test_distinct_positions_are_uniform_over_the_candidates() -> None:
    candidates = torch.zeros(40_000, LENGTH, dtype=torch.bool)
    allowed = [1, 2, 3, 7, 8, 20, 31]
    candidates[:, allowed] = True
    uniforms = torch.rand(40_000, LENGTH, generator=torch.Generator().manual_seed(1))
    positions = objective.draw_distinct_positions(candidates, uniforms, 3)
    counts = torch.bincount(positions.flatten(), minlength=LENGTH)
    assert counts.nonzero().flatten().tolist() == allowed
    assert scipy.stats.chisquare(counts[allowed].numpy()).pvalue > 1e-4
    assert all(len(set(row)) == 3 for row in positions.tolist())


def test_the_largest_uniform_number_stays_inside() -> None:
    candidates = torch.ones(1, 7, dtype=torch.bool)
    almost_one = torch.tensor([[1 - 2**-24]])
    assert objective.draw_positions(candidates, almost_one).item() == 6
    logits = torch.tensor([[[0.0, 0.0, -1e9]]])
    assert objective.sample(logits, almost_one).item() == 1


@both_recipes
def test_only_the_published_draws_are_with_replacement(distinct: bool) -> None:
    _, _, masked = mask(500, distinct=distinct)
    rows = zip(masked.positions.tolist(), masked.weights.tolist(), strict=True)
    used = [[p for p, w in zip(*row, strict=True) if w] for row in rows]
    assert any(len(set(row)) < len(row) for row in used) != distinct


@settings(deadline=None)
@given(st.data())
def test_scatter_update_equals_a_plain_loop(data: st.DataObject) -> None:
    length, slots = data.draw(st.integers(2, 10)), data.draw(st.integers(1, 8))
    row = data.draw(st.lists(st.integers(0, 500), min_size=length, max_size=length))
    positions = data.draw(st.lists(st.integers(0, length - 1), min_size=slots, max_size=slots))
    updates = data.draw(st.lists(st.integers(0, 500), min_size=slots, max_size=slots))
    expected = list(row)
    for place in set(positions) - {0}:
        meeting = [u for u, p in zip(updates, positions, strict=True) if p == place]
        expected[place] = sum(meeting) // len(meeting)
    got = objective.scatter_update(*(torch.tensor([x]) for x in (row, updates, positions)))
    assert got.tolist() == [expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_samples_follow_the_softmax(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = (torch.randn(12, generator=generator) * 1.5).to(dtype)
    num_draws = 200_000
    uniforms = torch.rand(1, num_draws, generator=generator)
    ids = objective.sample(logits.expand(1, num_draws, 12), uniforms)
    counts = torch.bincount(ids.flatten(), minlength=12)
    expected = torch.softmax(logits.double(), -1) * num_draws
    assert scipy.stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-4


def test_no_gradient_flows_through_samples() -> None:
    logits = torch.zeros(1, 1, 5, requires_grad=True)
    assert not objective.sample(logits, torch.rand(1, 1)).requires_grad


def test_corruption_starts_from_the_original_text() -> None:
    ids, _, masked = mask(300)
    samples = torch.randint(200, 300, masked.positions.shape)
    corrupted, labels = objective.corrupt(ids, masked, samples)
    assert not (corrupted == SPECIAL.mask).any()
    untouched = torch.ones_like(ids, dtype=torch.bool).scatter(1, masked.positions, False)
    assert (corrupted[untouched] == ids[untouched]).all()
    assert torch.equal(labels, (corrupted != ids).long())


def test_a_sample_equal_to_the_original_is_labelled_original() -> None:
    ids, _, masked = mask(300)
    corrupted, labels = objective.corrupt(ids, masked, masked.original_ids)
    assert torch.equal(corrupted, ids)
    assert not labels.any()


def test_loss_sums_equal_plain_loops() -> None:
    ids, lengths, masked = mask(3)
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 4, 400, generator=generator)
    expected = 0.0
    for row in range(3):
        for slot in range(4):
            if masked.weights[row, slot]:
                log = torch.log_softmax(logits[row, slot], -1)
                expected -= log[masked.original_ids[row, slot]].item()
    assert objective.generator_loss_sum(logits, masked).item() == pytest.approx(expected, rel=1e-5)
    verdicts = torch.randn(3, LENGTH, generator=generator)
    labels = torch.randint(0, 2, (3, LENGTH), generator=generator)
    present = objective.attention_mask(lengths, LENGTH)
    expected = 0.0
    for row in range(3):
        for place in range(int(lengths[row])):
            p = torch.sigmoid(verdicts[row, place]).item()
            expected -= torch.log(torch.tensor(p if labels[row, place] else 1 - p)).item()
    got = objective.discriminator_loss_sum(verdicts, labels, present).item()
    assert got == pytest.approx(expected, rel=1e-5)
    assert ids.shape == (3, LENGTH)


def test_type_ids_mark_segment_b_alone() -> None:
    types = objective.token_type_ids(torch.tensor([3, 5]), torch.tensor([5, 5]), 6)
    assert types.tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]]


def test_documents_of_a_packed_row_start_at_their_cls() -> None:
    cls, sep, pad = SPECIAL.cls, SPECIAL.sep, SPECIAL.pad
    ids = torch.tensor([[cls, 5, sep, cls, 6, 7, sep, pad], [cls, 5, 6, 7, 8, 9, 10, sep]])
    starts = objective.document_starts(ids, cls)
    assert starts.tolist() == [[0, 0, 0, 3, 3, 3, 3, 3], [0] * 8]
