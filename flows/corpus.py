"""The flow that builds a corpus."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows.flow_options import FLOW
from flows.runtime import flow_runtime, run_until


@flow(name="corpus", **FLOW)
def corpus(config: PipelineConfig) -> str:
    """Sources to clean, deduplicated documents; returns the corpus's path or URI."""
    with flow_runtime(config) as executor:
        return str(run_until("corpus", config, executor)["corpus"].folder)
