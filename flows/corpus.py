"""The flow that builds a corpus."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows import stages
from flows.ending import FLOW
from flows.session import connected, step


@flow(name="corpus", **FLOW)
def corpus(config: PipelineConfig) -> str:
    """Sources to clean, deduplicated documents; returns the corpus's place."""
    with connected(config) as executor:
        return str(step(stages.corpus, config, executor).folder)
