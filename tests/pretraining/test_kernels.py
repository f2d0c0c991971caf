"""What is written out for speed, against its plain form in value and gradient."""

import pytest
import torch
from torch import Tensor

from electra_pipeline.core.execution import Scale
from electra_pipeline.pretraining import (
    dropout,
    generator_head,
    layer_on_cpu,
    objective,
    transformer,
)
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.objective import Masked
from electra_pipeline.pretraining.transformer import LayerMasks
from electra_pipeline.pretraining.weights import Layer, Linear, Norm

ROWS, LENGTH, WIDTH, HEADS, WIDE = 3, 16, 32, 2, 64
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def random_layer(dtype: torch.dtype) -> Layer:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        values = 0.2 * torch.randn(*shape, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    def linear(width_out: int, width_in: int) -> Linear:
        return Linear(drawn(width_out, width_in), drawn(width_out))

    def norm() -> Norm:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        scale, shift = (drawn(WIDTH).detach().to(wide).requires_grad_() for _ in range(2))
        return Norm(scale, shift)

    return Layer(
        linear(3 * WIDTH, WIDTH),
        linear(WIDTH, WIDTH),
        norm(),
        linear(WIDE, WIDTH),
        linear(WIDTH, WIDE),
        norm(),
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("dropped", [False, True], ids=["whole", "dropped"])
def test_the_layer_for_cpus_is_the_plain_layer(dtype: torch.dtype, dropped: bool) -> None:
    weights = random_layer(dtype)
    drawn = torch.randn(2, ROWS, LENGTH, WIDTH, generator=torch.Generator().manual_seed(2))
    hidden, direction = drawn.to(dtype)
    visible = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool).tril()
    bias = transformer.attention_bias(visible, dtype)
    lines, groups = dropout.factors(torch.arange(ROWS), 3, HEADS * LENGTH, WIDTH)
    shapes = ((HEADS * LENGTH, LENGTH), (LENGTH, WIDTH), (LENGTH, WIDTH))
    masks = LayerMasks(
        *(
            dropout.keep(lines[index, :, :height], groups[index], width, 0.2, dtype)
            if dropped
            else None
            for index, (height, width) in enumerate(shapes)
        )
    )
    found = []
    for layer in (transformer.layer, layer_on_cpu.layer):
        inputs = hidden.clone().requires_grad_()
        outputs = layer(inputs, bias, masks, weights, HEADS)
        tensors = (inputs, *(each for part in weights for each in part))
        found.append((outputs, *torch.autograd.grad(outputs, tensors, direction)))
    for plain, fast in zip(*found, strict=True):
        assert plain.dtype == fast.dtype
        assert (plain - fast).norm() <= TOLERANCE[dtype] * plain.norm()


def head_inputs(vocab_size: int, dtype: torch.dtype) -> tuple[Tensor, Linear, Masked, Tensor]:
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(2, 7, 16, generator=generator).to(dtype).requires_grad_()
    matrix = torch.randn(vocab_size, 16, generator=generator).to(dtype).requires_grad_()
    bias = torch.randn(vocab_size, generator=generator).to(dtype).requires_grad_()
    masked = Masked(
        input_ids=torch.zeros(2, 9, dtype=torch.int64),
        positions=torch.zeros(2, 7, dtype=torch.int64),
        original_ids=torch.randint(vocab_size, (2, 7), generator=generator),
        weights=(torch.rand(2, 7, generator=generator) > 0.3).float(),
    )
    return states, Linear(matrix, bias), masked, torch.rand(2, 7, generator=generator)


@pytest.mark.parametrize("vocab_size", [100, 128, 1000, 1024])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_head_gives_the_plain_loss_gradient_and_samples(
    vocab_size: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For vocabularies of whole blocks and not, in several chunks of slots."""
    monkeypatch.setattr(generator_head, "CHUNK", 3 * vocab_size)
    states, vocabulary, masked, uniforms = head_inputs(vocab_size, dtype)
    logits = transformer.linear(states, vocabulary)
    plain = objective.generator_loss_sum(logits, masked)
    found = generator_head.predict(states, vocabulary, masked, uniforms)
    assert torch.allclose(plain, found.loss_sum, rtol=1e-5)
    sampled = objective.sample(logits.detach(), uniforms)
    assert torch.equal(sampled, found.sampled_ids)
    assert torch.equal(logits.argmax(-1) == masked.original_ids, found.is_original)
    inputs = (states, *vocabulary)
    # a factor of the loss, as its weight and the number of masked slots are
    expected = torch.autograd.grad(3.0 * plain, inputs)
    for one, other in zip(expected, torch.autograd.grad(3.0 * found.loss_sum, inputs), strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() <= TOLERANCE[dtype] * one.norm()


def test_samples_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.25, 0.125, 0.125]))
    values = torch.zeros(1, 300)
    values[0, [0, 130, 290, 299]] = logits.exp()
    sums = generator_head.sums_of_blocks(values)
    uniforms = (torch.arange(8000) + 0.5) / 8000
    drawn = torch.cat([generator_head.sample(values, sums, each[None]) for each in uniforms])
    assert drawn.unique(return_counts=True)[1].tolist() == [4000, 2000, 1000, 1000]


def test_a_uniform_number_of_almost_one_samples_the_last_token_with_a_probability() -> None:
    values = torch.zeros(1, 300)
    values[0, [5, 131]] = 1e-3  # sums of blocks may be rounded up
    almost = torch.tensor([1 - 2**-24])
    assert generator_head.sample(values, generator_head.sums_of_blocks(values), almost) == 131


def test_kernels_fit_the_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert kernels(cpu, Scale()).layer is layer_on_cpu.layer
    assert kernels(cpu, Scale(compile=True)).layer is not layer_on_cpu.layer
    assert kernels(gpu, Scale(compile=False)).layer is transformer.layer
