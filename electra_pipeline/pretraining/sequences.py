"""Documents -> fixed-length id sequences in Arrow shards, one sequence shard per corpus shard."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from tokenizers import Tokenizer

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import Config
from electra_pipeline.core.progress import Progress, Update, silent, throttled
from electra_pipeline.pretraining.encoding import Encoder, Split, split_text
from electra_pipeline.pretraining.rows import COUNTED, ROWS, Document, Layout, Row
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.shards import (
    HELD_OUT_PREFIX,
    TRAIN_PREFIX,
    UNKNOWN_LANGUAGE,
    open_shard,
    write_shard,
)
from electra_pipeline.text.lost_text import warn_of_lost_text
from electra_pipeline.text.words import count_characters

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
STAGE = "sequences"
FORMAT_VERSION = 2  # 2: sentences of scripts without spaces are cut; losses in characters
# Characters are those of the text but white space: all, those of unknown words, and those of known
# words that the layout has no room for.
ALWAYS_COUNTED = (
    "sequences",
    "tokens",
    "tokens_discarded",
    "characters",
    "characters_unknown",
    "characters_discarded",
    "reordered",
)
UPDATE_SECONDS = 1.0  # between two updates of a shard
ROWS_PER_BATCH = 8192  # 2 MiB of ids at length 128; all batches but a shard's last are equal


class SequencesConfig(Config):
    """How documents become sequences."""

    length: int = Field(default=128, ge=8, le=65535)
    """Tokens in a sequence, with [CLS], [SEP] and padding (paper table 6: small 128, base 512)."""
    layout: Layout = "google"
    """google: the published A/B segment pairs, padded, what is too long discarded. packed: all of
    the text, in pieces of one document each that fill a row together and do not see each other."""
    split: Split = "sentences"
    """What a document is cut between if possible: sentences, or its lines as the published code
    reads."""
    seed: int = Field(default=0, ge=0)
    """Seed of the google builder's coins; each document draws its own from it."""


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

    @cached_property
    def widths(self) -> np.ndarray:
        """(size,) int64: the characters of text in each piece; 0 for special tokens and [UNK]."""
        widths = np.zeros(self.size, dtype=np.int64)
        for piece, identifier in self.pieces.items():
            if piece not in SPECIAL_TOKENS:
                widths[identifier] = len(piece.removeprefix("##"))
        return widths

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


@dataclass
class TextTokens:
    """Tokens of the text itself: before a layout adds special ones or discards any."""

    by_source: Counter[str] = field(default_factory=Counter)
    by_language: Counter[str] = field(default_factory=Counter)

    def counted(
        self, sentences: Iterable[list[int]], source: str, language: str | None
    ) -> Iterator[list[int]]:
        """The sentences of a document as they come."""
        for sentence in sentences:
            self.by_source[source] += len(sentence)
            self.by_language[language or UNKNOWN_LANGUAGE] += len(sentence)
            yield sentence

    def update(self, record: Mapping[str, Mapping[str, int]]) -> None:
        """Add those of another shard, from its completion record."""
        self.by_source.update(record["tokens_by_source"])
        self.by_language.update(record["tokens_by_language"])

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """As records and manifests have them."""
        return {
            "tokens_by_source": dict(self.by_source),
            "tokens_by_language": dict(self.by_language),
        }


def _documents(
    shard: Path,
    config: SequencesConfig,
    tokenizer: Tokenizer,
    tokens: TextTokens,
    counts: Counter[str],
    tell: Callable[[float], None],
) -> Iterator[Document]:
    reader = open_shard(shard)
    encoder = Encoder(tokenizer)
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        columns = (batch.column(name).to_pylist() for name in ("id", "source", "language", "text"))
        for row, (identifier, source, language, text) in enumerate(zip(*columns, strict=True)):
            tell((index + row / batch.num_rows) / reader.num_record_batches)
            counts["characters"] += count_characters(text)
            sentences = encoder.encode(split_text(text, language, config.split))
            sentences = tokens.counted(sentences, source, language)
            yield Document(sentences, f"{config.seed}:{identifier}")
    counts["characters_unknown"] += encoder.num_unknown


def _batches(
    rows: Iterator[Row], vocabulary: Vocabulary, length: int, counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    schema = sequence_schema(length, vocabulary.id_type)
    pad, dtype = vocabulary.id_of("[PAD]"), vocabulary.id_type.to_pandas_dtype()
    for first in rows:
        ids = np.full((ROWS_PER_BATCH, length), pad, dtype=dtype)
        places = np.empty((ROWS_PER_BATCH, 2), dtype=np.uint16)  # length, segment_b
        num_rows = 0
        discarded: list[int] = []
        for row in chain((first,), islice(rows, ROWS_PER_BATCH - 1)):
            ids[num_rows, : len(row.ids)] = row.ids
            places[num_rows] = len(row.ids), row.segment_b
            discarded += row.discarded
            num_rows += 1
        counts["characters_discarded"] += int(
            vocabulary.widths[np.array(discarded, np.int64)].sum()
        )
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(ids[:num_rows].reshape(-1)), type=schema.field("input_ids").type
        )
        lengths, segment_b = (pa.array(np.ascontiguousarray(p)) for p in places[:num_rows].T)
        counts["sequences"] += num_rows
        counts["tokens"] += int(places[:num_rows, 0].sum(dtype=np.int64))
        yield pa.record_batch([column, lengths, segment_b], schema=schema)


