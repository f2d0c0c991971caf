"""Documents -> fixed-length id sequences in Arrow shards, one sequence shard per corpus shard."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from sentencex import segment
from tokenizers import Tokenizer

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.execution import Executor
from electra_pipeline.identity import Config
from electra_pipeline.pretraining.segments import Pair, build_pairs
from electra_pipeline.progress import Progress, Update
from electra_pipeline.shards import (
    HELD_OUT_PREFIX,
    TRAIN_PREFIX,
    open_shard,
    write_shard,
)

logger = logging.getLogger(__name__)

STAGE = "sequences"
FORMAT_VERSION = 1
ROWS_PER_BATCH = 8192  # 2 MiB of ids at length 128; all batches but a shard's last are equal


class SequencesConfig(Config):
    """How documents become sequences."""

    length: int = Field(default=128, ge=8, le=65535)
    """Tokens in a sequence, with [CLS], [SEP] and padding (paper table 6: small 128, base 512)."""
    layout: Literal["google"] = "google"
    """google: the published A/B segment pairs, padded."""
    split: Literal["sentences", "lines"] = "sentences"
    """What a segment is made of: sentences, or the document's lines as the published code reads."""
    seed: int = Field(default=0, ge=0)
    """Seed of the builder's coins; each document draws its own from it."""


@dataclass(frozen=True)
class ShardJob:
    """One corpus shard to turn into one sequence shard."""

    config: SequencesConfig
    corpus: Artifact
    tokenizer: Artifact
    draft: Draft
    shard: str

    @property
    def record(self) -> str:
        """Name of the completion record that lets an interrupted stage skip this shard."""
        return f"{self.shard}.json"


@dataclass(frozen=True)
class Vocabulary:
    """What the builder needs to know of a tokenizer."""

    tokenizer: Tokenizer

    @cached_property
    def size(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def pieces(self) -> dict[str, int]:
        """The id of each piece."""
        return dict(self.tokenizer.get_vocab())

    def id_of(self, piece: str) -> int:
        identifier = self.tokenizer.token_to_id(piece)
        if identifier is None:
            raise ValueError(
                f"the tokenizer has no {piece} piece; train it with `electra-pipeline tokenizer`"
            )
        return int(identifier)

    @property
    def id_type(self) -> pa.DataType:
        return pa.uint16() if self.size <= 2**16 else pa.uint32()


def load_vocabulary(tokenizer: Artifact) -> Vocabulary:
    """The fast tokenizer of an artifact, which reads a literal "[MASK]" in a text as text."""
    loaded = Tokenizer.from_file(str(tokenizer.local_file("tokenizer/tokenizer.json")))
    loaded.encode_special_tokens = True
    return Vocabulary(loaded)


def sequence_schema(length: int, id_type: pa.DataType) -> pa.Schema:
    """Columns of a sequence shard; masks and type ids are derived from them, never stored."""
    return pa.schema(
        [
            pa.field(
                "input_ids",
                pa.list_(pa.field("item", id_type, nullable=False), length),
                nullable=False,
            ),
            pa.field("length", pa.uint16(), nullable=False),  # tokens that are not padding
            pa.field("segment_b", pa.uint16(), nullable=False),  # start of B; = length if none
        ]
    )


def _sentences(text: str, language: str | None, split: str) -> list[str]:
    lines = [line for line in text.split("\n") if line.strip()]
    if split == "lines":
        return lines
    # sentencex falls back along its own table for a language it has no rules for
    return [
        sentence
        for line in lines
        for sentence in segment(language or "en", line)
        if sentence.strip()
    ]


def _document_pairs(
    batch: pa.RecordBatch, config: SequencesConfig, vocabulary: Vocabulary
) -> Iterator[Pair]:
    identifiers = batch.column("id").to_pylist()
    languages = batch.column("language").to_pylist()
    texts = batch.column("text").to_pylist()
    for identifier, language, text in zip(identifiers, languages, texts, strict=True):
        sentences = _sentences(text, language, config.split)
        encodings = vocabulary.tokenizer.encode_batch_fast(sentences, add_special_tokens=False)
        random = Random(f"{config.seed}:{identifier}")
        yield from build_pairs((e.ids for e in encodings), config.length, random)


def _to_batch(pairs: Sequence[Pair], vocabulary: Vocabulary, length: int) -> pa.RecordBatch:
    pad, cls, sep = (vocabulary.id_of(piece) for piece in ("[PAD]", "[CLS]", "[SEP]"))
    dtype = vocabulary.id_type.to_pandas_dtype()
    ids = np.full((len(pairs), length), pad, dtype=dtype)
    lengths = np.empty(len(pairs), dtype=np.uint16)
    segment_b = np.empty(len(pairs), dtype=np.uint16)
    for row, pair in enumerate(pairs):
        tokens = [cls, *pair.first, sep]
        segment_b[row] = len(tokens)
        if pair.second:
            tokens += [*pair.second, sep]
        ids[row, : len(tokens)] = tokens
        lengths[row] = len(tokens)
    schema = sequence_schema(length, vocabulary.id_type)
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(ids.reshape(-1)), type=schema.field("input_ids").type
    )
    return pa.record_batch([column, pa.array(lengths), pa.array(segment_b)], schema=schema)


