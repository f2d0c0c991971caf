"""Scale, executors and workers: how and where a stage runs, never what it computes.

`Scale` never enters a fingerprint. `LocalExecutor` and the executor of `on_ray/` are an `Executor`.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
)

from pydantic import Field

from electra_pipeline.core.identity import Config
from electra_pipeline.core.progress import Progress, Update, deliver, silent

if TYPE_CHECKING:  # torch takes seconds to import, and most commands do not need it
    import torch

Precision = Literal["auto", "float32", "bfloat16"]
Sharding = Literal["none", "full"]
StageName = Literal["corpus", "tokenizer", "sequences", "pretrain", "publish", "finetune"]

Item = TypeVar("Item")
Value = TypeVar("Value")

# How long a thread of torch spins before it sleeps, read when torch is loaded. The default of some
# milliseconds is slow on a busy machine: two threads on two cores, one of them busy, then train a
# tiny model ten times slower than one thread; with this value, a quarter slower. On an idle machine
# the difference is a few percent (benchmarks/LOG.md).
THREAD_ENVIRONMENT: Mapping[str, str] = {"GOMP_SPINCOUNT": "2000"}


class Scale(Config):
    """Resources of a machine or cluster for a run; changes speed, and results by rounding alone."""

    workers: int = Field(default=1, ge=1)
    """Pre-training workers; each takes one GPU where there are GPUs, else its part of the CPUs."""
    precision: Precision = "auto"
    """Arithmetic of the matrix products of pre-training and fine-tuning; auto is bfloat16 where the
    processor or GPU has instructions for it, else float32."""
    compile: bool | None = None
    """Fuse the layers' operations with torch.compile; null does so on GPUs."""
    sharding: Sharding = "none"
    """What each pre-training worker holds: none, the whole model; full, its part of the parameters,
    gradients and optimizer state (FSDP2), for models that do not fit in the memory of one GPU. A
    run may resume with the other value. One worker always holds all."""
    gradient_checkpointing: bool = False
    """Whether pre-training computes each layer again in the backward pass instead of keeping its
    activations: a third more arithmetic for a fraction of the memory."""
    micro_batch_sequences: int | None = Field(default=None, ge=1)
    """Largest number of sequences in one forward pass of a worker; null: all at once."""
    checkpoint_every_steps: int = Field(default=1000, ge=1)
    """Optimizer steps between two checkpoints."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the newest checkpoints stay on disk while training; one more exists while it is
    written."""
    keep_every_steps: int | None = Field(default=None, ge=1)
    """Checkpoints at multiples of this step are kept for ever, in `<root>/checkpoints/`; null keeps
    none."""
    keep_best: bool = False
    """Whether the checkpoint with the lowest held-out loss is kept, as
    `<root>/checkpoints/<name>-<fingerprint>/best.pt`."""
    tensorboard: bool = True
    """Whether training writes TensorBoard files to `<root>/tensorboard/`; local disks only."""
    cpus_per_trial: int = Field(default=1, ge=1)
    """CPU cores of one fine-tuning trial."""
    gpus_per_trial: float | None = Field(default=None, ge=0.0)
    """GPUs of one fine-tuning trial; a fraction shares one GPU between trials. null: none on a
    machine without GPUs, else the fraction of a GPU that the trial's memory needs."""
    retries: int = Field(default=2, ge=0)
    """How often a task is started again when its worker process dies."""
    timeout_seconds: Mapping[StageName, Annotated[float, Field(gt=0)]] = {}
    """Time limit of a stage in a flow; for finetune, of each trial. A stage that takes longer fails
    and resumes when it is run again. Stages that are not named have no limit."""


@dataclass(frozen=True)
class Worker:
    """One of `world_size` processes that train together, by default this process alone.

    Where `world_size` is more than 1, a torch.distributed process group is already set up when the
    training function is called (gloo on CPU, nccl on GPU).
    """

    progress: Progress = silent
    num_threads: int = 1
    """CPU threads for this worker's arithmetic."""
    rank: int = 0
    world_size: int = 1

    @property
    def device(self) -> "torch.device":
        import torch

        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def report(self, update: Update) -> None:
        """Send the progress of the run to the driver; called on rank 0 alone, never blocks."""
        deliver(update, self.progress)


TrainFunction = Callable[[Worker], None]


