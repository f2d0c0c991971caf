"""Attention of documents against the explicit form, in value and gradient."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from electra_pipeline.pretraining import attention
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.model import Electra, layout
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import ModelOverrides, model_config

LENGTH, NUM_HEADS, HEAD_SIZE = 32, 2, 16
SCALE = HEAD_SIZE**-0.5


@pytest.fixture(params=[False, True], ids=["pairs", "packed"])
def batch(
    request: pytest.FixtureRequest,
    masking: Callable[..., Masking],
    make_batch: Callable[..., Batch],
) -> Batch:
    return make_batch(masking(LENGTH), length=LENGTH, packed=request.param)


def starts_of(batch: Batch) -> Tensor:
    return layout(batch, 101).boundaries


def one_by_one(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Tensor,
    starts_of_keys: Tensor,
    longest: int,
    longest_of_keys: int,
    *,
    scale: float,
) -> Tensor:
    """Replaces torch's kernel for GPUs; (tokens, heads, size) each."""
    assert torch.equal(starts, starts_of_keys) and starts.dtype == torch.int32
    assert int(starts.diff().max()) <= longest == longest_of_keys
    return torch.cat(
        [
            F.scaled_dot_product_attention(
                *(each[start:stop].transpose(0, 1) for each in (queries, keys, values)), scale=scale
            ).transpose(0, 1)
            for start, stop in pairwise(starts.tolist())
        ]
    )


def explicit(joint: Tensor, visible: Tensor) -> Tensor:
    heads = joint.unflatten(2, (3, NUM_HEADS, HEAD_SIZE)).permute(2, 0, 3, 1, 4)
    queries, keys, values = heads.unbind(0)
    scores = (queries @ keys.transpose(2, 3) * SCALE).masked_fill(~visible, -1e4)
    return (torch.softmax(scores, dim=-1) @ values).transpose(1, 2).flatten(2)


def test_parts_are_the_documents_and_the_padding_of_a_row(batch: Batch) -> None:
    visible = layout(batch, 101).visible.expand(-1, -1, LENGTH, LENGTH)[:, 0]
    starts = starts_of(batch).tolist()
    assert starts[0] == 0
    assert starts[-1] == batch.input_ids.numel()
    found = torch.zeros(batch.input_ids.numel(), batch.input_ids.numel(), dtype=torch.bool)
    for start, stop in pairwise(starts):
        found[start:stop, start:stop] = True
    for row, length in enumerate(batch.lengths.tolist()):
        own = slice(row * LENGTH, row * LENGTH + length)
        assert torch.equal(found[own, own], visible[row, :length, :length])
        assert found[own].sum() == visible[row, :length].sum()  # nothing of padding, other rows


def test_documents_attend_as_in_the_explicit_form(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "varlen_attn", one_by_one)
    check(batch, torch.float32, 1e-5)


@pytest.mark.gpu
def test_documents_attend_as_in_the_explicit_form_on_a_gpu(batch: Batch) -> None:
    assert attention.is_fused(torch.device("cuda"), torch.bfloat16, HEAD_SIZE)
    check(batch.to(torch.device("cuda")), torch.bfloat16, 0.03)


def check(batch: Batch, dtype: torch.dtype, tolerance: float) -> None:
    device = batch.input_ids.device
    generator = torch.Generator().manual_seed(0)
    shape = (len(batch), LENGTH, 3 * NUM_HEADS * HEAD_SIZE)
    joint = torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()
    visible = layout(batch, 101).visible
    present = torch.arange(LENGTH, device=device) < batch.lengths[:, None]
    found = attention.attend_documents(joint, starts_of(batch), NUM_HEADS, SCALE)[present]
    expected = explicit(joint, visible)[present]
    assert torch.allclose(found, expected, atol=tolerance)
    direction = torch.randn(expected.shape, generator=generator).to(expected)
    (of_found,) = torch.autograd.grad((found * direction).sum(), joint)
    (of_expected,) = torch.autograd.grad((expected * direction).sum(), joint)
    assert torch.allclose(of_found, of_expected, atol=tolerance)


@pytest.mark.parametrize(
    ("device", "dtype", "head_size"),
    [("cpu", torch.bfloat16, 64), ("cuda", torch.float32, 64), ("cuda", torch.bfloat16, 20)],
)
def test_other_devices_and_types_keep_the_explicit_form(
    device: str, dtype: torch.dtype, head_size: int
) -> None:
    assert not attention.is_fused(torch.device(device), dtype, head_size)


def test_both_models_take_the_kernel_where_nothing_is_dropped(
    batch: Batch, masking: Callable[..., Masking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and gradients are those of the explicit form."""
    shape = model_config("tiny", ModelOverrides(hidden_size=32, feed_forward_size=64, dropout=0.1))
    model = Electra(shape, 2000, masking(LENGTH), seed=0).train()

    def gradients() -> list[Tensor]:
        outputs = model(batch)
        loss = outputs["generator_loss_sum"] + outputs["discriminator_loss_sum"]
        return list(torch.autograd.grad(loss, list(model.parameters())))

    expected = gradients()
    calls = []

    def kernel(*arguments: Any, **options: Any) -> Tensor:
        calls.append(arguments)
        return one_by_one(*arguments, **options)

    monkeypatch.setattr(attention, "varlen_attn", kernel)
    monkeypatch.setattr(attention, "is_fused", lambda *_: True)
    found = gradients()
    assert len(calls) == 4  # layers of both models
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)
