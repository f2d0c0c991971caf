"""The rules that see the whole corpus, through the stage: what leaves it, what never differs."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.corpus.build import build
from electra_pipeline.corpus.card import CARD
from electra_pipeline.corpus.cleaning.filters.scrub import EXAMPLE_EMAIL
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.corpus.dropped import DROPPED
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import read_documents
from tests.corpus.corpora import DyingExecutor, KilledError, PoolExecutor

WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("a", "e", "io", "un", "ar")]
NOTICE = "All rights reserved by the publisher of this page."
EXAMPLE = " ".join(random.Random(99).choices(WORDS, k=30))


def text(seed: int, number: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=number)) + "."


def changed(original: str, places: Sequence[int]) -> str:
    """A copy with other, shorter words."""
    words = original.split()
    for place in places:
        words[place] = "o"
    return " ".join(words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of 10 documents: some with a notice, near copies, one with an example."""
    texts = [text(seed) for seed in range(36)]
    near = [changed(texts[3], [50]), changed(texts[20], [10, 90]) + " And it is the longest."]
    holding = [f"{text(100, 40)} {EXAMPLE.upper()}! {text(101, 40)}", texts[0].title()]
    documents = [*texts, *near, *holding]
    for number in range(0, 40, 4):
        documents[number] += f"\n{NOTICE}"
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(4):
        lines = (json.dumps({"text": one}) for one in documents[number::4])
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    return folder


def config(urls: Sequence[str], **changes: Any) -> CorpusConfig:
    settings: dict[str, Any] = {
        "sources": [{"type": "files", "urls": list(urls)}],
        "held_out_fraction": 0.1,
        "repeated_lines": {"min_documents": 5},
        "near_duplicates": {},
        "decontaminate": {},
    }
    return CorpusConfig.model_validate(settings | changes)


def run(config: CorpusConfig, root: Path, executor: Any = None) -> Artifact:
    return build(
        config,
        StageContext(str(root), "whole", executor or LocalExecutor(), silent),
        examples={"quiz": [EXAMPLE, text(500, 20)], "other": [text(501, 20)]},
    )


def kept(artifact: Artifact) -> set[str]:
    return {
        row
        for prefix in ("shard-", "held-out-")
        for batch in read_documents(artifact, prefix)
        for row in batch["text"].to_pylist()
    }


def test_corpus_wide_rules_drop_documents_with_reasons(folder: Path, tmp_path: Path) -> None:
    artifact = run(config([f"{folder}/*"]), tmp_path / "runs")
    counters = artifact.counters
    (source,) = counters["sources"].values()
    assert source["dropped"] == {"contaminated": 1, "near_duplicate": 2, "duplicate": 1}
    assert source["repaired"] == {"boilerplate_lines": 10}
    assert counters["contaminated_by_task"] == {"quiz": 1, "other": 0}
    assert counters["near_duplicate_clusters"] == {"1": 34, "2": 2}
    texts = kept(artifact)
    assert len(texts) == source["kept"] == 36
    assert not any(NOTICE in one for one in texts)
    # Of near copies the longest stays; of equal ones, that which came first.
    assert text(3) in texts and changed(text(3), [50]) not in texts
    assert text(20) not in texts and any("the longest" in one for one in texts)
    rows = pq.read_table(artifact.local_file(DROPPED)).to_pylist()
    by_reason = {row["reason"]: row for row in rows}
    assert by_reason["contaminated"]["value"] == "quiz"
    ids = {
        row["id"]: row["text"] for batch in read_documents(artifact) for row in batch.to_pylist()
    }
    near = [row for row in rows if row["reason"] == "near_duplicate"]
    named = {row["text"]: ids.get(row["value"], "") for row in near}
    assert named[changed(text(3), [50])] in (text(3), "")  # "": the kept one is held out
    card = artifact.folder.read_bytes(CARD).decode()
    assert "| quiz | 1 |" in card
    assert "| 2 | 2 |" in card


