"""The flow that trains a tokenizer."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows.flow_options import FLOW
from flows.runtime import flow_runtime, run_until


@flow(name="tokenizer", **FLOW)
def tokenizer(config: PipelineConfig) -> str:
    """Corpus and its vocabulary; returns the tokenizer's path or URI."""
    with flow_runtime(config) as executor:
        return str(run_until("tokenizer", config, executor)["tokenizer"].folder)
