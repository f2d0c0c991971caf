"""MB/s of the corpus stage on real text: one process beside Ray over the same partitions.

The text is that of the quick start, cut into the given number of partitions and repeated with a
different first line, so that nothing is dropped as a duplicate.

    python benchmarks/corpus.py --partitions 4 --rounds 3
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import orjson

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.core.execution import Executor, LocalExecutor, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.corpus import build as corpus_stage
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.on_ray import cluster
from electra_pipeline.storage.shards import read_documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        quickstart = configuration.load(
            preset="quickstart", root=f"{place}/text", overrides=["finetune=null"]
        )
        source = stages.run_until("corpus", quickstart, quickstart.context())["corpus"]
        texts = [t for batch in read_documents(source) for t in batch.column("text").to_pylist()]
        for partition in range(arguments.partitions):
            lines = (orjson.dumps({"text": f"Part {partition}.\n{text}"}) for text in texts)
            Path(place, f"{partition}.jsonl").write_bytes(b"\n".join(lines))
        num_bytes = sum(path.stat().st_size for path in Path(place).glob("*.jsonl"))
        config = CorpusConfig.model_validate(
            {"sources": [{"type": "files", "urls": [f"{place}/*.jsonl"]}], "language": "en"}
        )

        def seconds(executor: Executor, root: str) -> float:
            started = time.perf_counter()
            corpus_stage.build(config, StageContext(root, "b", executor, silent))
            return time.perf_counter() - started

        rates: dict[str, list[float]] = {"one process": [], "Ray": []}
        with cluster() as ray_executor:
            executors: dict[str, Executor] = {"one process": LocalExecutor(), "Ray": ray_executor}
            for round_number in range(arguments.rounds + 1):
                for name, executor in executors.items():
                    taken = seconds(executor, f"{place}/{name}-{round_number}")
                    if round_number > 0:  # the first round starts workers and imports
                        rates[name].append(num_bytes / 1e6 / taken)
    size = f"{num_bytes / 1e6:.1f} MB of English news in {arguments.partitions} partitions"
    print(f"corpus stage, {size}")
    for name, values in rates.items():
        print(
            f"{name:12} {statistics.median(values):6.2f} MB/s "
            f"(min {min(values):.2f}, max {max(values):.2f}, {len(values)} rounds)"
        )
    ratios = [b / a for a, b in zip(rates["one process"], rates["Ray"], strict=True)]
    print(f"ratio        {statistics.median(ratios):6.2f} Ray/one process, median of pairs")


if __name__ == "__main__":
    main()
