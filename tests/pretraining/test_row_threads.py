"""Threads with rows of their own, against one backward pass of the whole batch."""

from collections.abc import Callable

import pytest
import torch

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking
from electra_pipeline.pretraining.sizes import EmbeddingSharing, ModelOverrides, model_config
from electra_pipeline.pretraining.step import Step

SHAPE = ModelOverrides(
    hidden_size=32, num_layers=2, feed_forward_size=64, dropout=0.1, attention_dropout=0.1
)


@pytest.mark.parametrize("sharing", ["tied", "gdes"])
@pytest.mark.parametrize(
    ("num_threads", "most_rows"), [(1, None), (2, None), (3, None), (2, 1), (16, None)]
)
def test_gradients_and_sums_are_those_of_one_backward_pass(
    masking: Callable[..., Masking],
    make_batch: Callable[..., Batch],
    sharing: EmbeddingSharing,
    num_threads: int,
    most_rows: int | None,
) -> None:
    """With dropout on, for threads that divide the rows evenly, unevenly or have none."""
    shape = model_config("tiny", SHAPE.model_copy(update={"embedding_sharing": sharing}))
    using = kernels(torch.device("cpu"), Scale())
    model = Electra(shape, 2000, masking(32), seed=0, kernels=using).train()
    batch = make_batch(model.masking, num_rows=7)
    scale = Scale(precision="float32", micro_batch_sequences=most_rows)
    step = Step(Worker(num_threads=num_threads), PretrainConfig(), scale)
    outputs = model(batch)
    step._mean_loss(outputs, batch).backward()  # type: ignore[no-untyped-call]
    expected = {name: each.grad for name, each in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    sums = step.backward(model, batch)
    found = {name: each.grad for name, each in model.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, atol=1e-5, rtol=1e-4), name
    assert sums[0] == pytest.approx(outputs["generator_loss_sum"].item(), rel=1e-5)
    assert sums[1] == pytest.approx(outputs["discriminator_loss_sum"].item(), rel=1e-5)


def test_many_small_parts_add_up_in_bfloat16(
    masking: Callable[..., Masking], make_batch: Callable[..., Batch]
) -> None:
    """A sum kept in eight bits would lose most of 64 parts: each is below its last bit."""
    using = kernels(torch.device("cpu"), Scale())
    model = Electra(model_config("tiny", SHAPE), 2000, masking(32), seed=0, kernels=using).train()
    batch = make_batch(model.masking, num_rows=64)
    found = []
    for most_rows in (None, 1):
        scale = Scale(precision="bfloat16", micro_batch_sequences=most_rows)
        Step(Worker(), PretrainConfig(), scale).backward(model, batch)
        found.append(model.word_embeddings.grad)
        model.zero_grad(set_to_none=True)
    whole, parts = found
    assert whole is not None and parts is not None
    assert (whole - parts).norm() < 0.02 * whole.norm()
