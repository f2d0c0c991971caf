"""The corpus stage run again: after a death, on other workers, with more or changed input."""

import gzip
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.corpus.build import build
from tests.corpus.corpora import (
    ENGLISH,
    DyingExecutor,
    KilledError,
    PoolExecutor,
    config,
    prose,
    run,
    write_jsonl,
)


@pytest.mark.integration
def test_shards_are_byte_equal_for_any_number_of_workers(texts: Path, tmp_path: Path) -> None:
    settings = config(texts)
    one = run(settings, tmp_path / "one")
    two = run(settings, tmp_path / "two", PoolExecutor())
    assert one.manifest == two.manifest  # which holds the sha256 of every file


@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_resume_gives_equal_manifest(texts: Path, tmp_path: Path, after: int) -> None:
    settings = config(texts)
    whole = run(settings, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(settings, tmp_path / "torn", DyingExecutor(after))
    assert not list((tmp_path / "torn").rglob("manifest.json"))
    updates: list[Update] = []
    root = str(tmp_path / "torn")
    resumed = build(settings, StageContext(root, "tiny", LocalExecutor(), updates.append))
    assert resumed.manifest == whole.manifest
    # The last item was processed before the death, though nobody heard of it.
    assert list(dict.fromkeys(update.done for update in updates)) == [*range(after + 1, 6)]


def test_a_finished_corpus_is_not_built_again(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    again = run(config(texts), tmp_path / "runs", DyingExecutor(0))
    assert again.manifest == first.manifest


def test_a_grown_source_processes_only_new_partitions(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    assert first.observed["pieces_known"] == 0
    write_jsonl(texts / "new.jsonl", [prose(ENGLISH, 1000 + n) for n in range(20)])
    (texts / "odd.jsonl").rename(texts / "renamed.jsonl")
    grown = run(
        config(texts), tmp_path / "runs", DyingExecutor(1)
    )  # a second partition would kill it
    assert grown.observed["pieces_known"] == 5
    assert grown.counters["documents"]["train"] > first.counters["documents"]["train"]
    afresh = run(config(texts), tmp_path / "other")
    assert grown.manifest == afresh.manifest


def test_a_damaged_partition_is_processed_again(texts: Path, tmp_path: Path) -> None:
    first = run(config(texts), tmp_path / "runs")
    partition = sorted(tmp_path.glob("runs/corpus-pieces/*/documents.arrow"))[0]
    data = bytearray(partition.read_bytes())
    data[len(data) // 2] ^= 1
    partition.write_bytes(bytes(data))
    changed = run(config(texts, held_out_fraction=0.2), tmp_path / "runs")
    assert changed.observed["pieces_known"] == 4
    assert changed.manifest["files"] != first.manifest["files"]
    afresh = run(config(texts, held_out_fraction=0.2), tmp_path / "other")
    assert changed.manifest == afresh.manifest


def test_a_truncated_file_fails_and_finished_partitions_are_kept(
    texts: Path, tmp_path: Path
) -> None:
    noise = random.Random(0)  # more than is read before work starts
    many = [{"text": prose(ENGLISH, n), "noise": noise.randbytes(1000).hex()} for n in range(1500)]
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in many).encode())
    (texts / "9.jsonl.gz").write_bytes(packed[: len(packed) * 8 // 10])
    with pytest.raises(ValueError, match=r"9\.jsonl\.gz: ends in the middle of its gzip stream"):
        run(config(texts), tmp_path / "runs")
    assert not list(tmp_path.rglob("manifest.json"))
    assert len(list(tmp_path.glob("runs/corpus-pieces/*/record.json"))) == 4
    assert len(list(tmp_path.glob("runs/corpus-pieces/*/*"))) == 8


def test_the_location_of_a_source_is_not_identity(texts: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "texts"
    shutil.copytree(texts, other)
    first, moved = (run(config(place), tmp_path / place.parent.name) for place in (texts, other))
    assert first.fingerprint == moved.fingerprint
    (other / "odd.jsonl").write_text('{"text": "changed"}\n')
    assert run(config(other), tmp_path / "x").fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "changes",
    [{"min_characters": 20}, {"held_out_fraction": 0.2}, {"unescape_html": False}],
)
def test_rules_are_identity(texts: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    roots = tmp_path / "runs"
    assert run(config(texts), roots).fingerprint != run(config(texts, **changes), roots).fingerprint
