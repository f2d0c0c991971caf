"""The chain, in running order: each stage is called with the whole configuration and its inputs.

Flows wrap these calls in tasks, the command line calls them one after another; both take the same
steps. Where the work runs is the executor's business.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from electra_pipeline import tokenizer as tokenizer_stage
from electra_pipeline.artifact import Artifact, open_artifact
from electra_pipeline.config import PipelineConfig
from electra_pipeline.corpus import build as corpus_stage
from electra_pipeline.evaluation import finetune
from electra_pipeline.evaluation.finetune import Leg
from electra_pipeline.evaluation.results import pretraining, store
from electra_pipeline.execution import Executor, Outcome
from electra_pipeline.pretraining import loop, sequences
from electra_pipeline.progress import Progress, Update
from electra_pipeline.publishing import huggingface
from electra_pipeline.reporting import render
from electra_pipeline.storage import Folder

logger = logging.getLogger(__name__)


def check(config: PipelineConfig, executor: Executor) -> None:
    """Refuse, before any work, whatever can be known to fail; raises ValueError in one line."""
    if config.corpus is None:
        raise ValueError(
            "corpus: missing; name its sources, or evaluate a model that is there: evaluate MODEL"
        )
    _check_place(config, executor)
    tokenizer_stage.check(config.tokenizer)
    loop.check(config.pretrain, config.sequences.length, config.scale)
    if config.finetune is not None:
        finetune.check(config.finetune)


def check_evaluation(config: PipelineConfig, executor: Executor) -> None:
    """`check`, for the evaluation of a model that is there; `plan_legs` checks model and data."""
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    _check_place(config, executor)


def _check_place(config: PipelineConfig, executor: Executor) -> None:
    executor.check(config.scale, config.root)
    Folder(config.root).check_writable()
    store.check(config.database_url)


def build_corpus(config: PipelineConfig, executor: Executor, progress: Progress) -> Artifact:
    """Sources -> clean, deduplicated documents, none of which holds what models are scored on."""
    if config.corpus is None:
        raise ValueError("corpus: missing; name its sources")
    wanted = config.corpus.decontaminate
    examples = (
        finetune.scored_texts(config.finetune)
        if wanted is not None and wanted.tasks and config.finetune is not None
        else {}
    )
    return corpus_stage.build(
        config.corpus,
        root=config.root,
        name=config.name,
        executor=executor,
        progress=progress,
        examples=examples,
    )


def train_tokenizer(config: PipelineConfig, corpus: Artifact, progress: Progress) -> Artifact:
    """Documents -> WordPiece vocabulary."""
    return tokenizer_stage.train(
        config.tokenizer, corpus, root=config.root, name=config.name, progress=progress
    )


def build_sequences(
    config: PipelineConfig,
    corpus: Artifact,
    tokenizer: Artifact,
    executor: Executor,
    progress: Progress,
) -> Artifact:
    """Documents and vocabulary -> sequences of ids."""
    return sequences.build(
        config.sequences,
        corpus,
        tokenizer,
        root=config.root,
        name=config.name,
        executor=executor,
        progress=progress,
    )


def pretrain(
    config: PipelineConfig,
    tokenizer: Artifact,
    sequences: Artifact,
    executor: Executor,
    progress: Progress,
) -> Artifact:
    """Sequences -> generator and discriminator."""
    return loop.pretrain(
        config.pretrain,
        tokenizer,
        sequences,
        root=config.root,
        name=config.name,
        executor=executor,
        scale=config.scale,
        progress=progress,
    )


def publish(
    config: PipelineConfig, pretrained: Artifact, tokenizer: Artifact, corpus: Artifact
) -> Artifact:
    """Weights, tokenizer and card -> directories that plain transformers loads."""
    return huggingface.publish(
        config.publish, pretrained, tokenizer, corpus, root=config.root, name=config.name
    )


def find_model(place: str) -> Artifact | str:
    """The published or fine-tuned artifact at a place, or else the place itself."""
    folder = Folder(place)
    return (open_artifact(folder) if folder.exists() else None) or place


def plan_legs(config: PipelineConfig, model: Artifact | str) -> list[Leg]:
    """One leg for each task, seed and starting model; none without a finetune section.

    `model` is an artifact, a Hugging Face directory, a URI or a hub name.
    """
    if config.finetune is None:
        return []
    return finetune.plan(config.finetune, model, root=config.root, name=config.name)


def run_leg(config: PipelineConfig, leg: Leg) -> Artifact:
    """Fine-tune and evaluate one leg with its share of the machine."""
    return finetune.run_leg(leg, num_threads=config.scale.cpus_per_leg)


def run_legs(
    config: PipelineConfig, legs: Sequence[Leg], executor: Executor, progress: Progress
) -> Iterator[Outcome[Artifact]]:
    """Outcomes of all legs as they finish; a failed leg loses only itself.

    Legs that start from others come after all that do not. A leg that has run is found here: asking
    a worker would cost seconds a leg.
    """
    num_done = 0
    for is_second in (False, True):
        missing = []
        for index, leg in enumerate(legs):
            if (leg.parent is not None) != is_second:
                continue
            if (found := finetune.find_leg(leg)) is not None:
                num_done += 1
                yield Outcome(index, value=found)
            else:
                missing.append(index)
        for outcome in executor.map(
            partial(run_leg, config),
            [legs[index] for index in missing],
            num_cpus=config.scale.cpus_per_leg,
            num_gpus=config.scale.gpus_per_leg,
        ):
            num_done += 1
            progress(Update("finetune", num_done, len(legs), "legs"))
            yield replace(outcome, index=missing[outcome.index])


def record_pretraining(
    config: PipelineConfig, sequences: Artifact, pretrained: Artifact, model: Artifact
) -> list[dict[str, Any]]:
    """Write what held-out text says of a model into the results table and return the rows."""
    rows = pretraining.rows(config.name, pretrained, model, sequences)
    store.record(config.database_url, rows)
    return rows


def record_results(config: PipelineConfig, legs: Iterable[Artifact]) -> list[dict[str, Any]]:
    """Write the rows of finished legs into the results table and return them."""
    rows = finetune.results(config.finetune, legs) if config.finetune is not None else []
    try:
        store.record(config.database_url, rows)
    except ValueError as error:
        raise ValueError(f"{error}; what is finished is kept, run it again to record it") from error
    return rows


def write_report(
    config: PipelineConfig, model: Artifact | str, rows: Sequence[dict[str, Any]]
) -> str:
    """Write the run's report beside its artifacts; return its place."""
    name = f"{config.name}-report.html"
    ours = model if isinstance(model, Artifact) else None
    folder = Folder(config.root)
    pages = render(config.root, config.database_url, config.name, ours, rows, name)
    for page, text in pages.items():
        folder.write_bytes(page, text.encode())
    return folder.join(name) if folder.is_local else f"{config.root.rstrip('/')}/{name}"
