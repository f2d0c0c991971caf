"""Where a task's data is: files of its own, a folder in the published layouts, or the Hub."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Protocol

from electra_pipeline.inputs.files import FileReference, SourceFile, UrlFile, expand, fetch
from electra_pipeline.storage.folder import Folder
from electra_pipeline.tasks.data.folders import (
    ClassFolders,
    are_of_class_folders,
    find_class_folders,
)
from electra_pipeline.tasks.data.hub import read_hub
from electra_pipeline.tasks.data.reading import has_labels, read_examples
from electra_pipeline.tasks.data.records import Example
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.task import TEST, TRAIN, Columns, HubDataset, Published, Task


class Source(Protocol):
    """One split of a task, found but not read yet."""

    @property
    def place(self) -> str:
        """What messages call it."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether it is to train on or to score; else it is predicted alone."""
        ...

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        """The examples in order; `dropped` counts those that the task's rules drop, by reason."""
        ...


@dataclass(frozen=True)
class Files:
    """A split in files."""

    files: tuple[SourceFile, ...]
    columns: Columns | None = None
    """Where they are not those of the task."""
    labelled: bool = True

    @property
    def place(self) -> str:
        first, *others = (file.name for file in self.files)
        return f"{first} and {len(others)} more" if len(others) > 2 else ", ".join([first, *others])

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        if self.columns is not None:
            task = task.model_copy(update={"columns": self.columns})
        for file in self.files:
            for example in read_examples(task, file, dropped, labelled=self.labelled):
                if len(self.files) > 1 and not isinstance(example, QuestionExample):
                    # a record's number is one of its file alone
                    example = replace(example, id=f"{PurePath(file.name).name}:{example.id}")
                yield example


@dataclass(frozen=True)
class HubSplit:
    """A split on the Hugging Face Hub, or in any local folder that `datasets` loads."""

    dataset: HubDataset
    split: str
    labelled: bool = True

    @property
    def place(self) -> str:
        return f"{self.dataset.path} ({self.split})"

    def read(self, task: Task, dropped: Counter[str]) -> Iterator[Example]:
        yield from read_hub(task, self.dataset, self.split, dropped, labelled=self.labelled)


def locate(task: Task, data: str | None) -> dict[str, Source]:
    """The source of each split that there is. Raises ValueError, with the remedy, without train."""
    if task.files:
        return {split: source for split, source in _own(task).items() if source.labelled}
    if data is not None:
        if not Folder(data).exists():
            raise ValueError(f"finetune.data: no folder {data}; name one, or set null for the Hub")
        if task.published is None:
            raise ValueError(
                f"finetune.data: {task.name} needs the Hub, which has it as {_hub(task).path}; "
                "give its files as a task of your own, or set data to null for the Hub"
            )
        found = _published_files(task.published, Folder(data))
        if TRAIN in found:
            return {split: Files((fetch(UrlFile(url=url)),)) for split, url in found.items()}
        names = [name for name in task.published.files[TRAIN] if "*" not in name]
        wanted = [f"{folder}/{name}" for folder in task.published.folders for name in names]
        raise ValueError(
            f"finetune.data: {task.name} needs {' or '.join(wanted)}, which {data} does not have; "
            "put it there, take the task out of finetune.tasks, or set data to null for the Hub"
        )
    return {split: HubSplit(_hub(task), name) for split, name in _hub(task).splits.items()}


def locate_unlabelled(task: Task, data: str | None) -> dict[str, Source]:
    """The source of each split without labels that there is: of published ones, or `test`."""
    if task.files:
        return {split: source for split, source in _own(task).items() if not source.labelled}
    if data is None:
        hub = _hub(task)
        return {
            split: HubSplit(hub.model_copy(update={"config": config}), name, labelled=False)
            for split, (config, name) in hub.unlabelled.items()
        }
    assert task.published is not None
    folder, columns = Folder(data), task.published.unlabelled_columns
    found: dict[str, Source] = {}
    for split, path in task.published.unlabelled.items():
        for base in _bases(folder):
            file = base
            for part in path.split("/"):
                file = _child(folder, file, part)
            if file is not None and split not in found:
                found[split] = Files((fetch(UrlFile(url=_url(folder, file))),), columns, False)
    return found


def _own(task: Task) -> dict[str, Source]:
    """The source of each split that a task of one's own names; `test` may be without labels."""
    found: dict[str, Source] = {}
    for split, references in task.files.items():
        source = _of_references(task, references)
        if split == TEST and isinstance(source, Files):
            source = replace(source, labelled=any(has_labels(task, f) for f in source.files))
        found[split] = source
    return found


def _of_references(task: Task, references: Sequence[FileReference]) -> Source:
    files: list[SourceFile] = []
    for reference in references:
        folders = find_class_folders(reference) if task.type == "classification" else None
        if folders is not None and len(references) == 1:
            return folders
        files += folders.files if folders else [fetch(file) for file in expand(reference)]
    if are_of_class_folders(task, files):
        return ClassFolders(", ".join(map(str, references)), tuple(files))
    return Files(tuple(files))


def _hub(task: Task) -> HubDataset:
    assert task.hub is not None  # every published task is there
    return task.hub


def _bases(folder: Folder) -> tuple[str | None, ...]:
    """Where the folders of tasks may stand: in `folder` itself or in its `glue`."""
    return folder.path, _child(folder, folder.path, "glue")


def _url(folder: Folder, path: str) -> str:
    return path if folder.is_local else str(folder.filesystem.unstrip_protocol(path))


def _published_files(published: Published, folder: Folder) -> dict[str, str]:
    """URL of each split's file, directly below `folder` or in its `glue`, whatever the case."""
    found = {}
    for base in _bases(folder):
        for subfolder in published.folders:
            parent = _child(folder, base, subfolder)
            for split, names in published.files.items():
                for name in names:
                    path = _child(folder, parent, name)
                    if path is not None and split not in found:
                        found[split] = _url(folder, path)
    return found


def _child(folder: Folder, parent: str | None, name: str) -> str | None:
    """Path of `name`, which may be a pattern, in `parent`, whatever the case of its letters."""
    if parent is None or not folder.filesystem.isdir(parent):
        return None
    paths = sorted(str(path).rstrip("/") for path in folder.filesystem.ls(parent, detail=False))
    return next(
        (path for path in paths if fnmatchcase(path.rsplit("/", 1)[-1].lower(), name.lower())), None
    )
