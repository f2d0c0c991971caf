"""Partitions while they are read: how far they are, and what of their files is left out."""

import logging
from pathlib import Path

import pytest

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.corpus import partitions
from electra_pipeline.corpus.build import build
from electra_pipeline.corpus.counters import total_of_sources
from electra_pipeline.corpus.sources import file_groups
from tests.corpus.corpora import ENGLISH, config, prose, run, write_jsonl


def test_a_long_partition_reports_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "UPDATE_SECONDS", 0.0)
    monkeypatch.setattr(partitions, "CLEANED_DOCUMENTS", 25)
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        texts = [prose(ENGLISH, seed, 60) for seed in range(100)] + ["too short"]
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", texts)
    updates: list[Update] = []
    root = str(tmp_path / "runs")
    executor = LocalExecutor()
    build(config(tmp_path / "in"), StageContext(root, "x", executor, updates.append))
    reading = [update for update in updates if "documents" in update.metrics]
    assert len(reading) >= 2 * 101
    assert [update.metrics["documents"] for update in reading if update.done == 0][::25] == [
        *(0, 25, 50, 75, 100)
    ]
    for fact in ("documents", "MB"):  # of all partitions together, and none twice
        told = [update.metrics[fact] for update in reading]
        assert told == sorted(told)
    assert reading[-1].metrics["documents"] == 200


@pytest.mark.parametrize("num_small", [2, 99])
def test_bytes_after_a_compressed_stream_are_logged_once_and_counted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    num_small: int,
) -> None:
    monkeypatch.setattr(file_groups, "MIN_FILES", num_small)  # with 2, they are read as a group
    (tmp_path / "in").mkdir()
    for number, rest in enumerate((b"", b"-- the mirror")):
        path = tmp_path / "in" / f"{number}.jsonl.gz"
        write_jsonl(path, [prose(ENGLISH, number)])
        path.write_bytes(path.read_bytes() + rest)
    with caplog.at_level(logging.WARNING, "electra_pipeline"):
        corpus = run(config(tmp_path / "in"), tmp_path / "runs")
    told = [record.getMessage() for record in caplog.records if "ignored" in record.getMessage()]
    place = tmp_path / "in" / "1.jsonl.gz"
    assert told == [
        f"{place}: ignored 13 bytes after the end of its gzip stream, which are not part of it"
    ]
    assert total_of_sources(corpus.counters, "repaired") == {"files_with_trailing_bytes": 1}
