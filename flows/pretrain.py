"""The flow that makes a model: everything up to the published generator and discriminator."""

from typing import Any

from prefect import flow

from electra_pipeline.config import PipelineConfig
from electra_pipeline.on_ray import RayExecutor
from electra_pipeline.storage.artifact import Artifact
from flows import stages
from flows.ending import FLOW
from flows.session import connected, step
from flows.watching import show_model


@flow(name="pretrain", **FLOW)
def pretrain(config: PipelineConfig) -> str:
    """Corpus to published model; returns the model's place."""
    with connected(config) as executor:
        model, _ = make_model(config, executor)
        return str(model.folder)


def make_model(
    config: PipelineConfig, executor: RayExecutor
) -> tuple[Artifact, list[dict[str, Any]]]:
    """Corpus, tokenizer, sequences, pre-training, publishing: what is finished costs nothing.

    Returns the published model and what the results table says of its pre-training.
    """
    corpus = step(stages.corpus, config, executor)
    tokenizer = step(stages.tokenizer, config, corpus, executor)
    sequences = step(stages.sequences, config, corpus, tokenizer, executor)
    pretrained = step(stages.pretrain, config, tokenizer, sequences, executor)
    model = step(stages.publish, config, pretrained, tokenizer, corpus)
    rows = step(stages.record_pretraining, config, sequences, pretrained, model)
    show_model(config, corpus, pretrained, model)
    return model, rows