def build_shard(job: ShardJob) -> None:
    """Write one sequence shard and its completion record; do nothing if both are there."""
    if job.draft.work.exists(job.record):
        return
    vocabulary = load_vocabulary(job.tokenizer)
    reader = open_shard(job.corpus.local_file(job.shard))
    counts: Counter[str] = Counter()

    def batches() -> Iterator[pa.RecordBatch]:
        pending: list[Pair] = []
        for index in range(reader.num_record_batches):
            for pair in _document_pairs(reader.get_batch(index), job.config, vocabulary):
                pending.append(pair)
                counts["sequences"] += 1
                counts["tokens"] += pair.length
                counts["tokens_discarded"] += pair.num_discarded
                counts["single_segment"] += not pair.second
                counts["reordered"] += pair.reordered
                if len(pending) == ROWS_PER_BATCH:
                    yield _to_batch(pending, vocabulary, job.config.length)
                    pending.clear()
        if pending:
            yield _to_batch(pending, vocabulary, job.config.length)

    with job.draft.create(job.shard) as file:
        write_shard(file, sequence_schema(job.config.length, vocabulary.id_type), batches())
    job.draft.work.write_json(job.record, dict(counts))


def build(
    config: SequencesConfig,
    corpus: Artifact,
    tokenizer: Artifact,
    *,
    root: str,
    name: str,
    executor: Executor,
    progress: Progress,
) -> Artifact:
    """Sequence shards of a corpus under a tokenizer, byte-equal for any number of workers.

    Raises ValueError if the corpus has no text to train on.
    """

    def write(draft: Draft) -> Written:
        shards = corpus.file_names(TRAIN_PREFIX) + corpus.file_names(HELD_OUT_PREFIX)
        jobs = [ShardJob(config, corpus, tokenizer, draft, shard) for shard in shards]
        for num_done, outcome in enumerate(executor.map(build_shard, jobs), start=1):
            if outcome.error is not None:
                raise outcome.error
            progress(Update(STAGE, num_done, len(jobs), "shards"))
        records = {job.shard: job.draft.work.read_json(job.record) for job in jobs}
        return Written(_counters(records, config.length), {})

    return produce(
        root=root,
        stage=STAGE,
        name=name,
        format_version=FORMAT_VERSION,
        config=config,
        inputs={"corpus": corpus.fingerprint, "tokenizer": tokenizer.fingerprint},
        write=write,
    )


def _counters(records: Mapping[str, Mapping[str, int]], length: int) -> dict[str, Any]:
    counters: dict[str, Any] = {}
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        total: Counter[str] = Counter()
        for shard, counts in records.items():
            if shard.startswith(prefix):
                total.update(counts)
        num_slots = total["sequences"] * length
        counters[split] = {
            **{key: total[key] for key in ("sequences", "tokens", "tokens_discarded")},
            "single_segment": total["single_segment"],
            "reordered": total["reordered"],
            "padding_fraction": round(1 - total["tokens"] / num_slots, 4) if num_slots else 0.0,
        }
    if not counters["train"]["sequences"]:
        raise ValueError(
            "the corpus gives no training sequence; add text under corpus.sources or relax the "
            "cleaning rules"
        )
    return counters


class SequenceReader:
    """The rows of a sequences artifact, memory-mapped; row i is the same whatever reads it."""

    def __init__(self, sequences: Artifact, prefix: str = TRAIN_PREFIX) -> None:
        self.length = int(sequences.config["length"])
        self._ids: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._segment_b: list[np.ndarray] = []
        for name in sequences.file_names(prefix):
            reader = open_shard(sequences.local_file(name))
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                flat = batch.column("input_ids").flatten().to_numpy(zero_copy_only=True)
                self._ids.append(flat.reshape(-1, self.length))
                self._lengths.append(batch.column("length").to_numpy())
                self._segment_b.append(batch.column("segment_b").to_numpy())
        self._starts = np.cumsum([0, *(len(rows) for rows in self._ids)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def lengths(self) -> np.ndarray:
        """Tokens that are not padding in every row, (rows,) int64."""
        return np.concatenate(self._lengths).astype(np.int64)

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copies of the named rows: ids (n, length), lengths (n,), start of B (n,), all int64."""
        ids = np.empty((len(indices), self.length), dtype=np.int64)
        lengths = np.empty(len(indices), dtype=np.int64)
        segment_b = np.empty(len(indices), dtype=np.int64)
        chunks = np.searchsorted(self._starts, indices, side="right") - 1
        for chunk in np.unique(chunks):
            here = chunks == chunk
            local = indices[here] - self._starts[chunk]
            ids[here] = self._ids[chunk][local]
            lengths[here] = self._lengths[chunk][local]
            segment_b[here] = self._segment_b[chunk][local]
        return ids, lengths, segment_b
