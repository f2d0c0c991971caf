"""The texts of a corpus that a tokenizer is trained on or measured on."""

from collections.abc import Iterable, Iterator

from electra_pipeline.storage import shards
from electra_pipeline.storage.artifact import Artifact

PREFIXES = {"train": shards.TRAIN_PREFIX, "held_out": shards.HELD_OUT_PREFIX}
BATCH_CHARACTERS = 1_000_000  # their token objects take about 100 MB


def check_not_empty(corpus: Artifact) -> None:
    """Raise ValueError if a corpus has no training documents."""
    if not corpus.counters["documents"].get("train", 0):
        raise ValueError(
            f"{corpus.folder}: the corpus has no training documents; see its counters "
            "(manifest.json) for the reasons and correct corpus.sources or the filters"
        )


def sample_documents(corpus: Artifact, split: str, max_characters: int) -> Iterator[str]:
    """Yield about `max_characters` of text: evenly spaced whole documents, always the first."""
    fraction = min(1.0, max_characters / corpus.counters["characters"][split])
    due = taken = 0.0
    for batch in shards.read_documents(corpus, PREFIXES[split]):
        for text in batch.column("text").to_pylist():
            due += fraction * len(text)
            if taken < due:
                taken += len(text)
                yield text


def batches(texts: Iterable[str], characters: int = BATCH_CHARACTERS) -> Iterator[list[str]]:
    """Yield the texts in lists of about `characters` characters, to bound the memory of tokens."""
    batch: list[str] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text)
        if num_characters >= characters:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch
