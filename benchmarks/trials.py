"""Seconds of many fine-tuning trials: side by side over Ray, and one after another in one process.

The trials are those of one task with as many seeds, the same for all: one core each over Ray, one
after another with one thread, and one after another with all cores. By turns, each from nothing;
Ray is started before the clock, its worker processes are not. Beside the gain stands the
utilization: the time that trials took over slots x wall time. It shows where the gain stops: few
trials pay for the start of the workers, which import torch and transformers (seconds each), and for
slots that wait while the last trial ends.

Needs a folder with the GLUE archive and a vocabulary, as `finetuning.py` does.

    python benchmarks/trials.py --counts 2 4 8 16 --rounds 2
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from finetuning import make_model, write_files

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import (
    Executor,
    LocalExecutor,
    StageContext,
    cpus_of_this_process,
)
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.plan import plan
from electra_pipeline.finetuning.trial import Trial
from electra_pipeline.on_ray import cluster
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.workflows import evaluate


def seconds(
    finetuning: FinetuneConfig, model: Artifact, executor: Executor, cpus_per_trial: int
) -> tuple[float, float]:
    """Wall seconds of all trials from nothing, and the utilization."""
    with tempfile.TemporaryDirectory() as root:
        config = PipelineConfig.model_validate(
            {
                "name": "trials",
                "root": root,
                "corpus": {"sources": [{"type": "files", "urls": ["none"]}]},
                "finetune": finetuning,
                "scale": {"cpus_per_trial": cpus_per_trial},
            }
        )
        trials = plan(finetuning, model, StageContext(root, "trials"))
        made: list[tuple[Trial, Artifact]] = []
        started = time.perf_counter()
        for outcome in evaluate.run_trials(config, trials, config.context(executor)):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.value is not None
            made.append((trials[outcome.index], outcome.value))
        taken = time.perf_counter() - started
        return taken, evaluate.log_utilization(config, made, executor, taken)


def measure(
    finetuning: FinetuneConfig, model: Artifact, num_cores: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {
        "side by side": [],
        "one after another": [],
        f"one after another, {num_cores} threads": [],
    }
    side_by_side, one_by_one, all_threads = found.values()
    for _ in range(rounds):
        with cluster() as executor:
            side_by_side.append(seconds(finetuning, model, executor, 1))
        one_by_one.append(seconds(finetuning, model, LocalExecutor(), 1))
        all_threads.append(seconds(finetuning, model, LocalExecutor(), num_cores))
    return found


def show(num_trials: int, found: dict[str, Sequence[tuple[float, float]]]) -> None:
    ours = [taken for taken, _ in found["side by side"]]
    busy = [utilization for _, utilization in found["side by side"]]
    print(
        f"{num_trials:3} trials side by side: {statistics.median(ours):6.1f} s, busy share "
        f"{statistics.median(busy):.0%} ({min(busy):.0%} to {max(busy):.0%})"
    )
    for name, values in found.items():
        if name != "side by side":
            gains = [other / mine for (other, _), mine in zip(values, ours, strict=True)]
            print(
                f"    {name:30} {statistics.median(taken for taken, _ in values):6.1f} s, gain "
                f"{statistics.median(gains):.2f} ({min(gains):.2f} to {max(gains):.2f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ELECTRA_PIPELINE_DATA"))
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.data:
        print("not measured: needs ELECTRA_PIPELINE_DATA, a folder with tasks/glue/ and vocab/")
        return
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    num_cores = cpus_of_this_process()
    with tempfile.TemporaryDirectory() as place:
        folder, data = Path(place), Path(arguments.data)
        files = write_files(arguments.task, data, folder, arguments.examples, 500)
        model = make_model(arguments.shape, data, folder)
        print(
            f"{arguments.task}, {files.num_train} examples, electra-{arguments.shape}, "
            f"{num_cores} cores, {arguments.rounds} rounds, torch {torch.__version__}"
        )
        for num_trials in arguments.counts:
            finetuning = FinetuneConfig(
                tasks=(files.task(),),
                seeds=tuple(range(num_trials)),
                baselines=(),
                learning_rate=1e-3,
                epochs=1,
                keep_models="none",
            )
            show(num_trials, measure(finetuning, model, num_cores, arguments.rounds))


if __name__ == "__main__":
    main()
