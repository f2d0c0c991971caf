"""Many small files: few partitions, the same documents, and what has grown costs what is new."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.corpus import build, progress
from electra_pipeline.corpus.cleaning.config import DocumentRules
from electra_pipeline.corpus.partitions import PARTITIONS_FOLDER, partition_folder
from electra_pipeline.corpus.sources import file_groups
from electra_pipeline.corpus.sources.config import FileReading
from electra_pipeline.corpus.sources.file_groups import group_small_files
from electra_pipeline.corpus.sources.partition import FilePartition
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.storage.folder import Folder
from tests.corpus.corpora import ENGLISH, config, documents, prose, run


def partition(number: int, num_bytes: int = 100) -> FilePartition:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    name = f"{number:06d}.txt"
    return FilePartition("x", (SourceFile(name, digest, name, num_bytes=num_bytes),), FileReading())


def files_of(partitions: list[Any]) -> list[str]:
    return [file.name for each in partitions for file in each.files]


def test_many_small_files_are_few_partitions_in_the_same_order() -> None:
    partitions = [partition(number) for number in range(20_000)]
    grouped = group_small_files(partitions)
    assert 40 < len(grouped) < 160
    assert files_of(grouped) == files_of(partitions)
    assert len({each.digest for each in grouped}) == len(grouped)


def test_few_small_files_and_large_ones_are_partitions_of_their_own() -> None:
    few = [partition(number) for number in range(file_groups.MIN_FILES - 1)]
    assert group_small_files(few) == few
    large = [partition(number, file_groups.SMALL_BYTES) for number in range(2_000)]
    assert group_small_files(large) == large
    mixed = [*(partition(number) for number in range(1_000)), partition(0, 10**9), partition(1)]
    grouped = group_small_files(mixed)
    assert files_of(grouped) == files_of(mixed)
    assert mixed[1_000] in grouped


def test_a_group_is_bounded() -> None:
    partitions = [partition(number, file_groups.SMALL_BYTES - 1) for number in range(3_000)]
    for each in group_small_files(partitions):
        assert each.is_group
        assert len(each.files) <= file_groups.MAX_FILES
        size = sum(file.num_bytes or 0 for file in each.files)
        assert size < file_groups.MAX_BYTES + file_groups.SMALL_BYTES


@pytest.mark.parametrize("seed", range(5))
def test_an_added_file_changes_few_groups(seed: int) -> None:
    partitions = [partition(number) for number in range(0, 40_000, 4)]
    before = {each.digest for each in group_small_files(partitions)}
    number = random.Random(seed).randrange(40_000) | 1
    grown = sorted([*partitions, partition(number)], key=lambda each: each.name)
    after = {each.digest for each in group_small_files(grown)}
    assert 1 <= len(after - before) <= 4


def write(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / f"{number:05d}.txt").write_text(prose(ENGLISH, number))


def test_groups_give_the_corpus_that_single_files_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_groups, "FILES_PER_GROUP", 8)
    write(tmp_path / "texts", range(60))
    single = run(config(tmp_path / "texts"), tmp_path / "single")
    assert single.observed["pieces_known"] == 0 and len(single.observed["pieces"]) == 60
    monkeypatch.setattr(file_groups, "MIN_FILES", 20)
    grouped = run(config(tmp_path / "texts"), tmp_path / "grouped")
    assert 1 < len(grouped.observed["pieces"]) < 30
    assert documents(grouped) == documents(single)
    assert documents(grouped, "held-out-") == documents(single, "held-out-")
    assert grouped.counters == single.counters

    (tmp_path / "texts" / "00031x.txt").write_text(prose(ENGLISH, 1000))
    grown = run(config(tmp_path / "texts"), tmp_path / "grouped")
    assert len(grown.observed["pieces"]) - grown.observed["pieces_known"] <= 4
    assert len(documents(grown)) + len(documents(grown, "held-out-")) == 61


def test_a_broken_file_of_a_group_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_groups, "MIN_FILES", 5)
    write(tmp_path / "texts", range(9))
    (tmp_path / "texts" / "00007.txt").write_bytes(b"\xff\xff broken")
    with pytest.raises(ValueError, match=r"00007\.txt: line 1, byte 0: not valid utf-8"):
        run(config(tmp_path / "texts"), tmp_path / "runs")


def test_every_step_over_many_files_reports_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "STEP_SECONDS", 0.0)
    write(tmp_path / "texts", range(20))
    seen: list[Any] = []
    build.build(
        config(tmp_path / "texts"),
        StageContext(str(tmp_path / "runs"), "x", LocalExecutor(), seen.append),
    )
    steps = [update.metrics.get("step") for update in seen]
    assert {
        "looking up",
        "looking up finished partitions",
        "checking",
        "merging",
        "writing",
    } <= set(steps)
    assert all(update.done <= update.total for update in seen)


def test_labels_become_portable_folder_names() -> None:
    for label in ("é" * 200, "std::vector", "a[1]*?#%", "org/data:name"):
        file = FilePartition(label, (SourceFile("a.txt", "0" * 64, ""),), FileReading())
        folder = partition_folder("/root-folder", file, DocumentRules())
        below = folder.uri.removeprefix(f"{Folder('/root-folder') / PARTITIONS_FOLDER}/")
        assert all(len(part.encode()) < 160 for part in below.split("/"))
        assert not set(below) & set("*?[#%") and "::" not in below
