"""The type of matrix products that `scale.precision` means on a device."""

import pytest
import torch

from electra_pipeline.core.precision import dtype_name, matrix_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has_amx", "has_avx512_bf16", "expected"),
    [
        (True, True, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),  # AVX2 and AVX-512 alone: oneDNN would emulate it
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, has_amx: bool, has_avx512_bf16: bool, expected: torch.dtype
) -> None:
    found = {"amx_bf16": has_amx, "avx512_bf16": has_avx512_bf16, "avx512_f": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert matrix_dtype("auto", CPU) == expected


def test_a_choice_holds_on_any_processor() -> None:
    assert matrix_dtype("float32", CPU) == torch.float32
    assert matrix_dtype("bfloat16", CPU) == torch.bfloat16


def test_auto_is_float32_on_other_devices() -> None:
    assert matrix_dtype("auto", torch.device("mps")) == torch.float32


def test_names_are_those_of_the_configuration() -> None:
    assert dtype_name(torch.bfloat16) == "bfloat16"
    assert dtype_name(torch.float32) == "float32"
