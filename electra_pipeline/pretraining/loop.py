"""The pre-training stage: one loop, run by every worker alike."""

import contextlib
import hashlib
import logging
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
import torch
from pydantic import Field
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers.utils.logging import disable_progress_bar

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.execution import Executor, Scale, Worker
from electra_pipeline.identity import Config
from electra_pipeline.optim import Adam, clip_gradients, learning_rate, parameter_groups
from electra_pipeline.pretraining import checkpoint
from electra_pipeline.pretraining.batches import Batch, BatchSource
from electra_pipeline.pretraining.checkpoint import Position
from electra_pipeline.pretraining.metrics import Tally, held_out_metrics, tally
from electra_pipeline.pretraining.model import (
    Electra,
    ModelOverrides,
    Size,
    count_parameters,
    model_config,
)
from electra_pipeline.pretraining.objective import SpecialIds, num_slots
from electra_pipeline.pretraining.sequences import SequenceReader, load_vocabulary
from electra_pipeline.progress import Progress, Update
from electra_pipeline.shards import HELD_OUT_PREFIX

logger = logging.getLogger(__name__)

STAGE = "pretrain"
FORMAT_VERSION = 1
REPORT_SECONDS = 1.0  # how often rank 0 shows a sign of life
NUM_SUMS = 4


class PretrainConfig(Config):
    """The objective and its optimization. Defaults are ELECTRA-Small's (paper table 6)."""

    size: Size = "small"
    """Published sizes small, base and large; tiny is for laptops and tests."""
    model: ModelOverrides = ModelOverrides()
    """Fields of the size to replace."""
    recipe: Literal["google"] = "google"
    """google: the published code's rules, quirks included."""
    steps: int = Field(default=1_000_000, ge=1)
    """Optimizer steps."""
    batch_sequences: int = Field(default=128, ge=1)
    """Sequences in one optimizer step, over all workers."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule before the decay's share (paper table 6)."""
    warmup_steps: int = Field(default=10_000, ge=0)
    """Steps of linear warm-up (paper table 6)."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of all but LayerNorms and biases (paper table 6)."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of all gradients together (optimization.py:63)."""
    mask_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Tokens that the generator predicts (paper table 6: 0.15, large 0.25)."""
    generator_weight: float = Field(default=1.0, ge=0)
    """Weight of the generator's loss (configure_pretraining.py:38)."""
    discriminator_weight: float = Field(default=50.0, ge=0)
    """Weight of the discriminator's loss: lambda of the paper, section 3.1."""
    seed: int = Field(default=0, ge=0)
    """Seed of weights, order of the data, masks, samples and dropout."""
    log_every_steps: int = Field(default=100, ge=1)
    """Steps that one line of training metrics averages over."""
    evaluate_every_steps: int = Field(default=10_000, ge=1)
    """Steps between two evaluations on held-out sequences."""
    held_out_sequences: int = Field(default=1024, ge=1)
    """Held-out sequences that each evaluation reads, at most."""


@dataclass(frozen=True)
class Run:
    """All that a worker needs to know to take part."""

    config: PretrainConfig
    scale: Scale
    tokenizer: Artifact
    sequences: Artifact
    draft: Draft


def pretrain(
    config: PretrainConfig,
    tokenizer: Artifact,
    sequences: Artifact,
    *,
    root: str,
    name: str,
    executor: Executor,
    scale: Scale,
    progress: Progress,
) -> Artifact:
    """Train a generator and a discriminator; killed at any step, the next call goes on from there.

    Raises ValueError if the configuration does not fit the data or the workers.
    """
    check(config, int(sequences.config["length"]), scale)

    def write(draft: Draft) -> Written:
        run = Run(config, scale, tokenizer, sequences, draft)
        executor.train(partial(train, run), scale, progress)
        summary = draft.work.read_json("summary.json")
        return Written(summary["counters"], summary["observed"])

    return produce(
        root=root,
        stage=STAGE,
        name=name,
        format_version=FORMAT_VERSION,
        config=config,
        inputs={"tokenizer": tokenizer.fingerprint, "sequences": sequences.fingerprint},
        write=write,
    )


def check(config: PretrainConfig, length: int, scale: Scale) -> None:
    """Refuse what cannot train, before any work."""
    shape = model_config(config.size, config.model)
    if length > shape.max_positions:
        raise ValueError(
            f"sequences.length is {length}, but the model has {shape.max_positions} positions; "
            "shorten the sequences or set pretrain.model.max_positions"
        )
    if num_slots(length, config.mask_fraction) < 1:
        raise ValueError(
            f"pretrain.mask_fraction {config.mask_fraction} masks nothing in sequences of {length} "
            "tokens; raise it or sequences.length"
        )
    if config.batch_sequences < scale.workers:
        raise ValueError(
            f"pretrain.batch_sequences is {config.batch_sequences}, less than scale.workers "
            f"{scale.workers}; every worker needs a sequence"
        )


