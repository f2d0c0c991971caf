import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from electra_pipeline.core.execution import LocalExecutor, Outcome, StageContext
from electra_pipeline.core.progress import Update, silent
from electra_pipeline.pretraining import sequences as stage
from electra_pipeline.pretraining.config import SequencesConfig
from electra_pipeline.pretraining.rows import Layout, cut
from electra_pipeline.pretraining.sequence_shards import SequenceReader, sequence_schema
from electra_pipeline.pretraining.text_encoding import SentenceEncoder, split_text
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import HELD_OUT_PREFIX, TRAIN_PREFIX, read_documents


class BackwardsExecutor(LocalExecutor):
    """Finishes the last item first, as a cluster may."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **kwargs: Any
    ) -> Iterator[Outcome[Any]]:
        for index in reversed(range(len(items))):
            yield Outcome(index, value=function(items[index]))


class DyingExecutor(LocalExecutor):
    """Does the first item and dies."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any], **kwargs: Any
    ) -> Iterator[Outcome[Any]]:
        yield Outcome(0, value=function(items[0]))
        raise KeyboardInterrupt


def build(
    root: str,
    corpus: Artifact,
    tokenizer: Artifact,
    executor: LocalExecutor,
    layout: Layout = "google",
) -> Artifact:
    return stage.build(
        SequencesConfig(length=32, layout=layout),
        corpus,
        tokenizer,
        StageContext(root, "test", executor, silent),
    )


def test_rows_read_back_as_their_segments(sequences: Artifact, tokenizer: Artifact) -> None:
    vocabulary = load_vocabulary(tokenizer)
    reader = SequenceReader(sequences)
    ids, lengths, segment_b = reader.rows(np.arange(len(reader)))
    assert len(reader) == sequences.counters["train"]["sequences"]
    assert lengths.sum() == sequences.counters["train"]["tokens"]
    cls, sep, pad = (vocabulary.id_of(p) for p in ("[CLS]", "[SEP]", "[PAD]"))
    for row, length, start in zip(ids, lengths, segment_b, strict=True):
        assert row[0] == cls
        assert row[start - 1] == sep
        assert row[length - 1] == sep
        assert (row[length:] == pad).all()
        assert (row[:length] == sep).sum() == (1 if start == length else 2)


def test_reader_gives_rows_in_any_order(sequences: Artifact) -> None:
    reader = SequenceReader(sequences)
    everything = reader.rows(np.arange(len(reader)))
    wanted = np.random.default_rng(0).integers(0, len(reader), 50)
    for got, whole in zip(reader.rows(wanted), everything, strict=True):
        assert (got == whole[wanted]).all()


def test_held_out_sequences_are_apart(sequences: Artifact) -> None:
    assert (
        len(SequenceReader(sequences, HELD_OUT_PREFIX))
        == (sequences.counters["held_out"]["sequences"])
    )


@pytest.fixture(scope="module")
def packed(root: str, corpus: Artifact, tokenizer: Artifact) -> Artifact:
    return build(root, corpus, tokenizer, LocalExecutor(), "packed")


@pytest.mark.parametrize("layout", ["google", "packed"])
def test_bytes_do_not_depend_on_the_order_of_completion(
    tmp_path: Any, corpus: Artifact, tokenizer: Artifact, layout: Layout, request: Any
) -> None:
    forwards = request.getfixturevalue("sequences" if layout == "google" else "packed")
    backwards = build(str(tmp_path), corpus, tokenizer, BackwardsExecutor(), layout)
    assert backwards.manifest["files"] == forwards.manifest["files"]
    assert backwards.counters == forwards.counters


@pytest.mark.parametrize("layout", ["google", "packed"])
def test_an_interrupted_stage_resumes_to_the_same_bytes(
    tmp_path: Any, corpus: Artifact, tokenizer: Artifact, layout: Layout, request: Any
) -> None:
    undisturbed = request.getfixturevalue("sequences" if layout == "google" else "packed")
    with pytest.raises(KeyboardInterrupt):
        build(str(tmp_path), corpus, tokenizer, DyingExecutor(), layout)
    resumed = build(str(tmp_path), corpus, tokenizer, LocalExecutor(), layout)
    assert resumed.observed["resumed"]
    assert resumed.manifest["files"] == undisturbed.manifest["files"]
    assert resumed.counters == undisturbed.counters


def test_a_long_shard_reports_progress(
    root: str,
    corpus: Artifact,
    tokenizer: Artifact,
    sequences: Artifact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "UPDATE_SECONDS", 0.0)
    updates: list[Update] = []
    stage.build(
        SequencesConfig(length=32, seed=99),
        corpus,
        tokenizer,
        StageContext(root, "told", LocalExecutor(), updates.append),
    )
    done = [update.done for update in updates]
    assert len(done) > 10 * updates[0].total  # not one a shard
    assert done == sorted(done)
    assert done[0] == 0 and done[-1] == updates[-1].total


