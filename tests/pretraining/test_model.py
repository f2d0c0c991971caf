"""Published sizes, tying, and the forward pass against transformers' own."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining

from electra_pipeline.core.execution import Scale
from electra_pipeline.pretraining import objective, transformer
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.model import Electra, count_parameters, layout
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import SIZES, ModelOverrides, Size, model_config

VOCAB_SIZE = 30_522
OVERRIDES = ModelOverrides(hidden_size=32, num_layers=2, feed_forward_size=64)
GDES = OVERRIDES.model_copy(update={"embedding_sharing": "gdes"})
DROPPING = OVERRIDES.model_copy(update={"dropout": 0.1, "attention_dropout": 0.1})

MakeMasking = Callable[..., Masking]
MakeBatch = Callable[..., Batch]


def build(masking: Masking, overrides: ModelOverrides = OVERRIDES, **options: Any) -> Electra:
    return Electra(model_config("tiny", overrides), 2000, masking, seed=0, **options)


@pytest.fixture(scope="module")
def tiny(masking: MakeMasking) -> Electra:
    return build(masking(32))


# The published counts: google/electra-* with 30,522 tokens; joint counts shared tables once.
@pytest.mark.parametrize(
    ("size", "joint", "discriminator", "generator"),
    [
        ("small", 14_196_219, 13_549_057, 4_620_026),
        ("base", 119_386_427, 109_483_009, 33_740_602),
        ("large", 354_655_291, 335_142_913, 51_295_290),
    ],
)
def test_parameter_counts(
    size: Size,
    joint: int,
    discriminator: int,
    generator: int,
    masking: MakeMasking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # on the meta device only shapes exist, and there is nothing to initialise
    monkeypatch.setattr("electra_pipeline.pretraining.model._initialise", lambda *_: None)
    with torch.device("meta"):
        model = Electra(SIZES[size], VOCAB_SIZE, masking(128), seed=0)
    assert count_parameters(model) == joint
    assert count_parameters(model.discriminator) == discriminator
    assert count_parameters(model.generator) == generator


def test_losses_at_initialisation(masking: MakeMasking, make_batch: MakeBatch) -> None:
    small = Electra(SIZES["small"], VOCAB_SIZE, masking(64), seed=0)
    some = make_batch(small.masking, 8, 64, VOCAB_SIZE)
    with torch.no_grad():
        outputs = small.eval()(some)
    generator = outputs["generator_loss_sum"].item() / some.num_predictions
    discriminator = outputs["discriminator_loss_sum"].item() / some.num_tokens
    assert generator == pytest.approx(10.3262, rel=0.02)  # ln 30,522
    assert discriminator == pytest.approx(0.6931, rel=0.02)  # ln 2
    assert generator + 50 * discriminator == pytest.approx(44.98, rel=0.02)


def test_with_token_bias_the_generator_starts_at_the_unigram_loss(
    masking: MakeMasking, make_batch: MakeBatch
) -> None:
    model = build(masking(32)).eval()
    log_frequencies = torch.linspace(-3.0, 3.0, 2000).log_softmax(dim=0)
    model.set_token_bias(log_frequencies)
    some = make_batch(model.masking)
    with torch.no_grad():
        outputs = model(some)
    used = outputs["weights"].bool()
    expected = -log_frequencies[outputs["original_ids"][used]].mean().item()
    found = outputs["generator_loss_sum"].item() / some.num_predictions
    assert found == pytest.approx(expected, rel=0.02)
    assert abs(found - math.log(2000)) > 0.1


def test_one_embedding_block_is_used_three_times(tiny: Electra) -> None:
    ours = tiny.discriminator.electra.embeddings
    theirs = tiny.generator.electra.embeddings
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        assert getattr(ours, table).weight is getattr(theirs, table).weight
    assert tiny.generator.generator_lm_head.weight is ours.word_embeddings.weight
    copy = Electra(model_config("tiny", OVERRIDES), 2000, tiny.masking, seed=1)
    copy.load_state_dict(tiny.state_dict())
    assert copy.generator.generator_lm_head.weight is copy.word_embeddings
    assert copy.discriminator.electra.embeddings.word_embeddings.weight is copy.word_embeddings
    assert torch.equal(copy.word_embeddings, tiny.word_embeddings)


def test_weights_depend_on_the_seed_alone(masking: MakeMasking) -> None:
    config = model_config("tiny", ModelOverrides(num_layers=1))
    torch.manual_seed(1)
    first = Electra(config, 500, masking(32), seed=4)
    torch.manual_seed(2)
    second = Electra(config, 500, masking(32), seed=4)
    third = Electra(config, 500, masking(32), seed=5)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.word_embeddings, third.word_embeddings)
    assert first.word_embeddings.abs().max() <= 0.04  # truncated at two deviations


def gradients(model: Electra, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-4, rtol=1e-4), name


def test_the_forward_pass_is_that_of_transformers_in_value_and_gradient(
    tiny: Electra, make_batch: MakeBatch
) -> None:
    """Both models, and the head at masked slots against the head at all positions."""
    tiny.eval()
    some = make_batch(tiny.masking)
    rows = layout(some, tiny.masking.special.cls)
    inputs = {
        "attention_mask": objective.attention_mask(some.lengths, some.input_ids.shape[1]),
        "token_type_ids": rows.types,
    }
    masked = objective.mask_tokens(
        some.input_ids,
        some.lengths,
        some.counts,
        some.position_noise,
        some.slot_noise[..., 0],
        tiny.masking,
    )
    weights = tiny.weights(torch.float32)
    states = tiny.generator_states(weights, masked, rows)
    few = transformer.linear(states, weights.vocabulary)
    everywhere = tiny.generator(input_ids=masked.input_ids, **inputs).logits
    gathered = everywhere.gather(1, masked.positions[..., None].expand(-1, -1, 2000))
    assert torch.allclose(few, gathered, atol=1e-5)
    assert_close(
        gradients(tiny, objective.generator_loss_sum(few, masked)),
        gradients(tiny, objective.generator_loss_sum(gathered, masked)),
    )
    ours = tiny.discriminator_logits(tiny.weights(torch.float32), some.input_ids, rows)
    theirs = tiny.discriminator(input_ids=some.input_ids, **inputs).logits
    present = inputs["attention_mask"]
    assert torch.allclose(ours[present], theirs[present], atol=1e-6)
    assert_close(
        gradients(tiny, ours[present].square().sum()),
        gradients(tiny, theirs[present].square().sum()),
    )


@pytest.mark.parametrize("distinct", [False, True], ids=["google", "clean"])
def test_a_rows_result_does_not_depend_on_its_neighbours(
    masking: MakeMasking, make_batch: MakeBatch, distinct: bool
) -> None:
    """With dropout on: whole, in micro-batches and in another order of ranks."""
    model = build(masking(32, distinct), DROPPING).train()
    some = make_batch(model.masking, num_rows=6)
    whole = gradients(model, loss(model(some)))
    model.zero_grad()
    for part in some.split(4):
        loss(model(part)).backward()
    parts = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert_close(whole, parts)
    again = gradients(model, loss(model(replace(some, dropout_keys=some.dropout_keys + 1))))
    assert any(not torch.allclose(again[name], whole[name], atol=1e-4) for name in whole)


def loss(outputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return outputs["generator_loss_sum"] + outputs["discriminator_loss_sum"]


def test_documents_of_a_packed_row_do_not_attend_to_each_other(
    tiny: Electra, make_batch: MakeBatch
) -> None:
    """A packed row gives each document what it gets alone in a padded row."""
    tiny.eval()
    packed = make_batch(tiny.masking, num_rows=3, packed=True)
    rows = layout(packed, tiny.masking.special.cls)
    together = tiny.discriminator_logits(tiny.weights(torch.float32), packed.input_ids, rows)
    for row, length in enumerate(packed.lengths.tolist()):
        starts = sorted({*rows_starts(packed.input_ids[row, :length]), length})
        assert len(starts) > 2
        for start, stop in pairwise(starts):
            alone = packed.input_ids[row : row + 1, start:stop]
            with torch.no_grad():
                expected = tiny.discriminator(input_ids=alone).logits[0]
            assert torch.allclose(together[row, start:stop], expected, atol=1e-5)


def rows_starts(ids: torch.Tensor) -> list[int]:
    return [place for place, token in enumerate(ids.tolist()) if token == 101]


def test_compiled_layers_compute_the_same(masking: MakeMasking, make_batch: MakeBatch) -> None:
    """In value and gradient, with dropout on."""
    model = build(masking(32), DROPPING.model_copy(update={"num_layers": 1}))
    some = make_batch(model.masking)
    rows = layout(some, model.masking.special.cls)
    electra = model.discriminator.electra
    embedded = torch.randn(*some.input_ids.shape, electra.config.embedding_size)
    direction = torch.randn(*some.input_ids.shape, electra.config.hidden_size)

    def run(using: transformer.Kernels) -> tuple[torch.Tensor, torch.Tensor]:
        weights = model.weights(torch.float32).discriminator
        keys = some.dropout_keys[:, 0]
        hidden = transformer.encode(electra, weights, embedded, rows, keys, torch.float32, using)
        weight = electra.encoder.layer[0].attention.self.value.weight
        (gradient,) = torch.autograd.grad((hidden * direction).sum(), weight)
        return hidden, gradient

    compiled = kernels(torch.device("cpu"), Scale(compile=True))
    for plain, fused in zip(run(transformer.PLAIN), run(compiled), strict=True):
        assert (plain - fused).norm() < 1e-5 * plain.norm()  # other masks would be far off


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_activations_computed_again_give_equal_gradients(
    masking: MakeMasking, make_batch: MakeBatch, dtype: torch.dtype
) -> None:
    """To the bit, with dropout on: its masks do not depend on a generator's state."""
    found = []
    for recomputes in (False, True):
        using = kernels(torch.device("cpu"), Scale(gradient_checkpointing=recomputes))
        model = build(masking(32), DROPPING, kernels=using).train()
        found.append(gradients(model, loss(model(make_batch(model.masking), dtype))))
    kept, again = found
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("packed", [False, True], ids=["pairs", "packed"])
def test_a_row_without_tokens_has_no_loss_and_no_gradient(
    masking: MakeMasking, make_batch: MakeBatch, packed: bool, training: bool
) -> None:
    """A worker with fewer rows than others gets one."""
    model = build(masking(32), DROPPING).train(training)
    zeros = {"input_ids", "lengths", "segment_b", "counts", "position_noise", "slot_noise"}
    some = make_batch(model.masking, num_rows=1, packed=packed)
    empty = replace(some, **{name: torch.zeros_like(getattr(some, name)) for name in zeros})
    outputs = model(empty)
    found = gradients(model, loss(outputs))
    assert loss(outputs) == 0
    assert len(found) == len(list(model.parameters()))
    assert not any(gradient.any() for gradient in found.values())


