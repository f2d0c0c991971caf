"""The pre-training stage: one loop, run by every worker alike."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from electra_pipeline.core.execution import Scale, StageContext, Worker
from electra_pipeline.core.optim import Adam, clip_gradients, learning_rate, parameter_groups
from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.pretraining import initial_files, initialization
from electra_pipeline.pretraining.async_checkpoint import Saver
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.checkpoint import Checkpoints, Position
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.folders import TENSORBOARD
from electra_pipeline.pretraining.initial_files import InitialModels
from electra_pipeline.pretraining.metrics_log import Journal, Meter
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
from electra_pipeline.pretraining.outputs import count, observe, write_history, write_weights
from electra_pipeline.pretraining.scalars import Scalars
from electra_pipeline.pretraining.sequences import SequenceReader, Vocabulary, load_vocabulary
from electra_pipeline.pretraining.sizes import model_config
from electra_pipeline.pretraining.step import Step, arithmetic, is_compiled
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import HELD_OUT_PREFIX

logger = logging.getLogger(__name__)

STAGE = "pretrain"
# 2: dropout by row; training lines of metrics.jsonl have prior_entropy.
# 3: recipe clean corrects Adam's bias.
FORMAT_VERSION = 3


@dataclass(frozen=True)
class Run:
    """All that a worker needs to know to take part."""

    config: PretrainConfig
    scale: Scale
    tokenizer: Artifact
    sequences: Artifact
    draft: Draft
    root: str


def pretrain(
    config: PretrainConfig,
    tokenizer: Artifact,
    sequences: Artifact,
    context: StageContext,
    scale: Scale,
) -> Artifact:
    """Train a generator and a discriminator; killed at any step, the next call goes on from there.

    Raises ValueError if the configuration does not fit the data or the workers.
    """
    check(config, int(sequences.config["length"]), scale)
    source = config.initialize_from

    def write(draft: Draft) -> Written:
        counters, observed = _continued(source, tokenizer) if source is not None else ({}, {})
        run = Run(config, scale, tokenizer, sequences, draft, context.root)
        context.executor.train(partial(train, run), scale, context.progress)
        summary = draft.work.read_json("summary.json")
        return Written(summary["counters"] | counters, summary["observed"] | observed)

    artifact = produce(**identity(config, tokenizer, sequences, context), write=write)
    if verdict := no_better_than_prior(artifact.counters["held_out"]):
        logger.warning("pretrain: %s", verdict)
    return artifact


def identity(
    config: PretrainConfig, tokenizer: Artifact, sequences: Artifact, context: StageContext
) -> dict[str, Any]:
    """What names the artifact of a run, for `produce` and `locate`."""
    source = config.initialize_from
    return {
        "root": context.root,
        "stage": STAGE,
        "name": context.name,
        "format_version": FORMAT_VERSION,
        "config": config.model_dump(mode="json", exclude={"initialize_from"}),
        "inputs": {
            "tokenizer": tokenizer.fingerprint,
            "sequences": sequences.fingerprint,
            **(initial_files.digests(source) if source is not None else {}),
        },
    }


def _continued(
    source: str | InitialModels, tokenizer: Artifact
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the manifest counts of a pair to continue from, and where it lay."""
    shared = initialization.count(source, load_vocabulary(tokenizer).pieces)
    place = source if isinstance(source, str) else source.model_dump()
    logger.info(
        "pretrain: starts from %s: %d of %d pieces of the vocabulary carry over",
        *(place, shared["shared_pieces"], shared["pieces"]),
    )
    return {"initialized_from": shared}, {"initialized_from": place}


def check(config: PretrainConfig, length: int, scale: Scale) -> None:
    """Refuse what cannot train, before any work."""
    shape = model_config(config.size, config.model)
    if length > shape.max_positions:
        raise ValueError(
            f"sequences.length is {length}, but the model has {shape.max_positions} positions; "
            "shorten the sequences or set pretrain.model.max_positions"
        )
    if config.initialize_from is not None:
        initialization.check(config.initialize_from, shape, length)
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
    with ExitStack() as stack:
        _train(run, worker, stack)


