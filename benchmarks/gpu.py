"""Pre-training on a GPU: tokens/s, fraction of the bfloat16 peak and projected time; no peer.

Base on packed rows of 512 tokens, with attention dropout (as published) and without, there by
variable-length attention and by a mask, compiled and not. Small on rows of 128 tokens, with the
time that its published training of 16.4 G tokens would take. All steps are those of
`electra-pipeline pretrain` on random tokens: batch from the thread that prepares it, forward and
backward pass, clipping, update.

The fraction is floating-point operations over the peak of the GPU's data sheet for bfloat16 without
sparsity, or over a large matrix product measured here, where the GPU is not in the list. Counted
are the matrix products of linear layers and the attention between tokens of one document, three
times those of the forward pass; what is computed again or masked out is not.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --quick    # small sizes, a minute on a CPU: tests this script
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from memory import MASK_FRACTION, VOCAB_SIZE
from pretraining import products_of, synchronise

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.core.late_values import LateValues
from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
from electra_pipeline.pretraining import attention
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
from electra_pipeline.pretraining.sizes import ModelOverrides, Size, model_config
from electra_pipeline.pretraining.step import Step

# Operations per second in bfloat16, dense, by a part of the name: NVIDIA's data sheets of H100 and
# H200 SXM, A100, L40S and L4. First match.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
PUBLISHED_TOKENS = 1_000_000 * 128 * 128  # steps, sequences, tokens of Small (paper table 6)
TARGET_FRACTION, TARGET_HOURS = 0.45, 2.0  # of Base, of Small on one H200
MEAN_DOCUMENT = 200  # tokens; about a paragraph or two
SPECIAL = SpecialIds(pad=0, cls=101, sep=102, mask=103)


@dataclass(frozen=True)
class PackedRows:
    """Replaces the reader of a sequences artifact: full rows of documents of random lengths."""

    length: int
    is_packed: bool = True

    def __len__(self) -> int:
        return 100_000

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        ids = random.integers(1000, VOCAB_SIZE, (len(indices), self.length))
        begins = random.random(ids.shape) < 1 / MEAN_DOCUMENT
        begins[:, 0] = True
        ids[begins] = SPECIAL.cls
        lengths = np.full(len(indices), self.length)
        return ids, lengths, lengths


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    size: Size
    length: int
    rows: int
    attention_dropout: float
    has_mask: bool
    """Whether attention without dropout takes a mask instead of variable lengths."""
    compiled: bool

    def __str__(self) -> str:
        if self.attention_dropout:
            form = f"dropout {self.attention_dropout}"
        else:
            form = "mask" if self.has_mask else "variable lengths"
        is_compiled = "yes" if self.compiled else "no"
        return f"{self.size} | {self.rows} x {self.length} | {form} | {is_compiled}"


@dataclass(frozen=True)
class Result:
    tokens_per_second: list[float]
    operations_per_token: float
    memory_bytes: int


def measure(case: Case, rounds: int, steps: int) -> Result:
    """Train for two rounds to warm up, then for `rounds` that are measured."""
    worker = Worker()
    device = worker.device
    masking = Masking(MASK_FRACTION, num_slots(case.length, MASK_FRACTION), True, SPECIAL)
    shape = model_config(case.size, ModelOverrides(attention_dropout=case.attention_dropout))
    scale = Scale(compile=case.compiled)
    using = kernels(device, scale)
    model = Electra(shape, VOCAB_SIZE, masking, 0, kernels=using).to(device)
    model.train()
    optimizer = Adam(parameter_groups(model, 0.01))
    step = Step(worker, PretrainConfig(), scale)
    source = BatchSource(PackedRows(case.length), 0, case.rows, masking)
    batches = source.batches(0, (rounds + 2) * steps)
    norms = LateValues(device)
    rates = []
    for round_number in range(rounds + 2):
        synchronise(device)
        started = time.perf_counter()
        for index in range(steps):
            step.backward(model, next(batches).to(device))
            list(norms.add(index, clip_gradients(model.parameters(), 1.0)))
            optimizer.set_learning_rate(1e-4)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        synchronise(device)
        if round_number >= 2:
            rates.append(case.rows * case.length * steps / (time.perf_counter() - started))
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return Result(rates, operations(model, source) / (case.rows * case.length), memory)


def operations(model: Electra, source: BatchSource) -> float:
    """Return the floating-point operations that a step needs."""
    ids = source.batch(0).input_ids
    begins = np.flatnonzero((ids == SPECIAL.cls).numpy())
    pairs = float((np.diff([*begins, ids.numel()]) ** 2).sum())  # tokens that attend to each other
    products = products_of(model, *ids.shape)
    linear = products.operations - 3 * products.attention_operations
    layers = [part.config for part in (model.generator, model.discriminator)]
    width = sum(config.hidden_size * config.num_hidden_layers for config in layers)
    return linear + 3 * 4 * pairs * width


def peak(device: torch.device) -> tuple[float, str]:
    """Return the operations per second to compare with, and where they come from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, rate in PEAKS.items():
            if part in name:
                return rate, f"{name}, data sheet"
    else:
        name = device.type
    width = 8192 if device.type == "cuda" else 1024
    left = torch.randn(width, width, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(5):
        synchronise(device)
        started = time.perf_counter()
        left @ left
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return 2 * width**3 / min(seconds), f"{name}, measured"


def cases(*, quick: bool, compile_too: bool) -> list[Case]:
    base: tuple[Size, int, int] = ("tiny", 64, 4) if quick else ("base", 512, 64)
    small: tuple[Size, int, int] = ("tiny", 32, 8) if quick else ("small", 128, 128)
    return [
        Case(*shape, attention_dropout, has_mask, compiled)
        for shape in (base, small)
        for attention_dropout, has_mask in ((0.1, True), (0.0, True), (0.0, False))
        for compiled in ([True, False] if compile_too else [False])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    arguments = parser.parse_args()
    device = Worker().device
    rate, origin = peak(device)
    print(f"torch {torch.__version__}, peak {rate / 1e12:,.1f} TFLOP/s ({origin})")
    if device.type != "cuda":
        print("without a GPU, attention takes a mask in all lines")
    print()
    print(
        "| size | rows x tokens | attention | compiled | tokens/s | fraction of the peak | memory "
        f"| hours for {PUBLISHED_TOKENS / 1e9:.1f} G tokens |\n" + "|---" * 8 + "|"
    )
    best_fraction, best_hours = 0.0, float("inf")
    chosen = cases(quick=arguments.quick, compile_too=device.type == "cuda")
    for case in chosen:
        with patch.object(attention, "is_fused", (lambda *_: False) if case.has_mask else IS_FUSED):
            found = measure(case, arguments.rounds, arguments.steps)
        rates = found.tokens_per_second
        median = statistics.median(rates)
        fraction = median * found.operations_per_token / rate
        hours = PUBLISHED_TOKENS / median / 3600
        print(
            f"| {case} | {median:,.0f} [{min(rates):,.0f}, {max(rates):,.0f}] | {fraction:.1%} "
            f"| {found.memory_bytes / 1e9:.1f} GB | {hours:,.2f} |",
            flush=True,
        )
        if case.size == chosen[0].size:
            best_fraction = max(best_fraction, fraction)
        if case.size == chosen[-1].size:
            best_hours = min(best_hours, hours)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    print(
        f"\n{chosen[0].size}: {best_fraction:.1%} of the peak (target {TARGET_FRACTION:.0%}); "
        f"{chosen[-1].size}: {best_hours:,.2f} h (target on one H200: {TARGET_HOURS:g} h)"
    )


IS_FUSED = attention.is_fused

if __name__ == "__main__":
    main()