@pytest.mark.parametrize("prefix", [TRAIN_PREFIX, HELD_OUT_PREFIX])
def test_packed_rows_hold_all_subsequences_of_all_documents(
    packed: Artifact, corpus: Artifact, tokenizer: Artifact, prefix: str
) -> None:
    vocabulary = load_vocabulary(tokenizer)
    pad, cls, sep = (vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]"))
    encoder = SentenceEncoder(vocabulary.tokenizer)
    expected: Counter[tuple[int, ...]] = Counter()
    for batch in read_documents(corpus, prefix):
        for text in batch.column("text").to_pylist():
            sentences = list(encoder.encode(split_text(text, "en", "sentences")))
            tokens = [tuple(token.ids) for token in cut(sentences, 30)]
            whole = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
            assert list(itertools.chain(*tokens)) == whole
            expected.update(tokens)

    found: Counter[tuple[int, ...]] = Counter()
    reader = SequenceReader(packed, prefix)
    for row, length, segment_b in zip(*reader.rows(np.arange(len(reader))), strict=True):
        assert segment_b == length
        assert (row[length:] == pad).all()
        starts = np.flatnonzero(row == cls).tolist()
        assert starts[0] == 0
        for start, stop in itertools.pairwise([*starts, length]):
            assert row[stop - 1] == sep
            found[tuple(row[start + 1 : stop - 1].tolist())] += 1
    assert found == expected


def test_packed_counters_balance(packed: Artifact, sequences: Artifact) -> None:
    for split in ("train", "held_out"):
        counters = packed.counters[split]
        assert counters["tokens_discarded"] == counters["reordered"] == 0
        assert counters["documents"] == {"train": 100, "held_out": 20}[split]
        assert counters["documents"] < counters["pieces"]
        assert 0 < counters["documents_split"] < counters["documents"]
        assert 0 < counters["sentences_split"] < counters["pieces"] - counters["documents"] + 1
        assert counters["sequences"] < sequences.counters[split]["sequences"]
        assert counters["padding_fraction"] < sequences.counters[split]["padding_fraction"]


def test_tokens_of_the_text_are_counted_by_source_and_language(
    sequences: Artifact, packed: Artifact, corpus: Artifact, tokenizer: Artifact
) -> None:
    vocabulary = load_vocabulary(tokenizer).tokenizer
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        texts = (text for b in read_documents(corpus, prefix) for text in b["text"].to_pylist())
        expected = sum(len(vocabulary.encode(text, add_special_tokens=False)) for text in texts)
        for built in (sequences, packed):
            assert built.counters[split]["tokens_by_source"] == {"test": expected}
            assert built.counters[split]["tokens_by_language"] == {"en": expected}
    counters = packed.counters["train"]  # which discards nothing: all else is special
    special = 2 * counters["pieces"]
    assert counters["tokens"] == counters["tokens_by_source"]["test"] + special


def test_characters_balance(
    sequences: Artifact, packed: Artifact, corpus: Artifact, tokenizer: Artifact
) -> None:
    widths = load_vocabulary(tokenizer).widths
    for split, prefix in (("train", TRAIN_PREFIX), ("held_out", HELD_OUT_PREFIX)):
        texts = (text for b in read_documents(corpus, prefix) for text in b["text"].to_pylist())
        expected = sum(len("".join(text.split())) for text in texts)
        for built in (sequences, packed):
            counters = built.counters[split]
            reader = SequenceReader(built, prefix)
            kept = int(widths[reader.rows(np.arange(len(reader)))[0]].sum())
            lost = counters["characters_unknown"] + counters["characters_discarded"]
            assert counters["characters"] == expected == kept + lost
        assert packed.counters[split]["characters_discarded"] == 0
        assert sequences.counters[split]["characters_discarded"] > 0


def test_discarded_text_is_warned_of(
    tmp_path: Any, corpus: Artifact, tokenizer: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    build(str(tmp_path), corpus, tokenizer, LocalExecutor(), "packed")
    assert not caplog.messages
    built = build(str(tmp_path), corpus, tokenizer, LocalExecutor(), "google")
    counters = built.counters["train"]
    share = 100 * counters["characters_discarded"] / counters["characters"]
    [warning] = caplog.messages
    assert warning.startswith(
        f"sequences: {share:.1f}% of the characters are discarded by the layout; "
        "sequences.layout=packed"
    )


def test_sixteen_bits_hold_exactly_65536_tokens() -> None:
    schema = sequence_schema(2, pa.uint16())
    column = schema.field("input_ids").type
    pa.array([[0, 65_535]], type=column)
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        pa.array([[0, 65_536]], type=column)


def test_a_special_token_spelt_out_in_a_text_is_text(tokenizer: Artifact) -> None:
    vocabulary = load_vocabulary(tokenizer)
    ids = vocabulary.tokenizer.encode("[MASK] bat [SEP]", add_special_tokens=False).ids
    special = {vocabulary.id_of(token) for token in ("[MASK]", "[SEP]", "[CLS]", "[PAD]")}
    assert not special & set(ids)
    assert vocabulary.id_of("bat") in ids
