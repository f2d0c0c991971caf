"""Small corpora for the tests of the stage, and executors that behave as clusters do."""

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from electra_pipeline.core.execution import LocalExecutor, Outcome, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.corpus.build import build
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import read_documents

ENGLISH = ("the", "of", "and", "to", "in", "is", "was", "that", "for", "it", "on", "as", "with")
SPANISH = ("el", "la", "de", "que", "y", "en", "los", "se", "del", "las", "un", "por", "con", "una")


class PoolExecutor(LocalExecutor):
    """Two worker processes; results come as they finish, never in order."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **resources: Any
    ) -> Iterator[Outcome[Any]]:
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            futures = {
                pool.submit(function, item): index
                for index, item in reversed(list(enumerate(items)))
            }
            for future in as_completed(futures):
                error = future.exception()
                assert error is None or isinstance(error, Exception)
                value = None if error else future.result()
                yield Outcome(futures[future], value, error)


class KilledError(BaseException):
    """Not an Exception: as a signal would end it."""


class DyingExecutor(LocalExecutor):
    """Dies after some items."""

    def __init__(self, after: int) -> None:
        self.after = after

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **resources: Any
    ) -> Iterator[Outcome[Any]]:
        for outcome in super().map(function, items):
            if self.after == 0:
                raise KilledError
            self.after -= 1
            yield outcome


def prose(words: Sequence[str], seed: int, number: int = 40) -> str:
    chosen = random.Random(seed).choices(words, k=number)
    return " ".join(chosen) + f" {seed}."


def write_jsonl(path: Path, texts: Sequence[str | None]) -> None:
    records = [{"text": text, "url": f"https://x/{path.name}/{n}"} for n, text in enumerate(texts)]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def config(folder: Path, **changes: Any) -> CorpusConfig:
    settings = {
        "sources": [{"type": "files", "urls": [f"{folder}/*"]}],
        "language": "en",
        "max_characters": 10_000,
        "held_out_fraction": 0.1,
    }
    return CorpusConfig.model_validate(settings | changes)


def run(config: CorpusConfig, root: Path | str, executor: Any = None) -> Artifact:
    executor = executor or LocalExecutor()
    return build(config, StageContext(str(root), "tiny", executor, silent))


def documents(artifact: Artifact, prefix: str = "shard-") -> list[dict[str, Any]]:
    batches = read_documents(artifact, prefix)
    return [row for batch in batches for row in batch.to_pylist()]
