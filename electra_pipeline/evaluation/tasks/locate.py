"""Where a task's data is: files of its own, a folder in the published layouts, or the Hub."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from electra_pipeline.evaluation.tasks.hub import read_hub
from electra_pipeline.evaluation.tasks.reading import Example, read_examples
from electra_pipeline.evaluation.tasks.task import TRAIN, HubDataset, Published, Task
from electra_pipeline.inputs.files import SourceFile, UrlFile, expand, fetch
from electra_pipeline.storage import Folder


class Source(Protocol):
    """One split of a task, found but not read yet."""

    @property
    def place(self) -> str:
        """What messages call it."""
        ...

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        """The examples in order; `dropped` counts those that the task's rules drop, by reason."""
        ...


@dataclass(frozen=True)
class Files:
    """A split in files."""

    files: tuple[SourceFile, ...]

    @property
    def place(self) -> str:
        return ", ".join(file.name for file in self.files)

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        for file in self.files:
            yield from read_examples(task, file, dropped)


@dataclass(frozen=True)
class HubSplit:
    """A split on the Hugging Face Hub, or in any local folder that `datasets` loads."""

    dataset: HubDataset
    split: str

    @property
    def place(self) -> str:
        return f"{self.dataset.path} ({self.split})"

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        yield from read_hub(task, self.dataset, self.split, dropped)


def locate(task: Task, data: str | None) -> dict[str, Source]:
    """The source of each split that there is. Raises ValueError, with the remedy, without train."""
    if task.files:
        return {
            split: Files(tuple(fetch(file) for file in expand(reference)))
            for split, reference in task.files.items()
        }
    if data is not None:
        assert task.published is not None
        found = _published_files(task.published, Folder(data))
        if TRAIN in found:
            return {split: Files((fetch(UrlFile(url=url)),)) for split, url in found.items()}
        names = [name for name in task.published.files[TRAIN] if "*" not in name]
        wanted = [f"{folder}/{name}" for folder in task.published.folders for name in names]
        raise ValueError(
            f"finetune.data: {task.name} needs {' or '.join(wanted)}, which {data} does not have; "
            "put it there, take the task out of finetune.tasks, or set data to null for the Hub"
        )
    assert task.hub is not None
    return {split: HubSplit(task.hub, name) for split, name in task.hub.splits.items()}


def _published_files(published: Published, folder: Folder) -> dict[str, str]:
    """URL of each split's file, directly below `folder` or in its `glue`, whatever the case."""
    if not folder.exists():
        raise ValueError(f"finetune.data: no folder {folder}; name one, or set null for the Hub")
    found = {}
    for base in (folder.path, _child(folder, folder.path, "glue")):
        for subfolder in published.folders:
            parent = _child(folder, base, subfolder)
            for split, names in published.files.items():
                for name in names:
                    path = _child(folder, parent, name)
                    if path is not None and split not in found:
                        local = folder.is_local
                        found[split] = (
                            path if local else str(folder.filesystem.unstrip_protocol(path))
                        )
    return found


def _child(folder: Folder, parent: str | None, name: str) -> str | None:
    """Path of `name`, which may be a pattern, in `parent`, whatever the case of its letters."""
    if parent is None or not folder.filesystem.isdir(parent):
        return None
    paths = sorted(str(path).rstrip("/") for path in folder.filesystem.ls(parent, detail=False))
    return next(
        (path for path in paths if fnmatchcase(path.rsplit("/", 1)[-1].lower(), name.lower())), None
    )