def _train(run: Run, worker: Worker, stack: ExitStack) -> None:
    config, scale = run.config, run.scale
    torch.set_num_threads(worker.num_threads)
    vocabulary = load_vocabulary(run.tokenizer)
    model = build_model(
        config, vocabulary, run.sequences, is_compiled(worker.device, scale.compile)
    ).to(worker.device)
    optimizer = Adam(
        parameter_groups(model, config.weight_decay),
        beta1=config.adam_beta1,
        beta2=config.adam_beta2,
        epsilon=config.adam_epsilon,
        bias_correction=config.has_bias_correction,
    )
    checkpoints = Checkpoints.of(run.draft, run.root)
    position = checkpoints.restore(model, optimizer, worker.device)
    source = _source(run, SequenceReader(run.sequences), model.masking, worker)
    held_out = _source(run, SequenceReader(run.sequences, HELD_OUT_PREFIX), model.masking, worker)
    if position.step == 0:
        if config.initial_token_bias == "frequency":
            model.set_token_bias(source.log_frequencies(vocabulary.size))
        if config.initialize_from is not None:
            initialization.apply(model, config.initialize_from, vocabulary.pieces)
    wrapped = DistributedDataParallel(model) if worker.world_size > 1 else model
    num_held_out = min(len(held_out.reader), config.held_out_sequences)
    step_of = Step(
        worker,
        arithmetic(worker.device, scale.precision),
        config.generator_weight,
        config.discriminator_weight,
        scale.micro_batch_sequences,
    )

    journal = Journal(STAGE, config.steps, worker, position, _scalars(run, worker, position, stack))
    if worker.rank == 0:
        checkpoints.sweep()
    saver = stack.enter_context(Saver(checkpoints, scale, config.steps, journal.say))
    meter = Meter()
    if position.step == 0:
        journal.add(0, "held_out", step_of.evaluate(model, held_out, num_held_out))
    previous = torch.zeros(())
    batches = meter.timed(source.batches(position.step, config.steps))
    for index, batch in zip(range(position.step, config.steps), batches, strict=True):
        rate = learning_rate(
            index, config.learning_rate, config.steps, config.warmup_steps, config.schedule
        )
        sums = step_of.backward(wrapped, batch.to(worker.device))
        norm = clip_gradients(model.parameters(), config.gradient_clip)
        # Looked at one step late, so that a GPU never waits for the host.
        _stop_if_not_finite(previous, index - 1, config, worker, saver)
        optimizer.set_learning_rate(rate)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        previous = norm
        meter.count(batch.num_tokens)
        saver.collect()

        done = index + 1
        if done % config.log_every_steps == 0 or done == config.steps:
            _stop_if_not_finite(norm, index, config, worker, saver)
            facts = {"learning_rate": rate, "gradient_norm": norm.item()}
            metrics = {**step_of.train_metrics(sums, batch), **facts}
            journal.add(done, "train", metrics, meter.read())
        if done % config.evaluate_every_steps == 0 or done == config.steps:
            metrics = step_of.evaluate(model, held_out, num_held_out)
            journal.add(done, "held_out", metrics)
            meter.restart()
            if config.warmup_steps < done < config.steps and (
                verdict := no_better_than_prior(metrics)
            ):
                journal.say(f"at step {done}, {verdict}")
        journal.show(done)
        # if the norm is not finite the next step says so, on all workers at once
        places = saver.places(done, journal.history) if worker.rank == 0 else []
        if places and torch.isfinite(norm):
            reached = Position(done, journal.history, journal.seconds)
            saver.save(places, reached, model, optimizer)
    if worker.rank == 0:
        write_weights(run.draft, model)
        write_history(run.draft, journal.history)
        counters = count(
            config.steps, config.batch_sequences, run.sequences, model, journal.history
        )
        observed = {**observe(counters, journal.seconds, worker), **saver.costs()}
        summary = {"counters": counters, "observed": observed}
        run.draft.work.write_json("summary.json", summary)


def _scalars(run: Run, worker: Worker, position: Position, stack: ExitStack) -> Scalars | None:
    """TensorBoard's files, which rank 0 writes where the root is a local disk."""
    folder = Folder(run.root) / TENSORBOARD / run.draft.folder.name
    if worker.rank != 0 or not run.scale.tensorboard or not folder.is_local:
        return None
    # the metrics of the step where a run resumes are there already
    scalars = Scalars(Path(folder.path), position.step + 1 if position.step else 0)
    stack.callback(scalars.close)
    return scalars


def build_model(
    config: PretrainConfig, vocabulary: Vocabulary, sequences: Artifact, compiled: bool = False
) -> Electra:
    """The two models of a run as they are before its first step."""
    special = SpecialIds(*(vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
    slots = num_slots(int(sequences.config["length"]), config.mask_fraction)
    return Electra(
        model_config(config.size, config.model),
        vocabulary.size,
        Masking(config.mask_fraction, slots, config.recipe == "clean", special),
        config.seed,
        config.initial_replaced_fraction,
        compiled,
    )


def _source(run: Run, reader: SequenceReader, masking: Masking, worker: Worker) -> BatchSource:
    config = run.config
    return BatchSource(
        reader, config.seed, config.batch_sequences, masking, worker.rank, worker.world_size
    )


def _stop_if_not_finite(
    norm: Tensor, step: int, config: PretrainConfig, worker: Worker, saver: Saver
) -> None:
    """Raise ValueError on all workers if the gradient of `step` shows that the run diverged.

    The norm is that of the gradient which all workers share, so all of them stop at the same step.
    """
    if torch.isfinite(norm):
        return
    message = [""]
    if worker.rank == 0:
        good = saver.last_good(step)
        message = [
            f"pretrain: the loss or its gradient is not finite at step {step}; "
            f"the last good checkpoint is {good or 'none'}; likely causes: "
            f"pretrain.learning_rate {config.learning_rate:g} is too high, "
            f"pretrain.warmup_steps {config.warmup_steps} too few, or bfloat16 too coarse "
            "(with scale.precision=float32 the run goes on from the last good checkpoint)"
        ]
    if worker.world_size > 1:
        dist.broadcast_object_list(message)
    raise ValueError(message[0])