def build_shard(job: ShardJob, progress: Progress = silent) -> None:
    """Write one sequence shard and its completion record; do nothing if both are there.

    `progress` gets the share that is done, with the shard's name as the item.
    """
    if job.draft.work.exists(job.record):
        return
    config, vocabulary = job.config, load_vocabulary(job.tokenizer)
    schema = sequence_schema(config.length, vocabulary.id_type)
    counts: Counter[str] = Counter()
    tokens = TextTokens()
    corpus_shard = job.corpus.local_file(job.shard)
    hear = throttled(progress, UPDATE_SECONDS)

    def tell(share: float) -> None:
        hear(Update(STAGE, share, 1, "shards", item=job.shard))

    documents = _documents(corpus_shard, config, vocabulary.tokenizer, tokens, counts, tell)
    cls, sep = vocabulary.id_of("[CLS]"), vocabulary.id_of("[SEP]")
    rows = ROWS[config.layout](documents, config.length, cls, sep, counts)
    with job.draft.create(job.shard) as file:
        write_shard(file, schema, _batches(rows, vocabulary, config.length, counts))
    job.draft.work.write_json(job.record, {"counts": dict(counts), **tokens.counters})


def build(
    config: SequencesConfig,
    corpus: Artifact,
    tokenizer: Artifact,
    context: StageContext,
) -> Artifact:
    """Sequence shards of a corpus under a tokenizer, byte-equal for any number of workers.

    Raises ValueError if the corpus has no text to train on.
    """

    def write(draft: Draft) -> Written:
        shards = corpus.file_names(TRAIN_PREFIX) + corpus.file_names(HELD_OUT_PREFIX)
        jobs = [ShardJob(config, corpus, tokenizer, draft, shard) for shard in shards]
        done: dict[str, float] = {}  # by shard, the share of it

        def hear(update: Update) -> None:
            done[update.item] = update.done
            context.progress(Update(STAGE, sum(done.values()), len(jobs), "shards"))

        for outcome in context.executor.map(build_shard, jobs, progress=hear):
            if outcome.error is not None:
                raise outcome.error
            hear(Update(STAGE, 1, 1, "shards", item=jobs[outcome.index].shard))
        records = {job.shard: job.draft.work.read_json(job.record) for job in jobs}
        counters = _counters(records, config)
        _warn_of_losses(counters["train"])
        return Written(counters, {})

    return produce(
        root=context.root,
        stage=STAGE,
        name=context.name,
        format_version=FORMAT_VERSION,
        config=config,
        inputs={"corpus": corpus.fingerprint, "tokenizer": tokenizer.fingerprint},
        write=write,
    )


def _counters(
    records: Mapping[str, Mapping[str, Mapping[str, int]]], config: SequencesConfig
) -> dict[str, dict[str, Any]]:
    names = (*ALWAYS_COUNTED, *COUNTED[config.layout])
    counters: dict[str, dict[str, Any]] = {}
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        total: Counter[str] = Counter()
        tokens = TextTokens()
        for shard, record in records.items():
            if shard.startswith(prefix):
                total.update(record["counts"])
                tokens.update(record)
        num_slots = total["sequences"] * config.length
        padding = round(1 - total["tokens"] / num_slots, 4) if num_slots else 0.0
        counted = {name: total[name] for name in names}
        counters[split] = {**counted, "padding_fraction": padding, **tokens.counters}
    if not counters["train"]["sequences"]:
        raise ValueError(
            "the corpus gives no training sequence; add text under corpus.sources or relax the "
            "cleaning rules"
        )
    return counters


def _warn_of_losses(counters: Mapping[str, Any]) -> None:
    for what, lost, remedy in (
        ("[UNK]", "characters_unknown", "train the tokenizer on this text (see its counters)"),
        (
            "discarded by the layout",
            "characters_discarded",
            "sequences.layout=packed discards nothing, a greater sequences.length less",
        ),
    ):
        warn_of_lost_text(STAGE, what, counters[lost], counters["characters"], remedy)


class SequenceReader:
    """The rows of a sequences artifact, memory-mapped; row i is the same whatever reads it."""

    def __init__(self, sequences: Artifact, prefix: str = TRAIN_PREFIX) -> None:
        self.length = int(sequences.config["length"])
        self.is_packed = sequences.config["layout"] == "packed"
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
