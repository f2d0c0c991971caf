"""Training in bfloat16: dropout and attention in the faster way, for any architecture."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch.nn import functional

from electra_pipeline.core.execution import StageContext
from electra_pipeline.finetuning.arithmetic import (
    LaneDropout,
    autocast,
    fast_attention,
    fast_dropout,
)
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.plan import plan
from electra_pipeline.finetuning.run import run_trial
from electra_pipeline.tasks.catalog.user_task import UserTask

CPU = torch.device("cpu")
SIZE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_labels": 3,
}
DEBERTA = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
MODERNBERT = {f"{name}_token_id": 0 for name in ("pad", "bos", "cls", "eos", "sep")}
ARCHITECTURES = {
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "bert": ("BertConfig", {}),
    "roberta": ("RobertaConfig", {}),
    "albert": ("AlbertConfig", {"embedding_size": 16}),
    "deberta-v2": ("DebertaV2Config", DEBERTA),  # its attention is not one of transformers' choices
    "distilbert": ("DistilBertConfig", DISTILBERT),
    "modernbert": ("ModernBertConfig", MODERNBERT),
}


def make(name, **values):
    config, own = ARCHITECTURES[name]
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_config(
        getattr(transformers, config)(**SIZE, **own, **values)
    ).train()


def gradient(model, dtype):
    """The logits and the gradients of one batch with padding, side by side in one vector."""
    ids = torch.arange(5, 29).reshape(3, 8)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    model.zero_grad()
    with fast_attention(model, dtype), autocast(CPU, dtype), fast_dropout(CPU, dtype):
        logits = model(input_ids=ids, attention_mask=mask).logits.float()
    functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert all(each.dtype == torch.float32 for each in found)
    return logits.detach(), torch.cat(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bfloat16_has_the_gradient_of_float32_but_for_rounding(name):
    rates = [key for key in make(name).config.to_dict() if key.endswith(("dropout", "_prob"))]
    model = make(name, **dict.fromkeys(rates, 0.0))
    chosen = model.config._attn_implementation
    (logits, expected), (rounded, found) = (
        gradient(model, dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    assert not torch.equal(rounded, logits)
    torch.testing.assert_close(rounded, logits, rtol=0.02, atol=0.02)
    # the angle: each of some thousand sums is rounded by itself
    assert functional.cosine_similarity(found, expected, dim=0) > 0.999
    assert model.config._attn_implementation == chosen


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_of_any_architecture_is_drawn_in_lanes(name, monkeypatch):
    drawn = []

    def refuse(*arguments, **options):
        raise AssertionError("drawn by torch")

    def count(input, p=0.5, training=True, inplace=False):
        drawn.append(p)
        return input

    model = make(name)
    if name == "modernbert":
        model.config.attention_dropout = 0.1
    monkeypatch.setattr("electra_pipeline.finetuning.arithmetic.dropout", count)
    monkeypatch.setattr(torch, "dropout", refuse)
    gradient(model, torch.bfloat16)
    assert drawn


def test_lanes_drop_the_fraction_and_keep_the_mean_in_value_and_gradient():
    values = torch.ones(1000, 1001, requires_grad=True)  # no multiple of the lanes of a number
    torch.manual_seed(1)
    with LaneDropout():
        found = functional.dropout(values, 0.1)
        second = torch.nn.Dropout(0.1)(values)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / 0.9])
    deviation = (0.1 * 0.9 / values.numel()) ** 0.5
    assert abs((found == 0).double().mean().item() - 0.1) < 5 * deviation
    both = ((found == 0) & (second == 0)).double().mean().item()
    assert abs(both - 0.01) < 5 * (0.01 / values.numel()) ** 0.5
    found.sum().backward()
    assert torch.equal(values.grad, found)
    # neighbours are independent, within one 64-bit number too
    rows = (found == 0).double()
    for distance in (1, 2, 3, 4):
        pairs = (rows[:, distance:] * rows[:, :-distance]).mean().item()
        assert abs(pairs - 0.01) < 5 * (0.01 / values.numel()) ** 0.5


def test_lanes_depend_on_the_seed_alone_and_are_absent_outside():
    values = torch.ones(33, 7)

    def drop(seed):
        torch.manual_seed(seed)
        return functional.dropout(values, 0.5)

    plain = drop(1)
    with LaneDropout():
        first, again, other = drop(1), drop(1), drop(2)
        assert torch.equal(functional.dropout(values, 0.5, training=False), values)
        assert torch.equal(functional.dropout(values, 0.0), values)
        assert not functional.dropout(values, 1.0).any()
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(drop(1), plain) and not torch.equal(first, plain)


def test_float32_training_is_left_as_it_is():
    model = make("electra")
    torch.manual_seed(3)
    logits, found = gradient(model, torch.float32)
    model.zero_grad()
    torch.manual_seed(3)
    ids = torch.arange(5, 29).reshape(3, 8)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    plain = model(input_ids=ids, attention_mask=mask).logits
    functional.cross_entropy(plain, torch.tensor([0, 1, 2])).backward()
    assert torch.equal(plain, logits)
    expected = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert torch.equal(torch.cat(expected), found)


def test_precision_is_recorded_and_is_not_part_of_a_trials_identity(
    published, task_files, tmp_path
):
    train, validation = task_files["classification"]
    task = UserTask(name="own", type="classification", train=train, validation=validation, epochs=1)
    config = FinetuneConfig(tasks=(task,), seeds=(0,), baselines=(), keep_models="none")
    (trial,) = plan(config, published, StageContext(str(tmp_path / "a"), "test"))
    found = run_trial(trial, precision="bfloat16")
    assert found.observed["precision"] == "bfloat16" and found.observed["device"]
    assert "precision" not in str(found.manifest)
    assert run_trial(trial, precision="float32").observed["precision"] == "bfloat16"  # reused
    other = run_trial(replace(trial, root=str(tmp_path / "b")), precision="float32")
    assert other.observed["precision"] == "float32"
    assert other.fingerprint == found.fingerprint
    assert other.counters["training"]["last_loss"] != found.counters["training"]["last_loss"]
