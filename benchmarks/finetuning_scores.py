"""Scores of fine-tuning over several seeds: ours in bfloat16 and float32, and those of Trainer.

Files, weights and settings are those of `finetuning.py`, and Trainer computes in the type that
`--trainer` names, padded to its batches, which changes its speed alone. Printed for each task are
the accuracies on the validation split, and how far each side's mean lies from that of ours in
bfloat16, with the 95 % interval and the p-value of Welch's t-test over the seeds.

Differences smaller than the interval cannot be seen with so many seeds. The model is a pre-trained
one, because random weights learn little from few examples.

    python benchmarks/finetuning_scores.py --model MODEL --tasks sst2 mrpc --seeds 5
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import transformers
from finetuning import ours, trainer, write_files
from scipy.stats import ttest_ind

OURS = "ours, bfloat16"


def show(found: Mapping[str, Sequence[float]]) -> None:
    for name, scores in found.items():
        print(
            f"  {name:20} mean {statistics.mean(scores):.4f}, deviation "
            f"{statistics.stdev(scores):.4f}: {' '.join(f'{score:.4f}' for score in scores)}"
        )
        if name != OURS:
            test = ttest_ind(scores, found[OURS], equal_var=False)
            interval = test.confidence_interval()
            print(
                f"  {'':20} {statistics.mean(scores) - statistics.mean(found[OURS]):+.4f} "
                f"[{interval.low:+.4f}, {interval.high:+.4f}] from {OURS}, p = {test.pvalue:.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ELECTRA_PIPELINE_DATA"))
    parser.add_argument("--model", required=True, help="folder of a pre-trained encoder")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc"])
    parser.add_argument("--examples", type=int, default=640, help="to train on")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--trainer", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.data or not importlib.util.find_spec("accelerate"):
        print("not measured: needs ELECTRA_PIPELINE_DATA and accelerate, see finetuning.py")
        return
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    runs = {
        OURS: ours("bfloat16"),
        "ours, float32": ours("float32"),
        f"Trainer, {arguments.trainer}": trainer(arguments.trainer, pad_to_max_length=False),
    }
    with tempfile.TemporaryDirectory() as place:
        data, folder = Path(arguments.data), Path(place)
        for task in arguments.tasks:
            files = write_files(task, data, folder, arguments.examples, None)
            found = {
                name: [
                    run(
                        arguments.model, files, arguments.epochs, arguments.learning_rate, seed
                    ).accuracy
                    for seed in range(arguments.seeds)
                ]
                for name, run in runs.items()
            }
            print(
                f"{task}, {files.num_train} examples, {arguments.epochs:g} epochs, "
                f"{arguments.seeds} seeds, accuracy on the validation split",
                flush=True,
            )
            show(found)


if __name__ == "__main__":
    main()