def train(run: Run, worker: Worker) -> None:
    """Take the steps that are left, evaluate, save; rank 0 writes."""
    config, scale = run.config, run.scale
    torch.set_num_threads(worker.num_threads)
    vocabulary = load_vocabulary(run.tokenizer)
    special = SpecialIds(*(vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
    shape = model_config(config.size, config.model)
    model = Electra(shape, vocabulary.size, special, config.seed).to(worker.device)
    optimizer = Adam(parameter_groups(model, config.weight_decay))
    position = checkpoint.load_latest(run.draft, model, optimizer, worker.device)
    wrapped = DistributedDataParallel(model) if worker.world_size > 1 else model
    precision = _autocast(worker.device, scale.precision)
    source = _source(run, SequenceReader(run.sequences), worker)
    held_out = _source(run, SequenceReader(run.sequences, HELD_OUT_PREFIX), worker)

    history = list(position.history)
    started = time.monotonic() - position.seconds
    last_report = -math.inf
    if position.step == 0:
        history += _evaluate(model, held_out, worker, precision, config, 0)
    previous = torch.zeros(NUM_SUMS)
    batches = source.batches(position.step, config.steps)
    for step, batch in zip(range(position.step, config.steps), batches, strict=True):
        # Dropout is the one thing keyed by rank: another number of workers draws other masks.
        torch.manual_seed(_dropout_seed(config.seed, step, worker.rank))
        rate = learning_rate(step, config.learning_rate, config.steps, config.warmup_steps)
        sums = _backward(wrapped, batch.to(worker.device), run, worker.world_size, precision)
        norm = clip_gradients(model.parameters(), config.gradient_clip)
        # Looked at one step late, so that a GPU never waits for the host.
        _raise_if_not_finite(previous, step - 1, run)
        optimizer.set_learning_rate(rate)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        previous = sums

        done = step + 1
        if done % config.log_every_steps == 0 or done == config.steps:
            _raise_if_not_finite(sums, step, run)
            facts = {"learning_rate": rate, "gradient_norm": norm.item()}
            history.append(_train_line(done, sums, batch, config, worker, facts))
        if done % config.evaluate_every_steps == 0 or done == config.steps:
            history += _evaluate(model, held_out, worker, precision, config, done)
        if worker.rank == 0:
            now = time.monotonic()
            if now - last_report >= REPORT_SECONDS or done == config.steps:
                last_report = now
                worker.report(_update(done, config, history, now - started))
            if done % scale.checkpoint_every_steps == 0 and done < config.steps:
                _raise_if_not_finite(sums, step, run)
                reached = Position(done, history, now - started)
                checkpoint.save(run.draft, reached, model, optimizer, scale.keep_checkpoints)
    if worker.rank == 0:
        _write_results(run, model, history, time.monotonic() - started, worker)


def _source(run: Run, reader: SequenceReader, worker: Worker) -> BatchSource:
    return BatchSource(
        reader,
        run.config.seed,
        run.config.batch_sequences,
        run.config.mask_fraction,
        num_slots(reader.length, run.config.mask_fraction),
        worker.rank,
        worker.world_size,
    )


def _autocast(device: torch.device, precision: str) -> torch.dtype:
    if precision == "auto":
        precise = device.type == "cpu" or not torch.cuda.is_bf16_supported()
        return torch.float32 if precise else torch.bfloat16
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    digits = hashlib.sha256(f"dropout:{seed}:{step}:{rank}".encode()).digest()
    return int.from_bytes(digits[:7], "little")


def _forward(
    model: nn.Module, batch: Batch, mask_fraction: float, precision: torch.dtype
) -> dict[str, Tensor]:
    enabled = precision != torch.float32
    with torch.autocast(batch.input_ids.device.type, dtype=precision, enabled=enabled):
        outputs: dict[str, Tensor] = model(batch, mask_fraction)
    return outputs


def _backward(
    model: nn.Module, batch: Batch, run: Run, world_size: int, precision: torch.dtype
) -> Tensor:
    """Accumulate the gradient of the global mean losses; return this worker's sums, (NUM_SUMS,).

    Sums are divided by the counts of the whole global batch, which every worker knows, and
    multiplied by the number of workers, because DistributedDataParallel averages: unequal shares of
    masked or padded tokens change nothing.
    """
    config = run.config
    sums = torch.zeros(NUM_SUMS, dtype=torch.float64, device=batch.input_ids.device)
    parts = list(batch.split(run.scale.micro_batch_sequences))
    for index, part in enumerate(parts):
        # gradients are exchanged once a step, with the last micro-batch
        waits = isinstance(model, DistributedDataParallel) and index < len(parts) - 1
        with model.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
            outputs = _forward(model, part, config.mask_fraction, precision)
            generator = outputs["generator_loss_sum"] / batch.num_predictions
            discriminator = outputs["discriminator_loss_sum"] / batch.num_tokens
            loss = config.generator_weight * generator
            loss = loss + config.discriminator_weight * discriminator
            (loss * world_size).backward()  # type: ignore[no-untyped-call]
        sums += _sums(outputs)
    return sums


def _sums(outputs: dict[str, Tensor]) -> Tensor:
    """Generator loss, discriminator loss, right predictions, right verdicts; (4,) float64."""
    right = (outputs["discriminator_logits"] > 0) == (outputs["labels"] > 0)
    predicted = (outputs["predicted_ids"] == outputs["original_ids"]) * outputs["weights"]
    return torch.stack(
        [
            outputs["generator_loss_sum"].detach().double(),
            outputs["discriminator_loss_sum"].detach().double(),
            predicted.sum().double(),
            (right & outputs["present"]).sum().double(),
        ]
    )


def _raise_if_not_finite(sums: Tensor, step: int, run: Run) -> None:
    if not torch.isfinite(sums).all():
        raise ValueError(
            f"pretrain: the loss is not finite at step {step}; the last good checkpoint is in "
            f"{run.draft.work}/checkpoints; lower pretrain.learning_rate, lengthen "
            "pretrain.warmup_steps or set scale.precision=float32"
        )


def _train_line(
    step: int,
    sums: Tensor,
    batch: Batch,
    config: PretrainConfig,
    worker: Worker,
    facts: Mapping[str, float],
) -> dict[str, Any]:
    """Metrics of one training batch over all workers; every worker must call it."""
    if worker.world_size > 1:
        dist.all_reduce(sums)
    generator, discriminator, predicted, right = sums.tolist()
    generator /= batch.num_predictions
    discriminator /= batch.num_tokens
    return {
        "step": step,
        "split": "train",
        "loss": config.generator_weight * generator + config.discriminator_weight * discriminator,
        "generator_loss": generator,
        "generator_accuracy": predicted / batch.num_predictions,
        "discriminator_loss": discriminator,
        "discriminator_accuracy": right / batch.num_tokens,
        **facts,
    }


@torch.no_grad()
def _evaluate(
    model: Electra,
    source: BatchSource,
    worker: Worker,
    precision: torch.dtype,
    config: PretrainConfig,
    step: int,
) -> list[dict[str, Any]]:
    """One line of held-out metrics on rank 0; the same sequences, masks and noise every time."""
    num_rows = min(len(source.reader), config.held_out_sequences)
    if num_rows == 0:
        return []
    model.eval()
    tallies: list[Tally] = []
    for index in range(math.ceil(num_rows / config.batch_sequences)):
        batch = source.held_out_batch(index, num_rows).to(worker.device)
        if len(batch):
            tallies.append(tally(_forward(model, batch, config.mask_fraction, precision)))
    model.train()
    if worker.world_size > 1:
        gathered: list[Any] | None = [None] * worker.world_size if worker.rank == 0 else None
        dist.gather_object(tallies, gathered)
        if gathered is None:
            return []
        tallies = [one for part in gathered for one in part]
    metrics = held_out_metrics(tallies, config.generator_weight, config.discriminator_weight)
    return [{"step": step, "split": "held_out", **metrics}]


def _update(
    step: int, config: PretrainConfig, history: list[dict[str, Any]], seconds: float
) -> Update:
    facts: dict[str, float | str] = {}
    for line in history:  # the newest value of each wins
        if line["split"] == "train":
            facts["generator loss"] = line["generator_loss"]
            facts["discriminator loss"] = line["discriminator_loss"]
        elif "discriminator_auc" in line:
            facts["held-out AUC"] = line["discriminator_auc"]
    facts["sequences/s"] = step * config.batch_sequences / max(seconds, 1e-9)
    return Update(STAGE, step, config.steps, "steps", facts)


def _write_results(
    run: Run, model: Electra, history: list[dict[str, Any]], seconds: float, worker: Worker
) -> None:
    """Weights in transformers' layout, the history, and what the manifest will say."""
    disable_progress_bar()  # transformers would draw one for each file it saves
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
        for part in (model.generator, model.discriminator):
            kind = "generator" if part is model.generator else "discriminator"
            part.save_pretrained(Path(scratch) / kind)
        run.draft.folder.upload(Path(scratch))
    lines = b"".join(orjson.dumps(line) + b"\n" for line in history)
    run.draft.folder.write_bytes("metrics.jsonl", lines)
    config = run.config
    num_sequences = config.steps * config.batch_sequences
    mean_tokens = (
        run.sequences.counters["train"]["tokens"] / run.sequences.counters["train"]["sequences"]
    )
    held_out = [line for line in history if line["split"] == "held_out"]
    final = (
        {k: v for k, v in held_out[-1].items() if k not in ("step", "split")} if held_out else {}
    )
    counters = {
        "steps": config.steps,
        "sequences_seen": num_sequences,
        "epochs": round(num_sequences / run.sequences.counters["train"]["sequences"], 2),
        "tokens_seen": round(num_sequences * mean_tokens),
        "parameters": {
            "generator": count_parameters(model.generator),
            "discriminator": count_parameters(model.discriminator),
            "joint": count_parameters(model),
        },
        "held_out": final,
    }
    observed = {
        "training_seconds": round(seconds, 1),
        "tokens_per_second": round(counters["tokens_seen"] / seconds, 1),
        "workers": worker.world_size,
        "device": str(worker.device),
    }
    run.draft.work.write_json("summary.json", {"counters": counters, "observed": observed})
