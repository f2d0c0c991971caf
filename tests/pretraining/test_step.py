"""A training step never waits for a number of its device, so that a GPU always has work queued."""

from collections.abc import Callable

import pytest
import torch

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.core.late_values import LateValues
from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import ModelOverrides, model_config
from electra_pipeline.pretraining.step import Step

SMALL = {"hidden_size": 32, "num_layers": 1, "feed_forward_size": 64}


class OnDevice(Worker):
    """A worker on a device that this machine may not have."""

    device = torch.device("meta")  # type: ignore[assignment]


@pytest.mark.parametrize("packed", [False, True], ids=["pairs", "packed"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_step_needs_no_number_of_its_device(
    masking: Callable[..., Masking],
    make_batch: Callable[..., Batch],
    monkeypatch: pytest.MonkeyPatch,
    packed: bool,
    dropout: float,
) -> None:
    """Tensors of the meta device have shapes alone: whatever asks for a number of one raises."""
    # the first weights are drawn by a loop that asks for numbers
    monkeypatch.setattr("electra_pipeline.pretraining.model._initialise", lambda *_: None)
    with torch.device("meta"):
        model = make_model(masking(32, distinct=packed), dropout)
    step = Step(OnDevice(), PretrainConfig(), Scale(precision="bfloat16", micro_batch_sequences=2))
    batch = make_batch(model.masking, packed=packed).to(torch.device("meta"))
    step.backward(model, batch)
    assert clip_gradients(model.parameters(), 1.0).is_meta
    assert all(parameter.grad is not None for parameter in model.parameters())


def make_model(masking: Masking, dropout: float) -> Electra:
    shape = ModelOverrides(dropout=dropout, attention_dropout=dropout, **SMALL)
    return Electra(model_config("tiny", shape), 2000, masking, seed=0).train()


@pytest.mark.gpu
@pytest.mark.parametrize("packed", [False, True], ids=["pairs", "packed"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_step_on_a_gpu_does_not_wait(
    masking: Callable[..., Masking],
    make_batch: Callable[..., Batch],
    request: pytest.FixtureRequest,
    packed: bool,
    dropout: float,
) -> None:
    request.addfinalizer(lambda: torch.cuda.set_sync_debug_mode("default"))
    device = torch.device("cuda")
    model = make_model(masking(32, distinct=packed), dropout).to(device)
    optimizer = Adam(parameter_groups(model, 0.01))
    step = Step(Worker(), PretrainConfig(), Scale())
    batch = make_batch(model.masking, packed=packed).pin()
    norms = LateValues(device)
    for index in range(3):
        if index == 1:  # the first step allocates the optimizer's state
            torch.cuda.set_sync_debug_mode("error")
        step.backward(model, batch.to(device))
        list(norms.add(index, clip_gradients(model.parameters(), 1.0)))
        optimizer.set_learning_rate(1e-3)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
