"""How the workers of a training hold its model: each whole, or each a part of every tensor.

With `scale.sharding: full` the parameters, their gradients and the optimizer's state are sharded by
FSDP2 (torch.distributed.fsdp.fully_shard; Zhao et al. 2023, arXiv:2304.11277). A layer's weights
are gathered while it is computed, those outside of the layers during the whole step. What is saved
is the same in all cases: `gathered` returns a tensor in full.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.pretraining.model import Electra


def distribute(model: Electra, worker: Worker, scale: Scale) -> nn.Module:
    """Move a model to the worker's device, and return the module to call in training.

    The weights must be those of rank 0 on all workers. A sharded model is changed in place.
    """
    if worker.world_size == 1:
        return model.to(worker.device)
    if scale.sharding == "none":
        # The buffers of transformers' modules are constants that the forward pass does not use.
        return DistributedDataParallel(
            model.to(worker.device), forward_sync_buffers=False, gradient_as_bucket_view=True
        )
    everyone = dist.group.WORLD
    assert everyone is not None  # see Worker
    mesh = DeviceMesh.from_group(everyone, worker.device.type)
    for part in (model.generator, model.discriminator):
        for layer in part.electra.encoder.layer:
            # The arithmetic of a layer is a function (transformer.py), not the forward method of
            # transformers' module. Called through the module, it runs between FSDP's hooks.
            layer.forward = _call
            fully_shard(layer, mesh=mesh)
    # one group for all the rest, so that tied tables are sharded once
    fully_shard(model, mesh=mesh)
    return model


def _call(function: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
    return function(hidden)


def gathered(tensor: Tensor) -> Tensor:
    """Return a tensor in full; of a sharded one, all workers must call it at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_state(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's full state with each tensor sharded as its parameter is."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]

    def shard(tensor: Tensor, parameter: Tensor) -> Tensor:
        if not isinstance(parameter, DTensor):
            return tensor
        # every worker has the full tensor, so nothing is sent
        return distribute_tensor(
            tensor, parameter.device_mesh, parameter.placements, src_data_rank=None
        )

    values = {
        index: {name: shard(tensor, parameters[index]) for name, tensor in tensors.items()}
        for index, tensors in state["state"].items()
    }
    return {**state, "state": values}