def test_the_discriminator_loss_does_not_reach_the_generators_layers(
    tiny: Electra, make_batch: MakeBatch
) -> None:
    some = make_batch(tiny.masking)
    tiny.zero_grad()
    tiny(some)["discriminator_loss_sum"].backward()
    for name, parameter in tiny.generator.named_parameters():
        shared = name.startswith("electra.embeddings.") or name == "generator_lm_head.weight"
        assert (parameter.grad is not None) == shared, name
    tiny.zero_grad()
    tiny(some)["generator_loss_sum"].backward()
    assert tiny.word_embeddings.grad is not None
    assert tiny.discriminator.electra.encoder.layer[0].output.dense.weight.grad is None


def test_disentangled_embeddings_keep_the_discriminators_gradient_out_of_the_generator(
    masking: MakeMasking, make_batch: MakeBatch
) -> None:
    model = build(masking(32), GDES).eval()
    some = make_batch(model.masking)
    found = gradients(model, model(some)["discriminator_loss_sum"])
    assert not any(name.startswith("generator.") for name in found)
    assert "discriminator.electra.embeddings.word_embeddings.weight" in found
    # at the start the discriminator's own tables are 0: both models see the generator's
    rows = layout(some, model.masking.special.cls)
    weights = model.weights(torch.float32)
    table, own = weights.generator_embeddings, weights.discriminator_embeddings
    both = transformer.embed(own, some.input_ids, rows, beneath=table)
    assert torch.equal(both, transformer.embed(table, some.input_ids, rows))


