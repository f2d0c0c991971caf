"""The arithmetic of a trial: the type of its matrix products, and what is fast on a CPU in it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from electra_pipeline.core.transformers_logging import quiet_transformers

LANES = 4  # 16-bit numbers in one 64-bit number
LOWEST = -(2**15)  # of a 16-bit number


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return a context in which matrix products are computed in `dtype`, bfloat16 or float32.

    Weights stay float32. Each is cast once in the outermost context, which must not outlast a
    change of the weights.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


@contextlib.contextmanager
def fast_training(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Train faster inside the context if `dtype` is bfloat16 and the model on a CPU.

    There torch's fused attention takes 1.1 to 1.3 times as long as plain matrix products, and
    drawing dropout masks a fifth of a step (benchmarks/LOG.md). In float32 nothing changes.
    """
    device = next(model.parameters()).device
    if device.type == "cpu" and dtype == torch.bfloat16:
        with _eager_attention(model), LaneDropout():
            yield
    else:
        yield


@contextlib.contextmanager
def _eager_attention(model: Any) -> Iterator[None]:
    """Compute attention by plain matrix products, in models that leave the choice."""
    chosen = model.config._attn_implementation
    with quiet_transformers():  # warns where a model has no choice
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        with quiet_transformers():
            model.set_attn_implementation(chosen)


class LaneDropout(TorchFunctionMode):
    """Dropout whose masks come from 16-bit lanes of random numbers; for any model, on a CPU.

    torch draws one number after another for each element. Here one 64-bit number, of the same
    generator, serves four elements, in a quarter of the time. A fraction is exact to 1/131,072.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute `function`, dropout in the faster way."""
        if function is functional.dropout:
            return dropout(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return what `torch.nn.functional.dropout` does, by other draws; never in place."""
    if not training or not 0.0 < p < 1.0:
        return functional.dropout(input, p, training)
    numbers = torch.empty(-(-input.numel() // LANES), dtype=torch.int64)
    lanes = numbers.random_(torch.iinfo(torch.int64).min, None).view(torch.int16)
    kept = lanes[: input.numel()].ge_(round(p * 2**16) + LOWEST).view(input.shape)
    return input * kept.to(input.dtype).div_(1.0 - p)
