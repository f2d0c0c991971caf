"""MB/s of the corpus stage on real text: of one core, over Ray, and of one file as many small ones.

The text is that of the quick start, cut into the given number of partitions and repeated with a
different first line, so that nothing is dropped as a duplicate. A core's rate is by the processor
time of one process; the first run of a setting is not counted, as it imports and loads.

    python benchmarks/corpus.py --partitions 4 --rounds 3
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
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

Build = Callable[[str], None]


def builder(urls: str, filters: str = "none", executor: Executor | None = None) -> Build:
    """Return a function that builds the corpus of some files under a root."""
    source = {"type": "files", "urls": [urls]}
    config = CorpusConfig.model_validate(
        {"sources": [source], "language": "en", "filters": filters}
    )

    def build(root: str) -> None:
        context = StageContext(root, "b", executor or LocalExecutor(), silent)
        corpus_stage.build(config, context)

    return build


def print_rates(
    builds: dict[str, Build],
    num_megabytes: float,
    rounds: int,
    clock: Callable[[], float],
    root: Path,
) -> None:
    """Run the builds by turns and print MB/s of each, and the ratio of each to the first."""
    rates: dict[str, list[float]] = {name: [] for name in builds}
    for round_number in range(rounds + 1):
        for name, build in builds.items():
            started = clock()
            build(str(root))
            taken = clock() - started
            shutil.rmtree(root)
            if round_number > 0:
                rates[name].append(num_megabytes / taken)
    first = next(iter(rates.values()))
    for name, values in rates.items():
        ratio = statistics.median(b / a for a, b in zip(first, values, strict=True))
        print(
            f"  {name:24} {statistics.median(values):6.2f} MB/s "
            f"[{min(values):.2f}, {max(values):.2f}]  {ratio:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small-files", type=int, default=20_000, help="of 1,000 characters")
    parser.add_argument("--without-ray", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "built")
        quickstart = configuration.load(
            preset="quickstart", root=f"{place}/text", overrides=["finetune=null"]
        )
        source = stages.run_until("corpus", quickstart, quickstart.context())["corpus"]
        texts = [t for batch in read_documents(source) for t in batch.column("text").to_pylist()]
        for partition in range(arguments.partitions):
            lines = (orjson.dumps({"text": f"Part {partition}.\n{text}"}) for text in texts)
            Path(place, f"{partition}.jsonl").write_bytes(b"\n".join(lines))
        one = Path(place, "0.jsonl")
        print(f"one core, {one.stat().st_size / 1e6:.1f} MB of English news")
        builds = {f"filters: {name}": builder(str(one), name) for name in ("none", "web")}
        size = one.stat().st_size / 1e6
        print_rates(builds, size, arguments.rounds, time.process_time, root)

        small = Path(place, "small")
        small.mkdir()
        parts = [
            text[start : start + 1000] for text in texts for start in range(0, len(text), 1000)
        ]
        lines = [orjson.dumps({"text": part}) for part in parts[: arguments.small_files]]
        for number, line in enumerate(lines):
            (small / f"{number:06d}.jsonl").write_bytes(line)
        whole = Path(place, "whole.jsonl")
        whole.write_bytes(b"\n".join(lines))
        size = sum(map(len, lines)) / 1e6
        print(f"one core, {size:.1f} MB in {len(lines)} documents")
        builds = {
            "one file": builder(str(whole)),
            "a file for each": builder(f"{small}/*.jsonl"),
        }
        print_rates(builds, size, arguments.rounds, time.process_time, root)

        if arguments.without_ray:
            return
        size = sum(path.stat().st_size for path in Path(place).glob("[0-9]*.jsonl")) / 1e6
        print(f"all cores, {size:.1f} MB in {arguments.partitions} partitions, elapsed time")
        with cluster() as executor:
            urls = f"{place}/[0-9]*.jsonl"
            builds = {"one process": builder(urls), "Ray": builder(urls, executor=executor)}
            print_rates(builds, size, arguments.rounds, time.perf_counter, root)


if __name__ == "__main__":
    main()
