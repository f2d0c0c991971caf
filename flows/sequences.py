"""The flow that builds the sequences that pre-training reads."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows import stages
from flows.ending import FLOW
from flows.session import connected, step


@flow(name="sequences", **FLOW)
def sequences(config: PipelineConfig) -> str:
    """Sources to sequences of ids; returns the sequences' place."""
    with connected(config) as executor:
        corpus = step(stages.corpus, config, executor)
        tokenizer = step(stages.tokenizer, config, corpus, executor)
        return str(step(stages.sequences, config, corpus, tokenizer, executor).folder)
