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


def fast_dropout(
    device: torch.device, dtype: torch.dtype
) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which dropout is drawn faster, if `dtype` is bfloat16 on a CPU.

    There torch's own takes a fifth of a step (benchmarks/LOG.md). In float32 nothing changes.
    """
    return LaneDropout() if _is_bfloat16_cpu(device, dtype) else contextlib.nullcontext()


@contextlib.contextmanager
def fast_attention(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Train with plain matrix products in attention, if `dtype` is bfloat16 on a CPU.

    There a step with torch's fused attention takes 1.1 to 1.4 times as long (benchmarks/LOG.md). In
    float32, and in models that leave no choice, nothing changes.
    """
    if not _is_bfloat16_cpu(next(model.parameters()).device, dtype):
        yield
        return
    chosen = model.config._attn_implementation
    with quiet_transformers():  # warns where a model leaves no choice
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        with quiet_transformers():
            model.set_attn_implementation(chosen)


def _is_bfloat16_cpu(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type == "cpu" and dtype == torch.bfloat16


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
