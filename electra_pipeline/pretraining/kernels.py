"""The kernels of a training: which form of a layer's arithmetic suits the device."""

from functools import partial

import torch

from electra_pipeline.core.execution import Scale
from electra_pipeline.pretraining import dropout, layer_on_cpu, transformer
from electra_pipeline.pretraining.transformer import Kernels


def is_compiled(device: torch.device, scale: Scale) -> bool:
    """Return whether to compile the model's layers; without a choice, on GPUs only.

    On CPUs compiling needs a C++ compiler and a minute, and the layer that is written out for them
    needs neither.
    """
    return device.type == "cuda" if scale.compile is None else scale.compile


def kernels(device: torch.device, scale: Scale) -> Kernels:
    """Return the kernels of training; the first use of compiled ones takes half a minute or more.

    Shapes are static: with dynamic ones, torch 2.13 compiles the masks for CPUs wrongly.
    """
    recomputes = scale.gradient_checkpointing
    if is_compiled(device, scale):
        compiled = partial(torch.compile, dynamic=False)
        return Kernels(compiled(transformer.layer), compiled(dropout.keep), recomputes)
    layer = layer_on_cpu.layer if device.type == "cpu" else transformer.layer
    return Kernels(layer, dropout.keep, recomputes)
