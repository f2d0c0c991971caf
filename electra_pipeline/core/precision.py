"""Arithmetic of matrix products: bfloat16 where the device has instructions for it."""

import torch

from electra_pipeline.core.execution import Precision


def matrix_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type of matrix products on `device`.

    `auto` is bfloat16 on GPUs that support it and on CPUs with instructions for it (Intel AMX,
    where a step takes half the time of float32, docs/benchmarks.md; AVX512-BF16, which AMD has from
    Zen 4 on), elsewhere float32.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    return torch.bfloat16 if _has_bfloat16(device) else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a type as `scale.precision` takes it: float32 or bfloat16."""
    return str(dtype).removeprefix("torch.")
