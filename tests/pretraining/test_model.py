"""Published sizes, tying, and the masked-only head against transformers' own full forward."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining

from electra_pipeline.pretraining import objective
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.model import (
    SIZES,
    Electra,
    ModelOverrides,
    Size,
    count_parameters,
    model_config,
)
from electra_pipeline.pretraining.objective import SpecialIds

SPECIAL = SpecialIds(pad=0, cls=101, sep=102, mask=103)
VOCAB_SIZE = 30_522


def batch(num_rows: int = 4, length: int = 32, vocab_size: int = 2000) -> Batch:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(8, length + 1, (num_rows,), generator=generator)
    ids = torch.randint(200, vocab_size, (num_rows, length), generator=generator)
    ids[:, 0] = SPECIAL.cls
    ids[torch.arange(num_rows), lengths - 1] = SPECIAL.sep
    ids[~objective.attention_mask(lengths, length)] = SPECIAL.pad
    slots = objective.num_slots(length, 0.15)
    predictions = objective.num_to_predict(lengths, 0.15, slots)
    return Batch(
        ids,
        lengths,
        lengths // 2,
        torch.rand(num_rows, slots, 3, generator=generator),
        int(lengths.sum()),
        int(predictions.sum()),
    )


# The published counts: google/electra-* with 30,522 pieces; joint counts shared tables once.
@pytest.mark.parametrize(
    ("size", "joint", "discriminator", "generator"),
    [
        ("small", 14_196_219, 13_549_057, 4_620_026),
        ("base", 119_386_427, 109_483_009, 33_740_602),
        ("large", 354_655_291, 335_142_913, 51_295_290),
    ],
)
def test_parameter_counts(
    size: Size, joint: int, discriminator: int, generator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # on the meta device only shapes exist, and there is nothing to initialise
    monkeypatch.setattr("electra_pipeline.pretraining.model._initialise", lambda *_: None)
    with torch.device("meta"):
        model = Electra(SIZES[size], VOCAB_SIZE, SPECIAL, seed=0)
    assert count_parameters(model) == joint
    assert count_parameters(model.discriminator) == discriminator
    assert count_parameters(model.generator) == generator


@pytest.fixture(scope="module")
def small() -> Electra:
    return Electra(SIZES["small"], VOCAB_SIZE, SPECIAL, seed=0)


@pytest.fixture(scope="module")
def tiny() -> Electra:
    overrides = ModelOverrides(hidden_size=32, num_layers=2, feed_forward_size=64)
    return Electra(model_config("tiny", overrides), 2000, SPECIAL, seed=0)


def test_losses_at_initialisation(small: Electra) -> None:
    some = batch(8, 64, VOCAB_SIZE)
    with torch.no_grad():
        outputs = small.eval()(some, 0.15)
    generator = outputs["generator_loss_sum"].item() / some.num_predictions
    discriminator = outputs["discriminator_loss_sum"].item() / some.num_tokens
    assert generator == pytest.approx(10.3262, rel=0.02)  # ln 30,522
    assert discriminator == pytest.approx(0.6931, rel=0.02)  # ln 2
    assert generator + 50 * discriminator == pytest.approx(44.98, rel=0.02)


def test_one_embedding_block_serves_three_places(tiny: Electra) -> None:
    ours = tiny.discriminator.electra.embeddings
    theirs = tiny.generator.electra.embeddings
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm"):
        assert getattr(ours, table).weight is getattr(theirs, table).weight
    assert tiny.generator.generator_lm_head.weight is ours.word_embeddings.weight
    copy = Electra(
        model_config("tiny", ModelOverrides(hidden_size=32, num_layers=2, feed_forward_size=64)),
        2000,
        SPECIAL,
        seed=1,
    )
    copy.load_state_dict(tiny.state_dict())
    assert copy.generator.generator_lm_head.weight is copy.word_embeddings
    assert torch.equal(copy.word_embeddings, tiny.word_embeddings)


def test_weights_depend_on_the_seed_alone() -> None:
    config = model_config("tiny", ModelOverrides(num_layers=1))
    torch.manual_seed(1)
    first = Electra(config, 500, SPECIAL, seed=4)
    torch.manual_seed(2)
    second = Electra(config, 500, SPECIAL, seed=4)
    third = Electra(config, 500, SPECIAL, seed=5)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.word_embeddings, third.word_embeddings)
    assert first.word_embeddings.abs().max() <= 0.04  # truncated at two deviations


def test_masked_only_head_equals_the_full_head_in_value_and_gradient(tiny: Electra) -> None:
    tiny.eval()
    some = batch()
    length = some.input_ids.shape[1]
    present = objective.attention_mask(some.lengths, length)
    types = objective.token_type_ids(some.segment_b, some.lengths, length)
    masked = objective.mask_tokens(some.input_ids, some.lengths, some.noise, SPECIAL, 0.15)

    def gradients(logits: torch.Tensor) -> dict[str, torch.Tensor]:
        tiny.zero_grad()
        objective.generator_loss_sum(logits, masked).backward()
        named = tiny.named_parameters()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}

    few = tiny.generator_logits(masked, present, types)
    everywhere = tiny.generator(
        input_ids=masked.input_ids, attention_mask=present, token_type_ids=types
    ).logits
    gathered = everywhere.gather(1, masked.positions[..., None].expand(-1, -1, 2000))
    assert torch.allclose(few, gathered, atol=1e-5)
    ours, theirs = gradients(few), gradients(gathered)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-4), name


def test_the_discriminator_loss_does_not_reach_the_generators_layers(tiny: Electra) -> None:
    tiny.zero_grad()
    tiny(batch(), 0.15)["discriminator_loss_sum"].backward()
    for name, parameter in tiny.generator.named_parameters():
        shared = name.startswith("electra.embeddings.") or name == "generator_lm_head.weight"
        assert (parameter.grad is not None) == shared, name
    tiny.zero_grad()
    tiny(batch(), 0.15)["generator_loss_sum"].backward()
    assert tiny.word_embeddings.grad is not None
    assert tiny.discriminator.electra.encoder.layer[0].output.dense.weight.grad is None


def test_saved_parts_load_in_plain_transformers(tiny: Electra, tmp_path: Path) -> None:
    tiny.eval()
    some = batch()
    length = some.input_ids.shape[1]
    present = objective.attention_mask(some.lengths, length)
    types = objective.token_type_ids(some.segment_b, some.lengths, length)
    tiny.generator.save_pretrained(tmp_path / "generator")
    tiny.discriminator.save_pretrained(tmp_path / "discriminator")
    discriminator = AutoModelForPreTraining.from_pretrained(tmp_path / "discriminator").eval()
    generator = AutoModelForMaskedLM.from_pretrained(tmp_path / "generator").eval()
    inputs = {
        "input_ids": some.input_ids,
        "attention_mask": present,
        "token_type_ids": types,
    }
    with torch.no_grad():
        assert torch.equal(
            discriminator(**inputs).logits,
            tiny.discriminator_logits(some.input_ids, present, types),
        )
        assert torch.equal(generator(**inputs).logits, tiny.generator(**inputs).logits)
    tied = generator.get_input_embeddings().weight
    assert generator.get_output_embeddings().weight is tied


def test_overrides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size 100 is not a multiple of num_heads 3"):
        model_config("tiny", ModelOverrides(hidden_size=100, num_heads=3))
