"""The sequences stage: documents -> rows of ids, one sequence shard for each corpus shard."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.progress import Progress, Update, silent, throttled
from electra_pipeline.pretraining.config import SequencesConfig
from electra_pipeline.pretraining.rows import COUNTED, ROWS, Document
from electra_pipeline.pretraining.sequence_shards import record_batches, sequence_schema
from electra_pipeline.pretraining.text_encoding import SentenceEncoder, split_text
from electra_pipeline.pretraining.vocabulary import load_vocabulary
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

STAGE = "sequences"
FORMAT_VERSION = 2  # 2: sentences of scripts without spaces are cut; losses in characters
# Characters are those of the text without white space: all of them, those of unknown words, and
# those of other words that the layout discards.
ALWAYS_COUNTED = (
    "sequences",
    "tokens",
    "tokens_discarded",
    "characters",
    "characters_unknown",
    "characters_discarded",
    "reordered",
)
UPDATE_SECONDS = 1.0  # between two progress updates of a shard


TokenCounts = dict[str, Counter[str]]


def _token_counts() -> TokenCounts:
    """Return empty counts of the text's tokens: no special tokens, none discarded by the layout."""
    return {"tokens_by_source": Counter(), "tokens_by_language": Counter()}


def build(
    config: SequencesConfig, corpus: Artifact, tokenizer: Artifact, context: StageContext
) -> Artifact:
    """Return the sequences artifact of a corpus, byte-equal for any number of workers.

    Raises ValueError if the corpus has no text to train on.
    """

    def write(draft: Draft) -> Written:
        shards = corpus.file_names(TRAIN_PREFIX) + corpus.file_names(HELD_OUT_PREFIX)
        convert = partial(build_shard, config, corpus, tokenizer, draft)
        done: dict[str, float] = {}  # fraction of each shard

        def report(update: Update) -> None:
            done[update.item] = update.done
            context.progress(Update(STAGE, sum(done.values()), len(shards), "shards"))

        for outcome in context.executor.map(convert, shards, progress=report):
            if outcome.error is not None:
                raise outcome.error
            report(Update(STAGE, 1, 1, "shards", item=shards[outcome.index]))
        records = {shard: draft.work.read_json(f"{shard}.json") for shard in shards}
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


def build_shard(
    config: SequencesConfig,
    corpus: Artifact,
    tokenizer: Artifact,
    draft: Draft,
    shard: str,
    progress: Progress = silent,
) -> None:
    """Convert one corpus shard to one sequence shard.

    It is skipped if its completion record exists, which is written last. `progress` receives the
    fraction that is done, with the shard's name as the item.
    """
    record = f"{shard}.json"
    if draft.work.exists(record):
        return
    vocabulary = load_vocabulary(tokenizer)
    schema = sequence_schema(config.length, vocabulary.id_type)
    counts: Counter[str] = Counter()
    tokens = _token_counts()
    corpus_shard = corpus.local_file(shard)
    update_seldom = throttled(progress, UPDATE_SECONDS)

    def report(fraction: float) -> None:
        update_seldom(Update(STAGE, fraction, 1, "shards", item=shard))

    documents = _documents(corpus_shard, config, vocabulary.tokenizer, tokens, counts, report)
    cls, sep = vocabulary.id_of("[CLS]"), vocabulary.id_of("[SEP]")
    rows = ROWS[config.layout](documents, config.length, cls, sep, counts)
    with draft.create(shard) as file:
        write_shard(file, schema, record_batches(rows, vocabulary, config.length, counts))
    draft.work.write_json(record, {"counts": counts, **tokens})


def _documents(
    shard: Path,
    config: SequencesConfig,
    tokenizer: Tokenizer,
    tokens: TokenCounts,
    counts: Counter[str],
    report: Callable[[float], None],
) -> Iterator[Document]:
    """Yield the documents of a corpus shard as token ids; count their characters."""
    reader = open_shard(shard)
    encoder = SentenceEncoder(tokenizer)
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        columns = (batch.column(name).to_pylist() for name in ("id", "source", "language", "text"))
        for row, (identifier, source, language, text) in enumerate(zip(*columns, strict=True)):
            report((index + row / batch.num_rows) / reader.num_record_batches)
            counts["characters"] += count_characters(text)
            sentences = encoder.encode(split_text(text, language, config.split))
            keys = {"tokens_by_source": source, "tokens_by_language": language or UNKNOWN_LANGUAGE}
            yield Document(_counted(sentences, tokens, keys), f"{config.seed}:{identifier}")
    counts["characters_unknown"] += encoder.num_unknown


def _counted(
    sentences: Iterable[list[int]], tokens: TokenCounts, keys: Mapping[str, str]
) -> Iterator[list[int]]:
    """Yield the sentences of a document and count their tokens, each count under its key."""
    for sentence in sentences:
        for name, key in keys.items():
            tokens[name][key] += len(sentence)
        yield sentence


def _counters(
    records: Mapping[str, Mapping[str, Mapping[str, int]]], config: SequencesConfig
) -> dict[str, dict[str, Any]]:
    """Sum the completion records of all shards by split."""
    names = (*ALWAYS_COUNTED, *COUNTED[config.layout])
    counters: dict[str, dict[str, Any]] = {}
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        total: Counter[str] = Counter()
        tokens = _token_counts()
        for shard, record in records.items():
            if shard.startswith(prefix):
                total.update(record["counts"])
                for name, counter in tokens.items():
                    counter.update(record[name])
        num_slots = total["sequences"] * config.length
        padding = round(1 - total["tokens"] / num_slots, 4) if num_slots else 0.0
        counted = {name: total[name] for name in names}
        counters[split] = {**counted, "padding_fraction": padding, **tokens}
    if not counters["train"]["sequences"]:
        raise ValueError(
            "the corpus gives no training sequence; add text under corpus.sources or relax the "
            "filters"
        )
    return counters


def _warn_of_losses(counters: Mapping[str, Any]) -> None:
    for loss, counter, remedy in (
        ("[UNK]", "characters_unknown", "train the tokenizer on this text (see its counters)"),
        (
            "discarded by the layout",
            "characters_discarded",
            "sequences.layout=packed discards nothing, a greater sequences.length less",
        ),
    ):
        warn_of_lost_text(STAGE, loss, counters[counter], counters["characters"], remedy)
