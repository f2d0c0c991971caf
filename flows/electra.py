"""The whole chain as one flow."""

from dataclasses import replace

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows.finetune import Summary, evaluate
from flows.flow_options import FLOW
from flows.pretrain import make_model
from flows.runtime import flow_runtime


@flow(name="electra", **FLOW)
def electra(config: PipelineConfig) -> Summary:
    """Text in, evaluated model out."""
    with flow_runtime(config) as executor:
        model, pretraining = make_model(config, executor)
        summary = evaluate(config, model, executor)
        return replace(summary, rows=[*pretraining, *summary.rows])
