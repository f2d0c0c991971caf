"""The corpus stage: from sources to shards of clean, distinct documents.

Partitions are read and cleaned in parallel. The steps that need the whole corpus follow in the
order of the partitions, so that shards are byte-equal for any number of workers and after any
interruption.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.corpus.card import CARD, render
from electra_pipeline.corpus.counters import all_dropped, count
from electra_pipeline.corpus.dedup.boilerplate import strip_all
from electra_pipeline.corpus.dedup.decontamination import Decontamination, count_tasks, make_index
from electra_pipeline.corpus.dedup.features import (
    FeatureSpec,
    contaminated,
    find_near_duplicates,
    write_all_features,
)
from electra_pipeline.corpus.dedup.minhash import SIGNATURE_VERSION, NearDuplicates
from electra_pipeline.corpus.dedup.repeated_lines import RepeatedLines
from electra_pipeline.corpus.dropped import (
    DROPPED,
    DROPPED_SCHEMA,
    Value,
    samples_of_partitions,
    samples_of_whole,
)
from electra_pipeline.corpus.merge import (
    Mask,
    Overview,
    copied,
    first_occurrences,
    held_out,
    num_copies,
    read_overview,
    write_shards,
)
from electra_pipeline.corpus.partitions import PartitionTask, Rules, partition_folder
from electra_pipeline.corpus.processing import STAGE, process_partitions, watching
from electra_pipeline.corpus.sources.config import Source, identity
from electra_pipeline.corpus.sources.readers import Partition, plan
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.shards import HELD_OUT_PREFIX, TRAIN_PREFIX

FORMAT_VERSION = 4  # 4: words and sentence ends of all scripts shape texts and counters


class CorpusConfig(Rules):
    """A corpus: where its documents come from, which are kept, which are held out."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where documents come from; of equal documents the first in this order stays."""
    held_out_fraction: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Share of the documents, chosen by content hash, that is never trained on."""
    repeated_lines: RepeatedLines | None = None
    """Take out lines that many documents have; null keeps them."""
    near_duplicates: NearDuplicates | None = None
    """Of documents that are nearly the same keep one; null drops only those that are equal."""
    decontaminate: Decontamination | None = None
    """Drop documents that hold examples of evaluation data; null keeps them."""
    shard_megabytes: int = Field(default=256, ge=1)
    """Size at which a shard is closed, in MB."""


def build(
    config: CorpusConfig,
    context: StageContext,
    *,
    examples: Mapping[str, Iterable[str]] | None = None,
) -> Artifact:
    """The corpus artifact of `config`, written below the root of `context` if it is not there.

    `examples` are texts of evaluation data by task, which `config.decontaminate` adds its files to.

    Raises ValueError, before any work, for a source that is missing or has a wrong digest or
    column; later, for a file that turns out cut or broken, and if no document is left.
    """
    partitions = plan(config.sources, watching(context.progress, "looking up"))
    index = None
    if config.decontaminate is not None:
        index = make_index(config.decontaminate, examples or {})
    spec = FeatureSpec(config.near_duplicates, index, "" if index is None else index.digest)
    stage = _Stage(config, partitions, spec, context)
    return produce(
        root=context.root,
        stage=STAGE,
        name=context.name,
        format_version=FORMAT_VERSION,
        config=_identity(config),
        inputs={
            f"{partition.label}/{number:05d}{partition.kind}": partition.digest
            for number, partition in enumerate(partitions)
        }
        | ({"evaluation": index.digest} if index is not None else {}),
        write=stage.write,
    )


def _identity(config: CorpusConfig) -> dict[str, Any]:
    shaping = config.model_dump(mode="json", exclude={"decontaminate": {"files"}})
    shaping |= _rules(config).identity
    shaping["sources"] = [identity(source) for source in config.sources]
    if config.near_duplicates is not None:
        shaping["signatures"] = SIGNATURE_VERSION
    return shaping


def _rules(config: CorpusConfig) -> Rules:
    return Rules(**{name: getattr(config, name) for name in Rules.model_fields})


@dataclass(frozen=True)
class _Stage:
    """All that writing a corpus takes."""

    config: CorpusConfig
    partitions: Sequence[Partition]
    spec: FeatureSpec
    context: StageContext

    def write(self, draft: Draft) -> Written:
        config, partitions = self.config, self.partitions
        rules = _rules(config)
        tasks = [
            PartitionTask(each, rules, partition_folder(self.context.root, each, rules))
            for each in partitions
        ]
        records = process_partitions(tasks, self.context.executor, self.context.progress)
        num_reused = sum(1 for record in records if record["reused"])
        folders = [task.folder for task in tasks]
        if config.repeated_lines is not None:
            self._say("removing boilerplate")
            folders, records = strip_all(
                config.repeated_lines,
                config.min_characters,
                config.samples_per_reason,
                folders,
                records,
                draft.work,
                self.context.executor,
            )
        self._say("merging")
        overview = read_overview(self._each(folders, "merging"))
        dropped, values, facts = self._judge(folders, records, overview)
        left = ~np.any([np.zeros(len(overview.keys), bool), *dropped.values()], axis=0)
        is_held_out = held_out(overview.keys, left, config.held_out_fraction)
        wanted = num_copies(overview, [partition.reading.weight for partition in partitions])
        dropped["weight"] = left & ~is_held_out & (wanted == 0)
        copies = {
            "train": np.where(left & ~is_held_out, wanted, 0),
            "held_out": is_held_out.astype(np.int64),
        }
        counters = count(partitions, records, overview, dropped, copies) | facts
        if not any(counters["documents"].values()):
            raise _nothing_left(counters)
        for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
            batches = self._counted(
                copied(folders, overview, copies[split]), int(copies[split].sum())
            )
            write_shards(draft, prefix, batches, config.shard_megabytes * 1_000_000)
        limit = config.samples_per_reason
        samples = samples_of_partitions(folders, limit)
        for reason, mask in dropped.items():
            value = values.get(reason, overview.id)
            samples += samples_of_whole(folders, overview, mask, reason, value, limit)
        with draft.create(DROPPED) as file:
            pq.write_table(pa.Table.from_pylist(samples, DROPPED_SCHEMA), file)
        card = render(self.context.name, counters, partitions, samples)
        draft.folder.write_bytes(CARD, card.encode())
        observed = {
            "pieces": [partition.name for partition in partitions],
            "piece_folders": sorted({task.folder.name for task in tasks}),
            "pieces_known": num_reused,
        }
        return Written(counters, observed)

    def _judge(
        self, folders: Sequence[Folder], records: Sequence[Mapping[str, Any]], overview: Overview
    ) -> tuple[dict[str, Mask], dict[str, Value], dict[str, Any]]:
        """What only the whole corpus can tell: whom it drops, by reason, and why each.

        A document has one reason, the first that is true. Also the counters that come with it.
        """
        is_first = first_occurrences(overview.keys)
        dropped: dict[str, Mask] = {"duplicate": ~is_first}
        values: dict[str, Value] = {}
        facts: dict[str, Any] = {}
        spec = self.spec
        if spec.near is None and spec.index is None:
            return dropped, values, facts
        self._say("comparing")
        write_all_features(spec, folders, self.context.executor)
        left = is_first
        if self.config.decontaminate is not None and spec.index is not None:
            tasks = contaminated(spec, folders, left, self.config.decontaminate.max_documents)
            dropped["contaminated"] = np.zeros_like(left)
            dropped["contaminated"][list(tasks)] = True
            values["contaminated"] = lambda number: ", ".join(tasks[number])
            facts["contaminated_by_task"] = count_tasks(spec.index, tasks)
            left = left & ~dropped["contaminated"]
        if spec.near is not None:
            digests = [record["sha256"] for record in records]
            labels, clusters = find_near_duplicates(spec, folders, digests, overview, left)
            dropped["near_duplicate"] = labels != np.arange(len(labels))
            values["near_duplicate"] = lambda number: overview.id(labels[number])
            facts["near_duplicate_clusters"] = {str(size): n for size, n in clusters.items()}
        return dropped, values, facts

    def _say(self, step: str) -> None:
        total = len(self.partitions)
        self.context.progress(Update(STAGE, total, total, "partitions", {"step": step}))

    def _each(self, folders: Sequence[Folder], step: str) -> Iterator[Folder]:
        """The folders one by one, as a sign of life."""
        watch = watching(self.context.progress, step, "partitions")
        for number, folder in enumerate(folders):
            watch(number, len(folders))
            yield folder

    def _counted(self, batches: Iterator[pa.RecordBatch], total: int) -> Iterator[pa.RecordBatch]:
        """The batches one by one, as a sign of life."""
        watch = watching(self.context.progress, "writing", "documents")
        num_written = 0
        for batch in batches:
            watch(num_written, total)
            yield batch
            num_written += batch.num_rows


def _nothing_left(counters: Mapping[str, Any]) -> ValueError:
    dropped = all_dropped(counters)
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.items())
    total = sum(dropped.values())
    found = f"all {total} documents were dropped: {reasons}" if reasons else "no document"
    return ValueError(
        f"the corpus is empty: in {', '.join(counters['sources']) or 'its sources'}, {found}; "
        "check the sources, corpus.language and corpus.min_characters"
    )
