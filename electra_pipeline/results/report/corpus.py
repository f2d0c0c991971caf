"""The corpus section of the report: sources, sizes, dropped documents by reason."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from electra_pipeline.storage.artifact import Artifact

DROPPED = "dropped.parquet"
SPLITS = ("train", "held_out")
SAMPLES_PER_REASON = 3
SAMPLE_CHARACTERS = 400
DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class CorpusSummary:
    """Values of the corpus section, from the manifests of corpus and sequences."""

    splits: Sequence[str]
    sizes: Mapping[str, Mapping[str, int]]
    """By unit, then by split; in tokens too if there are sequences."""
    sources: Mapping[str, Mapping[str, Any]]
    """By label, most kept documents first: the corpus's counters, `tokens` (None if unknown) and
    `digests`."""
    languages: Sequence[tuple[str, int, int | None, int | None]]
    """Code, documents, words, tokens; most documents first."""
    drops: Mapping[str, int]
    """Documents by reason, of all sources, most first."""
    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    """Some dropped documents by reason, in the order of `drops`."""
    lengths: Mapping[str, int]
    """Histogram of the documents by number of words."""
    clusters: Mapping[str, int]
    """Histogram of the clusters of near-duplicates by number of documents."""
    contaminated: Mapping[str, int]
    """Number of documents that contain an example, by task."""


def summarize_corpus(corpus: Artifact, sequences: Artifact | None) -> CorpusSummary:
    """Return the values of the section; those that an older format lacks are left out.

    Manifests sort their keys, so every order is made here.
    """
    counters = corpus.counters
    units = ("documents", "words", "characters", "bytes")
    tokens = {} if sequences is None else sequences.counters
    of_text = {
        split: sum(counts["tokens_by_source"].values())
        for split, counts in tokens.items()
        if "tokens_by_source" in counts
    }
    by_source, by_language = (
        _total(counts.get(f"tokens_by_{of}", {}) for counts in tokens.values())
        for of in ("source", "language")
    )
    digests = _digests(corpus)
    words = counters.get("words_by_language", {})
    samples = _samples(corpus)
    drops = _most_first(_total(each["dropped"] for each in counters["sources"].values()))
    sources = sorted(counters["sources"].items(), key=lambda item: -item[1]["kept"])
    return CorpusSummary(
        splits=[split for split in SPLITS if split in counters["documents"]],
        sizes={unit: counters[unit] for unit in units} | ({"tokens": of_text} if of_text else {}),
        sources={
            label: {**source, "tokens": by_source.get(label), "digests": digests.get(label, [])}
            for label, source in sources
        },
        languages=[
            (code, number, words.get(code), by_language.get(code))
            for code, number in _most_first(counters["languages"]).items()
        ],
        drops=drops,
        samples={reason: samples[reason] for reason in drops if reason in samples},
        lengths={
            f"{int(least):,} to {2 * int(least) - 1:,}": number
            for least, number in _bars(counters.get("documents_by_words", {})).items()
        },
        clusters=_bars(counters.get("near_duplicate_clusters", {})),
        contaminated=counters.get("contaminated_by_task", {}),
    )


def _total(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    """Return the sums by name."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _digests(corpus: Artifact) -> dict[str, list[str]]:
    """Return the digests of the inputs by label; inputs are named `label/number.kind`."""
    digests: dict[str, list[str]] = {}
    for role, digest in corpus.inputs.items():
        label, is_partition, _ = role.rpartition("/")
        short = digest[:DIGEST_CHARACTERS]
        if is_partition and short not in digests.setdefault(label, []):
            digests[label].append(short)
    return digests


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _samples(corpus: Artifact) -> dict[str, list[dict[str, Any]]]:
    """Return some distinct texts for each reason, each as one paragraph."""
    if DROPPED not in corpus.file_names():
        return {}
    samples: dict[str, list[dict[str, Any]]] = {}
    for row in pq.ParquetFile(corpus.local_file(DROPPED)).read().to_pylist():
        text = " ".join(row["text"].split())
        shown = samples.setdefault(row["reason"], [])
        short = text[:SAMPLE_CHARACTERS] + ("…" if len(text) > SAMPLE_CHARACTERS else "")
        if text and len(shown) < SAMPLES_PER_REASON and short not in {s["text"] for s in shown}:
            shown.append({**row, "text": short})
    return {reason: shown for reason, shown in samples.items() if shown}


def _bars(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the non-empty bars of a histogram in numerical order."""
    return {key: counts[key] for key in sorted(counts, key=int) if counts[key]}
