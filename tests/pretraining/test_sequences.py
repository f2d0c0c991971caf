from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from electra_pipeline.artifact import Artifact
from electra_pipeline.execution import LocalExecutor, Outcome
from electra_pipeline.pretraining import sequences as stage
from electra_pipeline.pretraining.sequences import (
    SequenceReader,
    SequencesConfig,
    load_vocabulary,
    sequence_schema,
)
from electra_pipeline.progress import silent
from electra_pipeline.shards import HELD_OUT_PREFIX


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


def build(root: str, corpus: Artifact, tokenizer: Artifact, executor: LocalExecutor) -> Artifact:
    return stage.build(
        SequencesConfig(length=32),
        corpus,
        tokenizer,
        root=root,
        name="test",
        executor=executor,
        progress=silent,
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


def test_bytes_do_not_depend_on_who_finishes_first(
    tmp_path: Any, sequences: Artifact, corpus: Artifact, tokenizer: Artifact
) -> None:
    other = build(str(tmp_path), corpus, tokenizer, BackwardsExecutor())
    assert other.manifest["files"] == sequences.manifest["files"]


def test_an_interrupted_stage_resumes_to_the_same_bytes(
    tmp_path: Any, sequences: Artifact, corpus: Artifact, tokenizer: Artifact
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(str(tmp_path), corpus, tokenizer, DyingExecutor())
    resumed = build(str(tmp_path), corpus, tokenizer, LocalExecutor())
    assert resumed.observed["resumed"]
    assert resumed.manifest["files"] == sequences.manifest["files"]


def test_sixteen_bits_hold_exactly_65536_pieces() -> None:
    schema = sequence_schema(2, pa.uint16())
    column = schema.field("input_ids").type
    pa.array([[0, 65_535]], type=column)
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        pa.array([[0, 65_536]], type=column)


def test_a_special_token_spelt_out_in_a_text_is_text(tokenizer: Artifact) -> None:
    vocabulary = load_vocabulary(tokenizer)
    ids = vocabulary.tokenizer.encode("[MASK] bat [SEP]", add_special_tokens=False).ids
    special = {vocabulary.id_of(piece) for piece in ("[MASK]", "[SEP]", "[CLS]", "[PAD]")}
    assert not special & set(ids)
    assert vocabulary.id_of("bat") in ids


def test_lines_are_taken_as_they_are() -> None:
    text = "One. Two.\n\nThree."
    assert stage._sentences(text, "en", "lines") == ["One. Two.", "Three."]
    assert [s.strip() for s in stage._sentences(text, "en", "sentences")] == [
        "One.",
        "Two.",
        "Three.",
    ]
