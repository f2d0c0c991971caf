"""ELECTRA's optimizer: its variant of Adam, with layer-wise rates.

Source of each rule: google-research/electra, model/optimization.py (commit 8a46635).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

# optimization.py: exclude_from_weight_decay names LayerNorm and bias; other architectures have
# layer_norm, final_norm, attn_norm
NO_DECAY = ("norm", "bias")

UNCORRECTED_STEPS = 1e9  # 0.9999999 ** 1e9 is 4e-44
Group = dict[str, Any]


def decays(name: str) -> bool:
    """Return whether weight decay applies to a parameter: not to LayerNorm and biases."""
    return not any(part in name.lower() for part in NO_DECAY)


def _groups(model: nn.Module, weight_decay: float, lr_scale: Callable[[str], float]) -> list[Group]:
    """Group parameters by (lr_scale, weight_decay), each shared tensor once, in model order."""
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in model.named_parameters():  # yields a tied tensor once
        if parameter.requires_grad:
            key = (lr_scale(name), weight_decay if decays(name) else 0.0)
            group = groups.setdefault(
                key, {"params": [], "lr_scale": key[0], "weight_decay": key[1]}
            )
            group["params"].append(parameter)
    return list(groups.values())


def parameter_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Return two groups: parameters with weight decay, and LayerNorms and biases without."""
    return _groups(model, weight_decay, lambda name: 1.0)


def layerwise_groups(
    model: Any,
    *,
    weight_decay: float,
    layer_decay: float,
    extra_exponent: int = 1,
) -> list[Group]:
    """Return groups whose rate falls by `layer_decay` per layer from the head to the embeddings.

    `model` is a transformers model with a task's head, of any architecture: parameters outside of
    its encoder belong to the head and have the scale 1. A parameter at `depth` (see `depths`) has
    the scale layer_decay ** (num_layers + 1 + extra_exponent - depth). The published code has
    `extra_exponent` 1, a remainder of a removed pooler (google-research/electra issue 51); the
    paper's text means 0.
    """
    depth_of, num_layers = depths(model.base_model)
    prefix = f"{model.base_model_prefix}."

    def lr_scale(name: str) -> float:
        if not name.startswith(prefix):
            return 1.0
        depth = depth_of[name.removeprefix(prefix)]
        return float(layer_decay ** (num_layers + 1 + extra_exponent - depth))

    return _groups(model, weight_decay, lr_scale)


def depths(encoder: nn.Module) -> tuple[dict[str, int], int]:
    """Return the depth of each parameter of an encoder by name, and its number of layers.

    Its layers are its largest module list; layer i has depth i + 1. Children after the one that
    contains the layers (a pooler, a final norm) have depth num_layers + 1. All others have depth 0:
    embeddings, their projection, tables of relative positions. Layers that share their weights
    (ALBERT) count once. Raises ValueError for a model without a list of layers.
    """
    lists = [
        (name, each) for name, each in encoder.named_modules() if isinstance(each, nn.ModuleList)
    ]
    if not lists:
        raise ValueError(f"{type(encoder).__name__} has no list of layers; give an encoder")
    path, layers = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    children = [name for name, _ in encoder.named_children()]
    after = set(children[children.index(path.split(".")[0]) + 1 :])

    def depth(name: str) -> int:
        if name.startswith(f"{path}."):
            return int(name.removeprefix(f"{path}.").split(".")[0]) + 1
        return len(layers) + 1 if name.split(".")[0] in after else 0

    return {name: depth(name) for name, _ in encoder.named_parameters()}, len(layers)


class Adam(torch.optim.Optimizer):
    """ELECTRA's variant of Adam: update = lr * (m / (sqrt(v) + epsilon) + decay * weight).

    No bias correction, epsilon outside the root, decoupled weight decay (optimization.py:114-133).
    With `bias_correction` m and v are divided by 1 - beta ** step, as Adam is defined (Kingma and
    Ba 2015, arXiv:1412.6980): without it the first steps are up to 6.6 times as long.
    Groups may carry `lr_scale` (multiplies the learning rate) and `weight_decay`.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        *,
        beta1: float = 0.9,  # optimization.py:50-56, as epsilon; paper table 6
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        bias_correction: bool = False,
    ) -> None:
        # a group's value, so that `state_dict` saves the number of steps
        defaults = {"lr_scale": 1.0, "weight_decay": 0.0, "lr": 0.0, "num_steps": 0}
        super().__init__([dict(group) for group in groups], defaults)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.bias_correction = bias_correction

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next step; each group multiplies it by its `lr_scale`."""
        for group in self.param_groups:
            group["lr"] = learning_rate * group["lr_scale"]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient, a few fused kernels per group."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p]["m"] = torch.zeros_like(p)
                    self.state[p]["v"] = torch.zeros_like(p)
            m = [_local(self.state[p]["m"]) for p in parameters]
            v = [_local(self.state[p]["v"]) for p in parameters]
            gradients = [_local(p.grad) for p in parameters]
            parameters = [_local(p) for p in parameters]
            group["num_steps"] += 1
            # a count at which both powers of beta are 0 switches the correction off
            count = group["num_steps"] if self.bias_correction else UNCORRECTED_STEPS
            steps = torch.full((), count, dtype=torch.float32, device=parameters[0].device)
            torch._fused_adamw_(
                parameters,
                gradients,
                m,
                v,
                [],
                [steps] * len(parameters),
                lr=group["lr"],
                beta1=self.beta1,
                beta2=self.beta2,
                weight_decay=group["weight_decay"],
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )


def _local(tensor: Tensor) -> Tensor:
    """Return this worker's part of a sharded tensor: all that is done with it is elementwise."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients by max_norm / max(norm, max_norm); return their norm before.

    TensorFlow's `clip_by_global_norm`, over all parameters together (optimization.py:63).
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    torch._foreach_mul_([_local(each) for each in gradients], max_norm / norm.clamp(min=max_norm))
    return norm
