"""What a finished run leaves: weights, history, and the numbers of its manifest."""

import resource
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch

from electra_pipeline.core.execution import Worker
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.pretraining.checkpoint import TrainingLog
from electra_pipeline.pretraining.model import Electra, count_parameters
from electra_pipeline.storage.artifact import Artifact, Draft


def write_weights(draft: Draft, model: Electra) -> None:
    """`generator/` and `discriminator/`, as plain transformers loads them."""
    with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch, quiet_transformers():
        for kind, part in zip(("generator", "discriminator"), model.published(), strict=True):
            part.save_pretrained(Path(scratch) / kind)
        draft.folder.upload(Path(scratch))


def write_training_log(draft: Draft, history: TrainingLog) -> None:
    """`metrics.jsonl`: a line for each reading of the metrics."""
    lines = b"".join(orjson.dumps(line) + b"\n" for line in history)
    draft.folder.write_bytes("metrics.jsonl", lines)


def count(
    steps: int, batch_sequences: int, sequences: Artifact, model: Electra, history: TrainingLog
) -> dict[str, Any]:
    """The reproducible numbers: what was seen, how large the models are, the last held-out metrics.

    Tokens are those that are no padding, on the average of all sequences.
    """
    text = sequences.counters["train"]
    num_sequences = steps * batch_sequences
    held_out = [line for line in history if line["split"] == "held_out"]
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


def observe(counters: Mapping[str, Any], seconds: float, worker: Worker) -> dict[str, Any]:
    """What this machine made of it: time, rate, memory of rank 0."""
    return {
        "training_seconds": round(seconds, 1),
        "tokens_per_second": round(counters["tokens_seen"] / seconds, 1),
        "workers": worker.world_size,
        "device": str(worker.device),
        "peak_memory_bytes": peak_memory_bytes(worker.device),
    }


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory that this worker had: of its GPU, or resident in the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else 1024 * kibibytes  # macOS counts bytes
