"""Pre-training on a local Ray: two workers with one core against one worker with two, by turns.

Both take the same steps of the same run. The rate is that of the finished artifact: tokens without
padding over the seconds of the loop, without start-up and final evaluation.

    python benchmarks/data_parallel.py --size small --batch 32 --steps 8 --rounds 3
"""

import argparse
import statistics
import tempfile

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.on_ray import cluster
from electra_pipeline.pretraining.sizes import SIZES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], arguments.workers: []}
    with tempfile.TemporaryDirectory() as root, cluster() as executor:
        for round_number in range(arguments.rounds):
            for workers, measured in rates.items():
                chosen = configuration.load(
                    preset="quickstart",
                    root=root,
                    overrides=[
                        f"tokenizer.vocab_size={arguments.vocab_size}",
                        f"sequences.length={arguments.length}",
                        f"pretrain.size={arguments.size}",
                        f"pretrain.batch_sequences={arguments.batch}",
                        f"pretrain.steps={arguments.steps}",
                        # another artifact each time, of equal cost
                        f"pretrain.seed={2 * round_number + (workers > 1)}",
                        "pretrain.held_out_sequences=1",
                        f"scale.workers={workers}",
                        "finetune=null",
                    ],
                )
                made = stages.run_until("pretrain", chosen, chosen.context(executor))
                measured.append(made["pretrain"].observed["tokens_per_second"])
    for workers, values in rates.items():
        print(
            f"{workers} workers: {statistics.median(values):,.0f} real tokens/s "
            f"({min(values):,.0f} to {max(values):,.0f})"
        )
    ratios = [many / one for one, many in zip(*rates.values(), strict=True)]
    print(
        f"ratio {statistics.median(ratios):.2f} of pairs ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
