"""Select random documents of a corpus for reading, kept and dropped."""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from electra_pipeline.corpus.dropped import DROPPED
from electra_pipeline.corpus.progress import STAGE
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import TRAIN_PREFIX, open_shard

KEPT = "kept"


@dataclass(frozen=True)
class ShownDocument:
    """A document to show."""

    reason: str
    """Why it was dropped, or `kept`."""
    value: str
    """The measured value that broke the rule; of a kept document, its language."""
    source: str
    url: str | None
    text: str


def inspect(
    corpus: Artifact, *, reason: str | None, source: str | None, number: int, seed: int
) -> list[ShownDocument]:
    """Return `number` random kept documents of a corpus, and as many for each reason of dropping.

    `reason` (one of these or `kept`) and `source` restrict the choice. Raises ValueError for an
    artifact of another stage, and for a reason or source that the corpus does not have.
    """
    if corpus.stage != STAGE:
        raise ValueError(f"{corpus.folder} is a {corpus.stage} artifact; give a corpus")
    sources = corpus.counters["sources"]
    if source is not None and source not in sources:
        raise ValueError(f"{corpus.folder} has no source {source!r}; it has {', '.join(sources)}")
    choice = random.Random(seed)
    by_reason: dict[str, list[ShownDocument]] = {KEPT: []}
    for row in pq.ParquetFile(corpus.local_file(DROPPED)).read().to_pylist():
        by_reason.setdefault(row["reason"], []).append(ShownDocument(**row))
    if reason is not None and reason not in by_reason:
        raise ValueError(
            f"{corpus.folder}: nothing was dropped as {reason!r}; choose {', '.join(by_reason)}"
        )
    shown: list[ShownDocument] = []
    for each, dropped in by_reason.items():
        if reason not in (None, each):
            continue
        if each == KEPT:
            shown += _kept(corpus, source, number, choice)
        else:
            matching = [one for one in dropped if source in (None, one.source)]
            shown += choice.sample(matching, min(number, len(matching)))
    return shown


def _kept(
    corpus: Artifact, source: str | None, number: int, choice: random.Random
) -> Iterator[ShownDocument]:
    """Yield random training documents, one of each record batch in turn."""
    batches = [
        (reader, index)
        for reader in map(open_shard, map(corpus.local_file, corpus.file_names(TRAIN_PREFIX)))
        for index in range(reader.num_record_batches)
    ]
    choice.shuffle(batches)
    unused: dict[int, list[int]] = {}  # the chosen rows of each batch that are not shown yet
    queue = deque(enumerate(batches))
    while queue and number > 0:
        key, (reader, index) = queue.popleft()
        batch = reader.get_batch(index)
        if key not in unused:
            labels = batch["source"].to_pylist()
            rows = [row for row, label in enumerate(labels) if source in (None, label)]
            unused[key] = choice.sample(rows, min(number, len(rows)))
        if not unused[key]:
            continue
        (row,) = batch.slice(unused[key].pop(), 1).to_pylist()
        yield ShownDocument(KEPT, row["language"] or "", row["source"], row["url"], row["text"])
        number -= 1
        queue.append((key, (reader, index)))
