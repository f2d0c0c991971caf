"""Peak memory of the corpus and sequences stages on some text and on ten times as much.

The documents are the column `text` of --input: the first --megabytes of them in one file, and ten
times as much in ten files. Each stage runs in a process of its own, whose peak resident memory is
printed beside that after its imports. Shards have 1 MB, so that their number grows with the input.

    python benchmarks/growth.py --input corpus/*.jsonl.zst --megabytes 4
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.corpus import build as corpus_stage
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.inputs.files import UrlFile, fetch
from electra_pipeline.pretraining import sequences as sequences_stage
from electra_pipeline.pretraining.config import SequencesConfig
from electra_pipeline.storage.artifact import Artifact, find_artifacts
from electra_pipeline.tokenizer import train
from electra_pipeline.tokenizer.config import TokenizerConfig

TIMES = 10
SHARD_MEGABYTES = 1
VOCAB_SIZE = 4096


def read(paths: list[str], num_bytes: int) -> list[str]:
    """Return the first texts, in total at least `num_bytes` of UTF-8."""
    texts: list[str] = []
    for path in paths:
        with fetch(UrlFile(url=path)).open() as file:
            for line in file:
                if num_bytes <= 0:
                    return texts
                texts.append(orjson.loads(line)["text"])
                num_bytes -= len(texts[-1].encode())
    raise SystemExit(
        f"the input ends {num_bytes / 1e6:.1f} MB too early; give more, or ask for less"
    )


def write_files(texts: list[str], place: Path, num_files: int) -> None:
    place.mkdir()
    for number in range(num_files):
        lines = (orjson.dumps({"text": text}) for text in texts[number::num_files])
        (place / f"{number}.jsonl").write_bytes(b"\n".join(lines))


def build_corpus(place: str) -> None:
    config = CorpusConfig.model_validate(
        {
            "sources": [{"type": "files", "urls": [f"{place}/texts/*.jsonl"]}],
            "language": "en",
            "filters": "web",
            "near_duplicates": {},
            "shard_megabytes": SHARD_MEGABYTES,
        }
    )
    corpus_stage.build(config, StageContext(place, "g", LocalExecutor(), silent))


def train_tokenizer(place: str) -> None:
    config = TokenizerConfig(vocab_size=VOCAB_SIZE)
    train.train(config, artifact(place, "corpus"), StageContext(place, "g"))


def build_sequences(place: str) -> None:
    sequences_stage.build(
        SequencesConfig(),
        artifact(place, "corpus"),
        artifact(place, "tokenizer"),
        StageContext(place, "g", LocalExecutor(), silent),
    )


def artifact(place: str, stage: str) -> Artifact:
    (found,) = find_artifacts(place, stage)
    return found


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in MiB.

    Not `ru_maxrss`, which starts at the value of the parent process.
    """
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def measure(stage: Callable[[str], None], place: str) -> tuple[float, float]:
    """Return the peak memory in MiB of this process before and after the stage."""
    before = peak_megabytes()
    stage(place)
    return before, peak_megabytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="+", required=True, help="JSON lines, compressed or not")
    parser.add_argument("--megabytes", type=float, default=4.0)
    arguments = parser.parse_args()
    texts = {
        times: read(arguments.input, int(times * arguments.megabytes * 1e6)) for times in (1, TIMES)
    }
    print("| stage | text | resident after imports | peak |\n|---|---|---|---|")
    for times in texts:
        with tempfile.TemporaryDirectory() as place:
            write_files(texts[times], Path(place, "texts"), times)
            for stage in (build_corpus, train_tokenizer, build_sequences):
                # a process's peak never falls, so each stage has one of its own
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    before, peak = pool.apply(measure, (stage, place))
                size = f"{times * arguments.megabytes:.0f} MB"
                print(
                    f"| {stage.__name__} | {size} | {before:.0f} MiB | {peak:.0f} MiB |", flush=True
                )


if __name__ == "__main__":
    main()
