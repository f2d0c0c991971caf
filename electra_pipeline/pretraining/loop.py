"""The pre-training stage: one loop, run by every worker alike."""

import logging
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import orjson
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.execution import Executor, Scale, Worker
from electra_pipeline.identity import Config
from electra_pipeline.optim import Adam, clip_gradients, learning_rate, parameter_groups
from electra_pipeline.pretraining import checkpoint
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.checkpoint import History, Position
from electra_pipeline.pretraining.model import (
    Electra,
    ModelOverrides,
    Size,
    count_parameters,
    model_config,
)
from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
from electra_pipeline.pretraining.sequences import SequenceReader, Vocabulary, load_vocabulary
from electra_pipeline.pretraining.step import NUM_SUMS, Step, arithmetic, is_compiled
from electra_pipeline.progress import Progress, Update
from electra_pipeline.quiet import quiet_transformers
from electra_pipeline.shards import HELD_OUT_PREFIX

logger = logging.getLogger(__name__)

STAGE = "pretrain"
FORMAT_VERSION = 2  # 2: dropout by row
REPORT_SECONDS = 1.0  # how often rank 0 shows a sign of life


class PretrainConfig(Config):
    """The objective and its optimization. Defaults are ELECTRA-Small's (paper table 6)."""

    size: Size = "small"
    """Published sizes small, base and large; tiny is for laptops and tests."""
    model: ModelOverrides = ModelOverrides()
    """Fields of the size to replace."""
    recipe: Literal["google", "clean"] = "google"
    """google: the published code's rules, quirks included. clean: masked positions are distinct, so
    that mask_fraction is what is masked; goes with sequences.layout packed."""
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
    initial_replaced_fraction: float = Field(default=0.5, gt=0, lt=1)
    """What the untrained discriminator takes for the share of replaced tokens, through its output
    bias. Published: 0.5, a bias of 0. Near the true share (about mask_fraction * 0.9), a short run
    does not bend all its weights to learn the prior first."""
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
    masking = _masking(config, vocabulary, int(run.sequences.config["length"]))
    model = Electra(
        model_config(config.size, config.model),
        vocabulary.size,
        masking,
        config.seed,
        config.initial_replaced_fraction,
        is_compiled(worker.device, scale.compile),
    ).to(worker.device)
    optimizer = Adam(parameter_groups(model, config.weight_decay))
    position = checkpoint.load_latest(run.draft, model, optimizer, worker.device)
    wrapped = DistributedDataParallel(model) if worker.world_size > 1 else model
    source = _source(run, SequenceReader(run.sequences), masking, worker)
    held_out = _source(run, SequenceReader(run.sequences, HELD_OUT_PREFIX), masking, worker)
    num_held_out = min(len(held_out.reader), config.held_out_sequences)
    step_of = Step(
        worker,
        arithmetic(worker.device, scale.precision),
        config.generator_weight,
        config.discriminator_weight,
        scale.micro_batch_sequences,
    )

    history = list(position.history)
    started = time.monotonic() - position.seconds
    last_report = -math.inf
    if position.step == 0:
        _add(history, 0, "held_out", step_of.evaluate(model, held_out, num_held_out))
    previous = torch.zeros(NUM_SUMS)
    batches = source.batches(position.step, config.steps)
    for index, batch in zip(range(position.step, config.steps), batches, strict=True):
        rate = learning_rate(index, config.learning_rate, config.steps, config.warmup_steps)
        sums = step_of.backward(wrapped, batch.to(worker.device))
        norm = clip_gradients(model.parameters(), config.gradient_clip)
        # Looked at one step late, so that a GPU never waits for the host.
        _raise_if_not_finite(previous, index - 1, run)
        optimizer.set_learning_rate(rate)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        previous = sums

        done = index + 1
        if done % config.log_every_steps == 0 or done == config.steps:
            _raise_if_not_finite(sums, index, run)
            facts = {"learning_rate": rate, "gradient_norm": norm.item()}
            _add(history, done, "train", {**step_of.train_metrics(sums, batch), **facts})
        if done % config.evaluate_every_steps == 0 or done == config.steps:
            _add(history, done, "held_out", step_of.evaluate(model, held_out, num_held_out))
        if worker.rank == 0:
            now = time.monotonic()
            if now - last_report >= REPORT_SECONDS or done == config.steps:
                last_report = now
                worker.report(_update(done, config, history, now - started))
            if done % scale.checkpoint_every_steps == 0 and done < config.steps:
                _raise_if_not_finite(sums, index, run)
                reached = Position(done, history, now - started)
                checkpoint.save(run.draft, reached, model, optimizer, scale.keep_checkpoints)
    if worker.rank == 0:
        _write_results(run, model, history, time.monotonic() - started, worker)


def _add(history: History, step: int, split: str, metrics: Mapping[str, float]) -> None:
    """Append a line of metrics, if there are any."""
    if metrics:
        history.append({"step": step, "split": split, **metrics})


def _masking(config: PretrainConfig, vocabulary: Vocabulary, length: int) -> Masking:
    special = SpecialIds(*(vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
    slots = num_slots(length, config.mask_fraction)
    return Masking(config.mask_fraction, slots, config.recipe == "clean", special)


def _source(run: Run, reader: SequenceReader, masking: Masking, worker: Worker) -> BatchSource:
    config = run.config
    return BatchSource(
        reader, config.seed, config.batch_sequences, masking, worker.rank, worker.world_size
    )


def _raise_if_not_finite(sums: Tensor, step: int, run: Run) -> None:
    if not torch.isfinite(sums).all():
        raise ValueError(
            f"pretrain: the loss is not finite at step {step}; the last good checkpoint is in "
            f"{run.draft.work}/checkpoints; lower pretrain.learning_rate, lengthen "
            "pretrain.warmup_steps or set scale.precision=float32"
        )


def _update(step: int, config: PretrainConfig, history: History, seconds: float) -> Update:
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
    run: Run, model: Electra, history: History, seconds: float, worker: Worker
) -> None:
    """Weights in transformers' layout, the history, and what the manifest will say."""
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch, quiet_transformers():
        for kind, part in zip(("generator", "discriminator"), model.published(), strict=True):
            part.save_pretrained(Path(scratch) / kind)
        run.draft.folder.upload(Path(scratch))
    lines = b"".join(orjson.dumps(line) + b"\n" for line in history)
    run.draft.folder.write_bytes("metrics.jsonl", lines)
    config = run.config
    text = run.sequences.counters["train"]
    num_sequences = config.steps * config.batch_sequences
    held_out = [line for line in history if line["split"] == "held_out"]
    final = (
        {k: v for k, v in held_out[-1].items() if k not in ("step", "split")} if held_out else {}
    )
    counters = {
        "steps": config.steps,
        "sequences_seen": num_sequences,
        "epochs": round(num_sequences / text["sequences"], 2),
        "tokens_seen": round(num_sequences * text["tokens"] / text["sequences"]),
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