def cpus_of_this_process() -> int:
    """Return how many CPU cores this process may use: under taskset, Slurm or a cpuset not all."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """The outcome of item `index` of a fan-out: its `value`, or the `error` that it failed with."""

    index: int
    value: Value | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Resources:
    """What one item of a fan-out reserves on the node that it runs on."""

    num_cpus: int = 1
    num_gpus: float = 0.0
    memory_bytes: int = 0
    """Main memory of the node; 0 reserves none."""


def one_cpu(item: Any) -> Resources:
    """Return the default resources of an item."""
    return Resources()


def timed(function: Callable[..., Value], item: Item, **options: Any) -> tuple[Value, float]:
    """Return the value of an item and the seconds it took; here, as workers load this module."""
    started = time.monotonic()
    return function(item, **options), time.monotonic() - started


class MapOptions(TypedDict, total=False):
    """Keyword arguments of `Executor.map`."""

    resources: Callable[[Any], Resources]
    """What an item reserves, on one node; by default one CPU."""
    after: Mapping[int, int]
    """The index of an item -> the index of its parent: the item starts once the parent has
    succeeded, and is skipped with an error if the parent fails."""
    progress: Progress
    """With it, `function` is called as `function(item, progress=...)`; receives its updates."""


class SkippedError(RuntimeError):
    """An item of a fan-out was not run, because its parent failed or was skipped."""


class Waiting:
    """The items of a fan-out that have not started: each may start once its parent is done."""

    def __init__(self, num_items: int, after: Mapping[int, int]) -> None:
        self._waiting = list(range(num_items))
        self._after = after
        self._done: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> int | None:
        """Remove and return the first item that may start; None while all wait for a parent."""
        for position, index in enumerate(self._waiting):
            if index not in self._after or self._after[index] in self._done:
                return self._waiting.pop(position)
        return None

    def finish(self, outcome: "Outcome[Value]") -> "Iterator[Outcome[Value]]":
        """Yield the outcome; if it failed, also an error for each item that depends on it."""
        yield outcome
        if outcome.error is None:
            self._done.add(outcome.index)
            return
        for index in [each for each in self._waiting if self._after.get(each) == outcome.index]:
            self._waiting.remove(index)
            error = SkippedError(f"skipped: its parent failed ({outcome.error})")
            yield from self.finish(Outcome(index, error=error))


class Executor(Protocol):
    """Runs the work of a stage: items of a fan-out, and training workers."""

    def check(self, scale: Scale, root: str) -> None:
        """Raise ValueError if this executor cannot run at that scale or reach that root."""

    def map(
        self, function: Callable[..., Value], items: Sequence[Item], **options: Unpack[MapOptions]
    ) -> Iterator[Outcome[Value]]:
        """Apply `function` to each item and yield the outcomes as they finish.

        Items start in order; a failed item does not stop the others.
        """

    def trial_resources(self, scale: Scale, memory_bytes: int) -> Resources:
        """Return the resources of a fine-tuning trial whose model needs so much memory."""

    def training_resources(self, scale: Scale) -> Resources:
        """Return the resources of one of `scale.workers` training workers."""

    def slots(self, resources: Resources) -> int:
        """Return how many items with these resources run at the same time."""

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        """Run `function(item, worker)` for each item, alone on a worker with its part of the CPUs.

        Outcomes come as in `map`; `progress` receives the workers' updates.
        """

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        """Run `function(worker)` on `scale.workers` workers that can reach each other."""


def values_in_order(outcomes: Iterable[Outcome[Value]]) -> list[Value]:
    """Return all values in the order of their items; raise the first error."""
    values: dict[int, Value] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        values[outcome.index] = outcome.value  # type: ignore[assignment]
    return [values[index] for index in sorted(values)]


@dataclass(frozen=True)
class StageContext:
    """Where a stage writes its artifact and what runs it; never part of the artifact's identity.

    `PipelineConfig.context` makes one.
    """

    root: str
    """URI or path of the folder that holds all artifacts."""
    name: str
    """Name of the run, the first part of the artifact's folder name."""
    executor: Executor = field(default_factory=lambda: LocalExecutor())
    progress: Progress = silent


@dataclass(frozen=True)
class LocalExecutor:
    """Runs items one after another in this process, and one training worker."""

    num_threads: int | None = None
    """CPU threads of a training worker; None takes all cores of this process."""

    def check(self, scale: Scale, root: str) -> None:
        if scale.workers != 1:
            raise ValueError(
                f"scale.workers is {scale.workers}, but without Ray one process trains alone; "
                "set scale.workers=1 or run on Ray"
            )

    def map(
        self, function: Callable[..., Value], items: Sequence[Item], **options: Unpack[MapOptions]
    ) -> Iterator[Outcome[Value]]:
        progress = options.get("progress")
        arguments = {} if progress is None else {"progress": partial(deliver, progress=progress)}
        waiting = Waiting(len(items), options.get("after", {}))
        while (index := waiting.take()) is not None:
            try:
                outcome = Outcome(index, value=function(items[index], **arguments))
            except Exception as error:
                outcome = Outcome(index, error=error)
            yield from waiting.finish(outcome)

    def trial_resources(self, scale: Scale, memory_bytes: int) -> Resources:
        return Resources(scale.cpus_per_trial)

    def training_resources(self, scale: Scale) -> Resources:
        worker = self._worker(silent)
        return Resources(worker.num_threads, 1.0 if worker.device.type == "cuda" else 0.0)

    def slots(self, resources: Resources) -> int:
        return 1

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        function(self._worker(progress))

    def train_each(
        self, function: Callable[[Item, Worker], Value], items: Sequence[Item], progress: Progress
    ) -> Iterator[Outcome[Value]]:
        return self.map(lambda item: function(item, self._worker(progress)), items)

    def _worker(self, progress: Progress) -> Worker:
        return Worker(progress, self.num_threads or cpus_of_this_process())
