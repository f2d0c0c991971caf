"""The fine-tuning loop: one model, one set of features, one seed."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from electra_pipeline.core.late_values import LateValues
from electra_pipeline.core.optim import Adam, clip_gradients, layerwise_groups
from electra_pipeline.core.schedule import learning_rate
from electra_pipeline.finetuning.arithmetic import autocast, fast_attention, fast_dropout
from electra_pipeline.finetuning.hyperparameters import Hyperparameters
from electra_pipeline.tasks.kinds.batches import training_batches
from electra_pipeline.tasks.kinds.inference import forward
from electra_pipeline.tasks.kinds.kind import Feature, TaskKind
from electra_pipeline.tasks.kinds.microbatch import MicroBatches


@contextlib.contextmanager
def reproducible(seed: int, num_threads: int) -> Iterator[None]:
    """Seed torch and set its number of threads inside the context; restore both afterwards.

    Nothing but torch uses global random state here: new weights and dropout, in the order of the
    model's calls; in bfloat16 on a CPU dropout draws other numbers (`LaneDropout`). On a CPU the
    same seed, precision and number of threads give the same bits; on a GPU, sums of gradients may
    differ in their last bits.
    """
    threads = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(num_threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def train(
    model: Any,
    kind: TaskKind[Any, Any],
    features: Sequence[Feature],
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    report: Callable[[int, int, float], None],
) -> dict[str, float]:
    """Train `model` in place on its device; return the numbers of steps and features, and the loss.

    `dtype` is the type of matrix products; weights and their updates are float32 (Micikevicius et
    al. 2018, arXiv:1710.03740). `report` receives the step, the number of steps and the mean loss
    of the batch. When memory runs out, batches are split into halves from then on, with the same
    gradient but other dropout; `micro_batch_examples` is the final size of the parts. Raise
    ValueError if the loss is NaN or infinite, or if one example alone does not fit into memory.
    """
    device = next(model.parameters()).device
    optimizer = Adam(
        layerwise_groups(
            model,
            weight_decay=hyperparameters.weight_decay,
            layer_decay=hyperparameters.layer_decay,
            extra_exponent=hyperparameters.layer_extra_exponent,
        ),
        beta1=hyperparameters.adam_beta1,
        beta2=hyperparameters.adam_beta2,
        epsilon=hyperparameters.adam_epsilon,
        bias_correction=hyperparameters.adam_bias_correction,
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    num_steps = hyperparameters.num_steps(len(features))
    warmup_steps = int(num_steps * hyperparameters.warmup_fraction)
    batches = _endless(features, hyperparameters.batch_examples, seed)
    micro_batches = MicroBatches(hyperparameters.batch_examples)
    losses = LateValues(device)
    last_loss = math.nan
    num_examples = 0

    def check(found: Iterable[tuple[int, float]]) -> None:
        nonlocal last_loss
        for step, last_loss in found:
            if not math.isfinite(last_loss):
                raise ValueError(
                    f"the loss is {last_loss} at step {step} of {num_steps}; lower "
                    "finetune.learning_rate, or look for broken weights in the model"
                )
            report(step + 1, num_steps, last_loss)

    gradient = partial(backward, model, kind, reduction=hyperparameters.loss_reduction, dtype=dtype)
    model.train()
    with fast_attention(model, dtype):
        for step in range(num_steps):
            chosen = [features[position] for position in next(batches)]
            check(losses.add(step, micro_batches.run(gradient, chosen)))
            clip_gradients(parameters, hyperparameters.max_gradient_norm)
            optimizer.set_learning_rate(
                learning_rate(
                    step,
                    hyperparameters.learning_rate,
                    num_steps,
                    warmup_steps,
                    hyperparameters.schedule,
                )
            )
            optimizer.step()
            num_examples += len(chosen)
    check(losses.remaining())
    return {
        "steps": num_steps,
        "features_seen": num_examples,
        "last_loss": last_loss,
        "micro_batch_examples": micro_batches.num_examples,
    }


def backward(
    model: Any,
    kind: TaskKind[Any, Any],
    parts: Sequence[Sequence[Feature]],
    *,
    reduction: Literal["sum", "mean"],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Compute the gradient of a batch's loss in the model, and return its mean loss, of shape ().

    parts: the batch in parts, which are computed one after another. The gradient is that of the
    whole batch, up to the order of summation: a mean is over all summands of the batch.
    """
    device = next(model.parameters()).device
    model.zero_grad(set_to_none=True)
    totals, counts = [], []
    for part in parts:
        with autocast(device, dtype), fast_dropout(device, dtype):
            logits, targets = forward(model, kind, part)
        total, count = kind.loss(logits, targets)
        divided = reduction == "mean" and len(parts) == 1
        loss = total / count if divided else total
        loss.backward()  # type: ignore[no-untyped-call]
        totals.append(total.detach())
        counts.append(count)
    num_counted = torch.stack(counts).sum()
    if reduction == "mean" and len(parts) > 1:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, num_counted.float())
    return torch.stack(totals).sum() / num_counted


def _endless(
    features: Sequence[Feature], batch_examples: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    lengths = [len(feature.input_ids) for feature in features]
    epoch = 0
    while True:
        yield from training_batches(lengths, batch_examples, seed, epoch)
        epoch += 1
