"""Documents of a corpus to read: some that were kept, some that were dropped and why."""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from electra_pipeline.corpus.dropped import DROPPED
from electra_pipeline.corpus.processing import STAGE
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import TRAIN_PREFIX, open_shard

KEPT = "kept"


@dataclass(frozen=True)
class Shown:
    """A document as a person sees it."""

    reason: str
    """Why it was dropped, or `kept`."""
    value: str
    """What the rule measured; of a kept document, its language."""
    source: str
    url: str | None
    text: str


def inspect(
    corpus: Artifact, *, reason: str | None, source: str | None, number: int, seed: int
) -> list[Shown]:
    """Random documents of a corpus: `number` kept ones, and as many dropped for each reason.

    `reason` (`kept` is one) and `source` narrow that down. Raises ValueError for an artifact of
    another stage and for a reason or source that the corpus does not have.
    """
    if corpus.stage != STAGE:
        raise ValueError(f"{corpus.folder} is a {corpus.stage} artifact; give a corpus")
    sources = corpus.counters["sources"]
    if source is not None and source not in sources:
        raise ValueError(f"{corpus.folder} has no source {source!r}; it has {', '.join(sources)}")
    choice = random.Random(seed)
    by_reason: dict[str, list[Shown]] = {KEPT: []}
    for row in pq.read_table(corpus.local_file(DROPPED)).to_pylist():
        by_reason.setdefault(row["reason"], []).append(Shown(**row))
    if reason is not None and reason not in by_reason:
        raise ValueError(
            f"{corpus.folder}: nothing was dropped as {reason!r}; there is {', '.join(by_reason)}"
        )
    shown: list[Shown] = []
    for each, found in by_reason.items():
        if reason not in (None, each):
            continue
        if each == KEPT:
            shown += _kept(corpus, source, number, choice)
        else:
            fitting = [one for one in found if source in (None, one.source)]
            shown += choice.sample(fitting, min(number, len(fitting)))
    return shown


def _kept(
    corpus: Artifact, source: str | None, number: int, choice: random.Random
) -> Iterator[Shown]:
    """Random training documents, one of each record batch in turn until there are enough."""
    batches = [
        (reader, index)
        for reader in map(open_shard, map(corpus.local_file, corpus.file_names(TRAIN_PREFIX)))
        for index in range(reader.num_record_batches)
    ]
    choice.shuffle(batches)
    left: dict[int, list[int]] = {}  # of each batch, the rows that may still be shown
    places = deque(enumerate(batches))
    while places and number > 0:
        place, (reader, index) = places.popleft()
        batch = reader.get_batch(index)
        if place not in left:
            labels = batch["source"].to_pylist()
            rows = [row for row, label in enumerate(labels) if source in (None, label)]
            left[place] = choice.sample(rows, min(number, len(rows)))
        if not left[place]:
            continue
        (row,) = batch.slice(left[place].pop(), 1).to_pylist()
        yield Shown(KEPT, row["language"] or "", row["source"], row["url"], row["text"])
        number -= 1
        places.append((place, (reader, index)))
