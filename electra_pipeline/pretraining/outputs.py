"""Outputs of a finished run: weights, training log, and the values of its manifest."""

import resource
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch

from electra_pipeline.core.execution import Worker
from electra_pipeline.core.precision import dtype_name
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.pretraining.checkpoint import TrainingLog
from electra_pipeline.pretraining.model import Electra, count_parameters
from electra_pipeline.storage.artifact import Artifact, Draft


def write_outputs(
    draft: Draft,
    model: Electra,
    training_log: TrainingLog,
    sequences: Artifact,
    steps: int,
    batch_sequences: int,
) -> dict[str, Any]:
    """Write `generator/` and `discriminator/`, which plain transformers loads, and `metrics.jsonl`.

    Returns the reproducible values of the manifest: data seen, model sizes, final held-out metrics.
    Tokens exclude padding and are estimated from the mean of all sequences.
    """
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch, quiet_transformers():
        for kind, part in zip(("generator", "discriminator"), model.published(), strict=True):
            part.save_pretrained(Path(scratch) / kind)
        draft.folder.upload(Path(scratch))
    lines = b"".join(orjson.dumps(line) + b"\n" for line in training_log)
    draft.folder.write_bytes("metrics.jsonl", lines)
    text = sequences.counters["train"]
    num_sequences = steps * batch_sequences
    held_out = [line for line in training_log if line["split"] == "held_out"]
    final = held_out[-1] if held_out else {}
    return {
        "steps": steps,
        "sequences_seen": num_sequences,
        "epochs": round(num_sequences / text["sequences"], 2),
        "tokens_seen": round(num_sequences * text["tokens"] / text["sequences"]),
        "parameters": {
            "generator": count_parameters(model.generator),
            "discriminator": count_parameters(model.discriminator),
            "joint": count_parameters(model),
        },
        "held_out": {k: v for k, v in final.items() if k not in ("step", "split")},
    }


def measurements(
    counted: Mapping[str, Any], seconds: float, worker: Worker, dtype: torch.dtype
) -> dict[str, Any]:
    """Return the values that depend on the machine: time, rate, memory of rank 0.

    dtype: type of the matrix products.
    """
    return {
        "training_seconds": round(seconds, 1),
        "tokens_per_second": round(counted["tokens_seen"] / seconds, 1),
        "workers": worker.world_size,
        "device": str(worker.device),
        "precision": dtype_name(dtype),
        "peak_memory_bytes": peak_memory_bytes(worker.device),
    }


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory of this worker: of its GPU, or resident in the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else 1024 * kibibytes  # macOS counts bytes
