"""The pre-training stage, and the training loop that all workers run.

`pretrain` makes the artifact; `train` is the loop. A step is in `step.py`, the objective in
`objective.py` and `model.py`, the data of a step in `batches.py`.
"""

import logging
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed as dist

from electra_pipeline.core.execution import Scale, StageContext, Worker
from electra_pipeline.core.late_values import LateValues
from electra_pipeline.core.memory import keep_freed_memory
from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.core.schedule import learning_rate
from electra_pipeline.pretraining import TENSORBOARD, initial_models, initialization, sharding
from electra_pipeline.pretraining.async_checkpoint import AsyncCheckpointWriter
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.checkpoint import CheckpointStore, ResumePoint, copied
from electra_pipeline.pretraining.config import STAGE, PretrainConfig
from electra_pipeline.pretraining.initial_models import InitialModels
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.metrics_log import MetricsLog, ThroughputMeter, tensorboard_writer
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
from electra_pipeline.pretraining.outputs import measurements, write_outputs
from electra_pipeline.pretraining.sequence_shards import SequenceReader
from electra_pipeline.pretraining.sizes import model_config
from electra_pipeline.pretraining.step import Step
from electra_pipeline.pretraining.transformer import PLAIN, Kernels
from electra_pipeline.pretraining.vocabulary import Vocabulary, load_vocabulary
from electra_pipeline.pretraining.weights import is_sharded
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import HELD_OUT_PREFIX, TRAIN_PREFIX

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

# 2: dropout by row; training lines of metrics.jsonl have prior_entropy.
# 3: recipe clean corrects Adam's bias.
# 4: another law of dropout masks; activations in the type of the products; sums in another order.
FORMAT_VERSION = 4


@dataclass(frozen=True)
class Run:
    """What a worker needs to take part in a run."""

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
    """Train a generator and a discriminator. After an interruption, the next call resumes.

    Raises ValueError if the configuration does not fit the data or the workers.
    """
    check(config, int(sequences.config["length"]), scale)
    source = config.initialize_from

    def write(draft: Draft) -> Written:
        counted, observed = _initialized_from(source, tokenizer) if source is not None else ({}, {})
        run = Run(config, scale, tokenizer, sequences, draft, context.root)
        context.executor.train(partial(train, run), scale, context.progress)
        summary = draft.work.read_json("summary.json")
        logger.info(
            "pretrain: matrix products in %s, %s tokens/s",
            summary["observed"]["precision"],
            f"{summary['observed']['tokens_per_second']:,.0f}",
        )
        return Written(summary["counters"] | counted, summary["observed"] | observed)

    artifact = produce(**identity(config, tokenizer, sequences, context), write=write)
    if verdict := no_better_than_prior(artifact.counters["held_out"]):
        logger.warning("pretrain: %s", verdict)
    return artifact


def identity(
    config: PretrainConfig, tokenizer: Artifact, sequences: Artifact, context: StageContext
) -> dict[str, Any]:
    """Return the identity of a run's artifact, as arguments of `produce` and `locate`."""
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
            **(initial_models.digests(source) if source is not None else {}),
        },
    }


def check(config: PretrainConfig, length: int, scale: Scale) -> None:
    """Raise ValueError, before any work, if sequences of `length` tokens cannot be trained on."""
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


