"""The flow that builds the sequences for pre-training."""

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows.flow_options import FLOW
from flows.runtime import flow_runtime, run_until


@flow(name="sequences", **FLOW)
def sequences(config: PipelineConfig) -> str:
    """Sources to sequences of token ids; returns the sequences' path or URI."""
    with flow_runtime(config) as executor:
        return str(run_until("sequences", config, executor)["sequences"].folder)
