"""Checks before any work: they refuse unwritable roots and leave no files."""

from pathlib import Path

import pytest

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import LocalExecutor
from electra_pipeline.workflows import preflight


def check(root: str) -> None:
    corpus = {"sources": [{"type": "files", "urls": ["a.txt"]}]}
    values = {"name": "x", "root": root, "corpus": corpus}
    preflight.check(PipelineConfig.model_validate(values), LocalExecutor())


def test_a_root_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            ValueError, match=r"cannot be written .*; give another --root"
        ) as caught:
            check(str(root))
        assert str(caught.value).startswith(f"root {root}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("root", ["new/root", "memory://checked/root"])
def test_a_check_leaves_no_files_in_the_root(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(root)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"results.db"}
