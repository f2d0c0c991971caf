"""Prefect flows: the chain and each stage, thin over `electra_pipeline.stages` and `workflows`."""
