"""What `gc` keeps and deletes, on the local disk, in memory and on a real S3 server."""

import datetime
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.storage import artifact as artifacts
from electra_pipeline.storage import gc, inventory
from electra_pipeline.storage.artifact import (
    Artifact,
    Draft,
    Written,
    find_artifacts,
    produce,
    verify,
)
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.gc import Plan
from electra_pipeline.storage.locks import InUseError
from electra_pipeline.workflows.retention import RETENTION_RULES

ROLES = {"pretrain": "pretrained", "snapshot": "pretrained", "publish": "model"}


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each artifact is a day younger than the one before."""
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def next_day() -> str:
        nonlocal moment
        moment += datetime.timedelta(days=1)
        return moment.isoformat(timespec="seconds")

    monkeypatch.setattr(artifacts, "_now", next_day)


def make(
    root: str,
    stage: str,
    name: str,
    *inputs: Artifact,
    number: int = 0,
    run: str | None = None,
    fails: bool = False,
    partitions: tuple[str, ...] | None = None,
) -> Artifact:
    def write(draft: Draft) -> Written:
        draft.folder.write_bytes("model/weights", b"x" * 100)
        if fails:
            draft.work.write_bytes("half", b"y" * 10)
            raise RuntimeError("killed")
        observed = {} if partitions is None else {"piece_folders": list(partitions)}
        return Written({} if run is None else {"run": run}, observed)

    return produce(
        root=root,
        stage=stage,
        name=name,
        format_version=1,
        config={"number": number},
        inputs={ROLES.get(each.stage, each.stage): each.fingerprint for each in inputs},
        write=write,
    )


def chain(root: str, name: str, number: int, **corpus: Any) -> list[Artifact]:
    """What one run leaves: from a corpus to two trials."""
    made = [make(root, "corpus", name, number=number, **corpus)]
    for stage in ("tokenizer", "pretrain", "publish"):
        made.append(make(root, stage, name, made[-1], number=number))
    trials = [make(root, "finetune", f"{name}-cola-{n}", made[-1], run=name) for n in range(2)]
    return [*made, *trials]


def places(found: Any) -> set[str]:
    return {str(each.folder) for each in found}


def plan(root: str, **options: Any) -> Plan:
    return gc.plan(root, RETENTION_RULES, **options)


def clean(root: str, **options: Any) -> Plan:
    found = plan(root, **options)
    for item in found.deleted:
        inventory.delete(item)
    return found


def test_the_newest_of_each_name_is_kept_with_its_inputs(root: str) -> None:
    old, newer = chain(root, "a", 1), chain(root, "a", 2)
    other = chain(root, "b", 3)
    before = {name: Folder(root).read_bytes(name) for name in Folder(root).files()}
    found = plan(root)
    assert {name: Folder(root).read_bytes(name) for name in Folder(root).files()} == before
    assert places(found.deleted) == places(old)
    assert sum(sum(item.files.values()) for item in found.kept) > 12 * 100
    clean(root)
    left = find_artifacts(root)
    assert places(left) == places([*newer, *other])
    assert [problem for each in left for problem in verify(each)] == []
    assert plan(root).deleted == []
    assert not any(each.folder.exists() for each in old)


def test_a_root_in_a_store(s3_root: str) -> None:
    corpora = [make(s3_root, "corpus", "a", number=number) for number in range(3)]
    tokenizer = make(s3_root, "tokenizer", "a", corpora[0])
    assert places(clean(s3_root).deleted) == {str(corpora[1].folder)}
    assert places(find_artifacts(s3_root)) == places([corpora[0], corpora[2], tokenizer])
    assert corpora[1].folder.files() == []


def test_an_old_input_of_a_kept_artifact_is_kept(tmp_path: Path) -> None:
    root = str(tmp_path)
    corpus = make(root, "corpus", "a", number=1)
    make(root, "corpus", "a", number=2)
    tokenizer = make(root, "tokenizer", "a", corpus)
    gone = make(root, "tokenizer", "a", number=0)  # no artifact was made from it
    newest = make(root, "tokenizer", "a", corpus, number=9)
    clean(root)
    assert str(corpus.folder) in places(find_artifacts(root))
    assert not {str(tokenizer.folder), str(gone.folder)} & places(find_artifacts(root))
    assert str(newest.folder) in places(find_artifacts(root))


def test_snapshots_of_a_run_are_kept_as_long_as_the_run(tmp_path: Path) -> None:
    root = str(tmp_path)

    def with_history(number: int) -> list[Artifact]:
        made = [make(root, "pretrain", "a", number=number)]
        for step in (10, 20):
            made.append(make(root, "snapshot", f"a@{step}", made[0], number=number))
            made.append(make(root, "publish", f"a@{step}", made[-1], number=number))
            made.append(make(root, "finetune", f"a@{step}-cola", made[-1], run=f"a@{step}"))
        return made

    first = with_history(1)
    assert plan(root).deleted == []
    newest = make(root, "pretrain", "a", number=2)
    assert places(clean(root).deleted) == places(first)
    assert places(find_artifacts(root)) == places([newest])


def test_listed_runs_are_kept_whole(tmp_path: Path) -> None:
    root = str(tmp_path)
    old, newer, other = chain(root, "a", 1), chain(root, "a", 2), chain(root, "b", 3)
    assert places(plan(root, keep_runs=["a"]).deleted) == set()
    assert places(plan(root, keep_last=2).deleted) == set()
    assert places(plan(root, keep_runs=["a*"], keep_last=0).deleted) == places(other)
    with pytest.raises(ValueError, match=r"--keep-run c: no such run in .*; there are a, b"):
        plan(root, keep_runs=["c"])
    with pytest.raises(ValueError, match="--keep-last 0 keeps nothing"):
        plan(root, keep_last=0)
    assert places(find_artifacts(root)) == places([*old, *newer, *other])


def test_unfinished_artifacts_are_kept_until_a_newer_one_is_finished(root: str) -> None:
    corpora = [make(root, "corpus", "a", number=number) for number in (1, 2)]
    with pytest.raises(RuntimeError, match="killed"):
        make(root, "tokenizer", "a", corpora[0], fails=True)
    found = plan(root)
    assert found.deleted == []  # the older corpus is an input of the unfinished tokenizer
    [draft] = [item for item in found.kept if not item.is_finished]
    make(root, "tokenizer", "a", corpora[1], number=2)
    with draft.folder.lock():
        assert plan(root).deleted == []  # a driver is at work on it
        with pytest.raises(InUseError):
            inventory.delete(draft)
    assert places(plan(root).deleted) == {str(draft.folder), str(corpora[0].folder)}


def test_folders_beside_artifacts_are_deleted_with_them(tmp_path: Path) -> None:
    root = str(tmp_path)
    folders = {name: Folder(root) / "corpus-pieces" / f"{name}-{'0' * 12}" for name in "xyz"}
    for folder in folders.values():
        folder.write_bytes("documents.arrow", b"123")
    old = chain(root, "a", 1, partitions=(folders["x"].name, folders["y"].name))
    newer = chain(root, "a", 2, partitions=(folders["y"].name,))
    for made in (old[2], newer[2]):
        for kind in ("checkpoints", "tensorboard"):
            (Folder(root) / kind / made.folder.name).write_bytes("step-1.pt", b"12345")
    strangers = [Folder(root) / "notes", Folder(root) / "corpus" / f"mine-{'1' * 12}"]
    shutil.copytree(old[0].folder.path, strangers[1].path)
    for stranger in strangers:
        stranger.write_bytes("diary.txt", b"keep me")
    Folder(root).write_bytes("results.db", b"rows")
    half = Path(root) / "checkpoints" / newer[2].folder.name / ".step-2.pt.0a1b2c3d.tmp"
    fresh = half.with_name(".step-3.pt.0a1b2c3d.tmp")
    for file in (half, fresh):
        file.write_bytes(b"half")
    os.utime(half, (time.time() - 2 * 86_400,) * 2)
    clean(root)
    names = Folder(root).files()
    assert [name for name in names if name.startswith("corpus-pieces")] == [
        f"corpus-pieces/{folders['y'].name}/documents.arrow"
    ]
    for kind in ("checkpoints", "tensorboard"):
        assert [name for name in names if name.startswith(kind)] == [
            f"{kind}/{newer[2].folder.name}/step-1.pt"
        ]
    assert (half.exists(), fresh.exists()) == (False, True)
    assert sum(name.endswith("diary.txt") for name in names) == 2
    assert "results.db" in names
    assert not list(Path(root).rglob(f".{old[0].folder.name}.lock"))


def test_partitions_are_kept_if_a_corpus_did_not_record_its_own(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path)) / "corpus-pieces" / f"x-{'0' * 12}"
    folder.write_bytes("documents.arrow", b"123")
    make(str(tmp_path), "corpus", "a")
    assert plan(str(tmp_path)).deleted == []


def dies(path: str) -> None:
    raise KeyboardInterrupt


def test_a_half_deleted_artifact_is_unfinished_and_deleted_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path)
    old, newer = (make(root, "corpus", "a", number=number) for number in (1, 2))
    [item] = plan(root).deleted
    with monkeypatch.context() as patch:
        patch.setattr(Folder(root).filesystem, "rm_file", dies)
        with pytest.raises(KeyboardInterrupt):
            inventory.delete(item)
    assert old.folder.files() == ["model/weights", "observed.json"]
    assert places(find_artifacts(root)) == {str(newer.folder)}
    clean(root)
    assert not old.folder.exists()


def test_a_manifest_of_another_format_raises(tmp_path: Path) -> None:
    made = make(str(tmp_path), "corpus", "a")
    made.folder.write_json("manifest.json", {**made.manifest, "manifest_format": 2})
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        plan(str(tmp_path))


@given(st.data())
@settings(max_examples=15)
def test_kept_artifacts_have_all_their_inputs(data: st.DataObject) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    made: list[Artifact] = []
    for number in range(data.draw(st.integers(1, 10))):
        inputs = data.draw(st.lists(st.sampled_from(made), max_size=2)) if made else []
        stage = data.draw(st.sampled_from(["corpus", "pretrain", "finetune"]))
        name = data.draw(st.sampled_from("ab"))
        try:
            fails = data.draw(st.booleans()) and data.draw(st.booleans())
            made.append(make(root, stage, name, *inputs, number=number, fails=fails))
        except RuntimeError:
            continue
    keep_last = data.draw(st.integers(1, 3))
    before = {each.fingerprint for each in made}
    found = clean(root, keep_last=keep_last)
    left = find_artifacts(root)
    fingerprints = {each.fingerprint for each in left}
    for item in found.kept:
        assert item.inputs & before <= fingerprints
    for stage, name in {(each.stage, each.name) for each in made}:
        of_name = [each for each in made if (each.stage, each.name) == (stage, name)]
        assert {each.fingerprint for each in of_name[-keep_last:]} <= fingerprints
    assert [problem for each in left for problem in verify(each)] == []
    assert plan(root, keep_last=keep_last).deleted == []
    Folder(root).remove()