def _initialized_from(
    source: str | InitialModels, tokenizer: Artifact
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the manifest counts and observes of the initial models."""
    counted = initialization.count_shared_tokens(source, load_vocabulary(tokenizer).ids)
    origin = source if isinstance(source, str) else source.model_dump()
    logger.info(
        "pretrain: initialized from %s; %d of %d tokens of the vocabulary are shared",
        *(origin, counted["shared_pieces"], counted["pieces"]),
    )
    return {"initialized_from": counted}, {"initialized_from": origin}


def train(run: Run, worker: Worker) -> None:
    """Take the remaining steps, evaluate and save. All workers run this; rank 0 writes."""
    config, scale = run.config, run.scale
    torch.set_num_threads(worker.num_threads)
    keep_freed_memory()
    vocabulary = load_vocabulary(run.tokenizer)
    model = build_model(config, vocabulary, run.sequences, kernels(worker.device, scale))
    checkpoints = CheckpointStore.of(run.draft, run.root)
    state = checkpoints.load()
    resumed = ResumePoint.of(state)
    source = _batch_source(run, TRAIN_PREFIX, model.masking, worker)
    held_out = _batch_source(run, HELD_OUT_PREFIX, model.masking, worker)
    num_held_out = min(len(held_out.reader), config.held_out_sequences)
    if state is None:
        if config.initial_token_bias == "frequency":
            model.set_token_bias(source.log_frequencies(vocabulary.size))
        if config.initialize_from is not None:
            initialization.apply(model, config.initialize_from, vocabulary.ids)
    else:
        model.load_state_dict(state["model"])
    wrapped = sharding.distribute(model, worker, scale)
    optimizer = Adam(
        parameter_groups(model, config.weight_decay),
        beta1=config.adam_beta1,
        beta2=config.adam_beta2,
        epsilon=config.adam_epsilon,
        bias_correction=config.has_bias_correction,
    )
    if state is not None:
        optimizer.load_state_dict(sharding.shard_state(state["optimizer"], optimizer))
        del state  # as large as the training's own
    step = Step(worker, config, scale)
    log = MetricsLog(config.steps, worker, resumed, _tensorboard(run, worker, resumed))
    if worker.rank == 0:
        checkpoints.remove_temporary()
    with (
        log,
        AsyncCheckpointWriter(checkpoints, scale, config.steps, log.warn, worker.rank) as writer,
    ):
        meter = ThroughputMeter()
        if resumed.step == 0:
            log.add(0, "held_out", step.evaluate(model, held_out, num_held_out))
        batches = meter.timed(source.batches(resumed.step, config.steps))
        norms = LateValues(worker.device)
        for index, batch in zip(range(resumed.step, config.steps), batches, strict=True):
            rate = learning_rate(
                index, config.learning_rate, config.steps, config.warmup_steps, config.schedule
            )
            sums = step.backward(wrapped, batch.to(worker.device))
            norm = clip_gradients(model.parameters(), config.gradient_clip)
            for step_of_norm, value in norms.add(index, norm):
                _stop_if_not_finite(value, step_of_norm, config, worker, writer)
            optimizer.set_learning_rate(rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            meter.count(batch.num_tokens)
            writer.collect()

            done = index + 1
            if done % config.log_every_steps == 0 or done == config.steps:
                optimization = {"learning_rate": rate, "gradient_norm": norm.item()}
                _stop_if_not_finite(optimization["gradient_norm"], index, config, worker, writer)
                metrics = {**step.train_metrics(sums, batch), **optimization}
                log.add(done, "train", metrics, meter.read())
            if done % config.evaluate_every_steps == 0 or done == config.steps:
                metrics = step.evaluate(model, held_out, num_held_out)
                log.add(done, "held_out", metrics)
                meter.restart()
                is_warmed_up = config.warmup_steps < done < config.steps
                if is_warmed_up and (verdict := no_better_than_prior(metrics)):
                    log.warn(f"at step {done}, {verdict}")
            log.report_progress(done)
            # If the norm is not finite, the next step raises, on all workers at once.
            files = writer.files_due(done, log.lines)
            if files and torch.isfinite(norm):
                writer.save(files, ResumePoint(done, log.lines, log.seconds), model, optimizer)
        trained = _whole(model, run, vocabulary, worker)
        if worker.rank == 0:
            counted = write_outputs(
                run.draft, trained, log.lines, run.sequences, config.steps, config.batch_sequences
            )
            measured = measurements(counted, log.seconds, worker, step.dtype)
            observed = {**measured, **writer.statistics()}
            run.draft.work.write_json("summary.json", {"counters": counted, "observed": observed})


def _whole(model: Electra, run: Run, vocabulary: Vocabulary, worker: Worker) -> Electra:
    """Return the model with all its weights on rank 0; every worker must call it."""
    if not is_sharded(model):
        return model
    weights = copied(model.state_dict(keep_vars=True), is_kept=worker.rank == 0)
    whole = build_model(run.config, vocabulary, run.sequences)
    if worker.rank == 0:
        whole.load_state_dict(weights)
    return whole


def build_model(
    config: PretrainConfig,
    vocabulary: Vocabulary,
    sequences: Artifact,
    using: Kernels = PLAIN,
) -> Electra:
    """Return the two models of a run as they are before its first step."""
    special = SpecialIds(*(vocabulary.id_of(t) for t in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
    slots = num_slots(int(sequences.config["length"]), config.mask_fraction)
    return Electra(
        model_config(config.size, config.model),
        vocabulary.size,
        Masking(config.mask_fraction, slots, config.recipe == "clean", special),
        config.seed,
        config.initial_replaced_fraction,
        using,
    )


def _batch_source(run: Run, prefix: str, masking: Masking, worker: Worker) -> BatchSource:
    return BatchSource(
        SequenceReader(run.sequences, prefix),
        run.config.seed,
        run.config.batch_sequences,
        masking,
        worker.rank,
        worker.world_size,
    )


def _tensorboard(run: Run, worker: Worker, resumed: ResumePoint) -> "SummaryWriter | None":
    """Return a TensorBoard writer on rank 0, if wanted and the root is on a local disk."""
    folder = Folder(run.root) / TENSORBOARD / run.draft.folder.name
    if worker.rank != 0 or not run.scale.tensorboard or not folder.is_local:
        return None
    # the metrics of the step from which a run resumes exist already
    return tensorboard_writer(Path(folder.path), resumed.step + 1 if resumed.step else 0)


def _stop_if_not_finite(
    norm: float, step: int, config: PretrainConfig, worker: Worker, writer: AsyncCheckpointWriter
) -> None:
    """Raise ValueError on all workers if the gradient of `step` is not finite.

    All workers have the same gradient, and so the same norm: they stop at the same step.
    """
    if math.isfinite(norm):
        return
    message = [""]
    if worker.rank == 0:
        message = [
            f"pretrain: the loss or its gradient is not finite at step {step}; "
            f"the last good checkpoint is {writer.last_good(step) or 'none'}; likely causes: "
            f"pretrain.learning_rate {config.learning_rate:g} is too high, "
            f"pretrain.warmup_steps {config.warmup_steps} too few, or bfloat16 too coarse "
            "(with scale.precision=float32 the run resumes from the last good checkpoint)"
        ]
    if worker.world_size > 1:
        dist.broadcast_object_list(message)
    raise ValueError(message[0])
