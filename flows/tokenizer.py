"""The flow that trains a tokenizer."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows import stages
from flows.ending import FLOW
from flows.session import connected, step


@flow(name="tokenizer", **FLOW)
def tokenizer(config: PipelineConfig) -> str:
    """The corpus, if it is not there yet, and its vocabulary; returns the tokenizer's place."""
    with connected(config) as executor:
        corpus = step(stages.corpus, config, executor)
        return str(step(stages.tokenizer, config, corpus, executor).folder)