@pytest.mark.integration
def test_result_is_independent_of_workers_and_input_order(folder: Path, tmp_path: Path) -> None:
    files = [f"{folder}/{number}.jsonl" for number in range(4)]
    one = run(config(files), tmp_path / "one")
    two = run(config(files), tmp_path / "two", PoolExecutor())
    assert one.manifest == two.manifest
    turned = run(config(files[::-1]), tmp_path / "turned")
    same = {one.casefold() for one in kept(turned)}  # of equal ones the first stays
    assert same == {one.casefold() for one in kept(one)}


@pytest.mark.parametrize("after", [3, 4, 7, 8, 11, 12, 15])
def test_resume_gives_equal_manifest(folder: Path, tmp_path: Path, after: int) -> None:
    whole = run(config([f"{folder}/*"]), tmp_path / "whole")
    with pytest.raises(KilledError):
        run(config([f"{folder}/*"]), tmp_path / "torn", DyingExecutor(after))
    assert run(config([f"{folder}/*"]), tmp_path / "torn").manifest == whole.manifest


def test_a_grown_corpus_computes_only_new_features(folder: Path, tmp_path: Path) -> None:
    plain = {"repeated_lines": None}  # which change the documents of all partitions
    run(config([f"{folder}/*"], **plain), tmp_path / "runs")
    lines = (json.dumps({"text": one}) for one in (text(700), changed(text(5), [60])))
    (folder / "new.jsonl").write_text("\n".join(lines))
    # One item to read the new partition, one to mark it: a third would kill it.
    grown = run(config([f"{folder}/*"], **plain), tmp_path / "runs", DyingExecutor(2))
    assert grown.manifest == run(config([f"{folder}/*"], **plain), tmp_path / "afresh").manifest


def test_other_evaluation_data_is_another_corpus(folder: Path, tmp_path: Path) -> None:
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text(json.dumps({"text": text(7, 40)}) + "\n")
    both = run(config([f"{folder}/*"], decontaminate={"files": [str(quiz)]}), tmp_path / "runs")
    assert both.counters["contaminated_by_task"] == {"quiz": 2, "other": 0}
    alone = {"files": [str(quiz)], "tasks": False}
    files = run(config([f"{folder}/*"], decontaminate=alone), tmp_path / "runs")
    assert files.counters["contaminated_by_task"] == {"quiz": 1}
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    quiz.rename(moved / "quiz.jsonl")
    alone = {"files": [str(moved / "quiz.jsonl")], "tasks": False}
    again = run(config([f"{folder}/*"], decontaminate=alone), tmp_path / "runs")
    assert again.fingerprint == files.fingerprint
    with pytest.raises(ValueError, match=r"corpus\.decontaminate names no evaluation data"):
        run(config([f"{folder}/*"], decontaminate={"tasks": False}), tmp_path / "runs")


def test_filters_by_name_or_list(tmp_path: Path) -> None:
    again = "The cat went to have a look at the sea. " * 8
    mail = f"{' '.join(WORDS)} Write to someone@mail.net to have it."
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps({"text": one}) for one in (again, mail)))
    plain = {"repeated_lines": None, "near_duplicates": None, "decontaminate": None}
    plain |= {"held_out_fraction": 0}

    def judged(filters: Any) -> tuple[dict[str, int], dict[str, int], set[str]]:
        artifact = run(config([str(file)], filters=filters, **plain), tmp_path / "runs")
        (source,) = artifact.counters["sources"].values()
        return source["dropped"], source["repaired"], kept(artifact)

    assert judged("none") == ({}, {}, {again.strip(), mail})
    listed = [{"type": "scrub"}, {"type": "gopher_repetition"}]
    dropped, repaired, left = judged(listed)
    assert (sum(dropped.values()), repaired) == (1, {"emails": 1})
    assert left == {mail.replace("someone@mail.net", EXAMPLE_EMAIL)}
    with pytest.raises(ValueError, match="no filters are named 'webb'; choose web, wikipedia"):
        judged("webb")
