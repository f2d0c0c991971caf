"""The schedule, Adam without bias correction and layer-wise rates against published tables."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    ElectraConfig,
    ElectraForSequenceClassification,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
)

from electra_pipeline.core import optim, schedule


# google-research/electra optimization.py:36-45 worked out by hand
@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (5000, 2.4875e-4), (10_000, 4.95e-4), (100_000, 4.5e-4), (500_000, 2.5e-4)],
)
def test_learning_rate_of_small(step: int, expected: float) -> None:
    assert schedule.learning_rate(step, 5e-4, 1_000_000, 10_000) == pytest.approx(expected)


def test_peaks_of_base_and_large() -> None:
    assert schedule.learning_rate(10_000, 2e-4, 766_000, 10_000) == pytest.approx(1.97389e-4)
    assert schedule.learning_rate(10_000, 2e-4, 400_000, 10_000) == pytest.approx(1.95e-4)


@pytest.mark.parametrize("step", [0, 3, 10, 25, 50, 100, 120])
def test_other_schedules_are_those_of_transformers(step: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    constant = get_constant_schedule_with_warmup(optimizer, 10).lr_lambdas[0](step)
    assert schedule.learning_rate(step, 1.0, 100, 10, "constant") == pytest.approx(constant)
    # theirs counts the cosine from the end of the warm-up, so compare it without one
    cosine = get_cosine_schedule_with_warmup(optimizer, 0, 100).lr_lambdas[0](min(step, 100))
    assert schedule.learning_rate(step, 1.0, 100, 0, "cosine") == pytest.approx(cosine)


def test_constant_gradient_ratios() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optim.Adam([{"params": [parameter]}])
    moves = {}
    for step in range(1, 5001):
        before = parameter.item()
        parameter.grad = torch.ones(1, dtype=torch.float64)
        optimizer.set_learning_rate(1.0)
        optimizer.step()
        moves[step] = before - parameter.item()
    assert moves[1] == pytest.approx(3.162, abs=1e-3)
    assert moves[12] == pytest.approx(6.57, abs=1e-2)
    assert max(moves, key=lambda step: moves[step]) == 12
    assert moves[2000] == pytest.approx(1.075, abs=1e-3)
    assert moves[5000] == pytest.approx(1.003, abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10_000),
    st.floats(0, 0.5),
    st.floats(1e-6, 1e-1),
    st.integers(1, 8),
)
def test_adam_equals_a_plain_transcription(
    seed: int, decay: float, rate: float, num_steps: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(7, generator=generator, dtype=torch.float64)
    gradients = torch.randn(num_steps, 7, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = optim.Adam([{"params": [parameter], "weight_decay": decay}])
    m = v = torch.zeros(7, dtype=torch.float64)
    expected = start
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.set_learning_rate(rate)
        optimizer.step()
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        expected = expected - rate * (m / (v.sqrt() + 1e-6) + decay * expected)
    assert torch.allclose(parameter, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(1e-6, 1e-1), st.integers(1, 8))
def test_corrected_adam_equals_torchs_adamw(
    seed: int, decay: float, rate: float, num_steps: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(7, generator=generator, dtype=torch.float64)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    groups = [{"params": [ours], "weight_decay": decay}]
    optimizer = optim.Adam(groups, bias_correction=True)
    peer = torch.optim.AdamW([theirs], lr=rate, eps=1e-6, weight_decay=decay)
    for gradient in torch.randn(num_steps, 7, generator=generator, dtype=torch.float64):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.set_learning_rate(rate)
        # the next step depends only on what a checkpoint stores
        saved = optimizer.state_dict()
        optimizer = optim.Adam(groups, bias_correction=True)
        optimizer.load_state_dict(saved)
        optimizer.step()
        peer.step()
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_rate_of_zero_changes_moments_but_no_weight() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.Adam([{"params": [parameter], "weight_decay": 0.01}])
    parameter.grad = torch.ones(3)
    optimizer.set_learning_rate(0.0)
    optimizer.step()
    assert torch.equal(parameter, torch.ones(3))
    assert optimizer.state[parameter]["m"].sum() > 0


def test_clipping_is_over_all_gradients_together() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.full((2,), 3.0)
    norm = optim.clip_gradients(parameters, 1.0)
    assert norm.item() == pytest.approx(6.0)
    assert torch.cat([p.grad for p in parameters]).norm().item() == pytest.approx(1.0)
    optim.clip_gradients(parameters, 5.0)
    assert torch.cat([p.grad for p in parameters]).norm().item() == pytest.approx(1.0)


def classifier(num_layers: int) -> ElectraForSequenceClassification:
    return ElectraForSequenceClassification(
        ElectraConfig(
            vocab_size=50,
            embedding_size=8,
            hidden_size=16,
            num_hidden_layers=num_layers,
            num_attention_heads=2,
            intermediate_size=16,
        )
    )


def test_embeddings_are_decayed_but_no_norm_and_no_bias() -> None:
    model = classifier(2)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optim.parameter_groups(model, 0.01)
    decayed = {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}
    assert "electra.embeddings.word_embeddings.weight" in decayed
    assert not any("LayerNorm" in name or name.endswith("bias") for name in decayed)
    assert sum(len(g["params"]) for g in groups) == len(names)


@pytest.mark.parametrize(
    ("num_layers", "decay", "extra", "embeddings", "first", "top"),
    [
        (12, 0.8, 1, 0.043980, 0.054976, 0.64),
        (24, 0.9, 1, 0.064611, 0.071790, 0.81),
        (12, 0.8, 0, 0.054976, 0.068719, 0.8),
        (24, 0.9, 0, 0.071790, 0.079766, 0.9),
    ],
)
def test_layer_rates(
    num_layers: int, decay: float, extra: int, embeddings: float, first: float, top: float
) -> None:
    model = classifier(num_layers)
    groups = optim.layerwise_groups(
        model,
        weight_decay=0.01,
        layer_decay=decay,
        extra_exponent=extra,
    )
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    rates = {name: scale[id(p)] for name, p in model.named_parameters()}
    layers = "electra.encoder.layer"
    assert rates["electra.embeddings.word_embeddings.weight"] == pytest.approx(embeddings, abs=1e-6)
    assert rates["electra.embeddings_project.weight"] == pytest.approx(embeddings, abs=1e-6)
    assert rates[f"{layers}.0.output.dense.weight"] == pytest.approx(first, abs=1e-6)
    assert rates[f"{layers}.{num_layers - 1}.output.dense.bias"] == pytest.approx(top)
    assert rates["classifier.dense.weight"] == 1.0