@pytest.mark.parametrize("overrides", [OVERRIDES, GDES], ids=["tied", "gdes"])
def test_published_parts_load_in_plain_transformers(
    overrides: ModelOverrides, masking: MakeMasking, make_batch: MakeBatch, tmp_path: Path
) -> None:
    model = build(masking(32), overrides).eval()
    with torch.no_grad():  # as if trained: tables that add something
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    some = make_batch(model.masking)
    rows = layout(some, model.masking.special.cls)
    for kind, part in zip(("generator", "discriminator"), model.published(), strict=True):
        part.save_pretrained(tmp_path / kind)
    discriminator = AutoModelForPreTraining.from_pretrained(tmp_path / "discriminator").eval()
    generator = AutoModelForMaskedLM.from_pretrained(tmp_path / "generator").eval()
    present = objective.attention_mask(some.lengths, some.input_ids.shape[1])
    inputs = {
        "input_ids": some.input_ids,
        "attention_mask": present,
        "token_type_ids": rows.types,
    }
    with torch.no_grad():
        ours = model.discriminator_logits(model.weights(torch.float32), some.input_ids, rows)
        assert torch.allclose(discriminator(**inputs).logits[present], ours[present], atol=1e-5)
        assert torch.equal(generator(**inputs).logits, model.generator(**inputs).logits)
    assert generator.get_output_embeddings().weight is generator.get_input_embeddings().weight


def test_overrides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size 100 is not a multiple of num_heads 3"):
        model_config("tiny", ModelOverrides(hidden_size=100, num_heads=3))
