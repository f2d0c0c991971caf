"""The chain: each stage's name, function, inputs and format version, in running order.

Command line, flows, sweep and learning curve all read `STAGES`; none of them repeats the order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import StageContext, StageName
from electra_pipeline.corpus import build as corpus_stage
from electra_pipeline.finetuning import plan
from electra_pipeline.pretraining import loop, sequences
from electra_pipeline.publishing import huggingface
from electra_pipeline.results.cost_recording import driver_metered, metered
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tokenizer import train as tokenizer_stage

Artifacts = Mapping[str, Artifact]
"""Artifacts by the name of the stage that made them."""
StageFunction = Callable[[PipelineConfig, StageContext, Artifacts], Artifact]


@dataclass(frozen=True)
class Stage:
    """One step of the chain: a function of the configuration and of earlier stages' artifacts."""

    name: StageName
    function: StageFunction
    inputs: tuple[StageName, ...]
    """The stages whose artifacts `function` reads."""
    format_version: int
    """Version of the artifact's files, which its fingerprint includes."""
    on_driver: bool = False
    """Whether it runs in the driver's process on one CPU, and not on the executor."""


def _build_corpus(config: PipelineConfig, context: StageContext, inputs: Artifacts) -> Artifact:
    """Build clean, deduplicated documents, without those that hold what models are scored on."""
    if config.corpus is None:
        raise ValueError("corpus: missing; name its sources")
    wanted = config.corpus.decontaminate
    examples = (
        plan.scored_texts(config.finetune)
        if wanted is not None and wanted.tasks and config.finetune is not None
        else {}
    )
    return corpus_stage.build(config.corpus, context, examples=examples)


def _train_tokenizer(config: PipelineConfig, context: StageContext, inputs: Artifacts) -> Artifact:
    """Train a WordPiece vocabulary on the documents."""
    return tokenizer_stage.train(config.tokenizer, inputs["corpus"], context)


def _build_sequences(config: PipelineConfig, context: StageContext, inputs: Artifacts) -> Artifact:
    """Encode the documents as sequences of token ids."""
    return sequences.build(config.sequences, inputs["corpus"], inputs["tokenizer"], context)


def _pretrain(config: PipelineConfig, context: StageContext, inputs: Artifacts) -> Artifact:
    """Train generator and discriminator on the sequences."""
    return loop.pretrain(
        config.pretrain, inputs["tokenizer"], inputs["sequences"], context, scale=config.scale
    )


def _publish(config: PipelineConfig, context: StageContext, inputs: Artifacts) -> Artifact:
    """Write weights, tokenizer and model cards as directories that plain transformers loads."""
    return huggingface.publish(
        config.publish, inputs["pretrain"], inputs["tokenizer"], inputs["corpus"], context
    )


STAGES: dict[StageName, Stage] = {
    stage.name: stage
    for stage in (
        Stage("corpus", _build_corpus, (), corpus_stage.FORMAT_VERSION),
        Stage(
            "tokenizer",
            _train_tokenizer,
            ("corpus",),
            tokenizer_stage.FORMAT_VERSION,
            on_driver=True,
        ),
        Stage("sequences", _build_sequences, ("corpus", "tokenizer"), sequences.FORMAT_VERSION),
        Stage("pretrain", _pretrain, ("tokenizer", "sequences"), loop.FORMAT_VERSION),
        Stage(
            "publish",
            _publish,
            ("corpus", "tokenizer", "pretrain"),
            huggingface.FORMAT_VERSION,
            on_driver=True,
        ),
    )
}


def run_stage(
    name: StageName, config: PipelineConfig, context: StageContext, inputs: Artifacts
) -> Artifact:
    """Run one stage, or return its artifact if it is finished; record what the stage cost."""
    stage = STAGES[name]
    if stage.on_driver:
        with driver_metered(config.database_url, config.name, name):
            return stage.function(config, context, inputs)
    with metered(config.database_url, config.name, name, context.executor) as meter:
        return stage.function(config, replace(context, executor=meter), inputs)


def run_until(
    last: StageName,
    config: PipelineConfig,
    context: StageContext,
    run: Callable[[StageName, PipelineConfig, StageContext, Artifacts], Artifact] = run_stage,
) -> dict[str, Artifact]:
    """Run the chain up to the stage `last`; return the artifact of each stage.

    Finished stages are reused. `run` runs one stage with the artifacts that it reads.
    """
    made: dict[str, Artifact] = {}
    for name, stage in STAGES.items():
        made[name] = run(name, config, context, {each: made[each] for each in stage.inputs})
        if name == last:
            break
    return made
