"""The whole chain as one flow; the one that most people run."""

from dataclasses import replace

from prefect import flow

from electra_pipeline.config import PipelineConfig
from flows.ending import FLOW
from flows.finetune import Summary, evaluate
from flows.pretrain import make_model
from flows.session import connected


@flow(name="electra", **FLOW)
def electra(config: PipelineConfig) -> Summary:
    """Text in, evaluated model out."""
    with connected(config) as executor:
        model, pretraining = make_model(config, executor)
        summary = evaluate(config, model, executor)
        return replace(summary, rows=[*pretraining, *summary.rows])
