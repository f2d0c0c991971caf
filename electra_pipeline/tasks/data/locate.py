"""Find the data of a task's splits: its own files, files in a published layout, or the Hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Protocol

from electra_pipeline.inputs.files import FileReference, SourceFile, UrlFile, expand, fetch
from electra_pipeline.storage.folder import Folder
from electra_pipeline.tasks.data.class_folders import (
    ClassFolders,
    are_of_class_folders,
    find_class_folders,
)
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.examples import Example, record_examples
from electra_pipeline.tasks.data.files import has_labels, read_examples
from electra_pipeline.tasks.data.hub import hub_records
from electra_pipeline.tasks.kinds.question_answering import QuestionExample
from electra_pipeline.tasks.task import TEST, TRAIN, Columns, HubDataset, Published, Task


class Source(Protocol):
    """The data of one split of a task, not read yet."""

    @property
    def name(self) -> str:
        """Its files or dataset, for messages."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether it is for training or scoring; if not, only for predictions."""
        ...

    def read(self, context: ReadContext) -> Iterator[Example]:
        """Yield the examples in order."""
        ...


@dataclass(frozen=True)
class Files:
    """A split in files."""

    files: tuple[SourceFile, ...]
    columns: Columns | None = None
    """Their columns if they differ from the task's."""
    labelled: bool = True

    @property
    def name(self) -> str:
        first, *others = (file.name for file in self.files)
        return f"{first} and {len(others)} more" if len(others) > 2 else ", ".join([first, *others])

    def read(self, context: ReadContext) -> Iterator[Example]:
        if self.columns is not None:
            context = replace(context, columns=self.columns)
        for file in self.files:
            for example in read_examples(context, file):
                if len(self.files) > 1 and not isinstance(example, QuestionExample):
                    # a record's number is unique within its file only
                    example = replace(example, id=f"{PurePath(file.name).name}:{example.id}")
                yield example


@dataclass(frozen=True)
class HubSplit:
    """A split on the Hugging Face Hub, or in any local folder that `datasets` loads."""

    dataset: HubDataset
    split: str
    labelled: bool = True

    @property
    def name(self) -> str:
        return f"{self.dataset.path} ({self.split})"

    def read(self, context: ReadContext) -> Iterator[Example]:
        context = replace(context, columns=self.dataset.columns)
        records = hub_records(context.task.name, self.dataset, self.split)
        yield from record_examples(context, records)


def locate(task: Task, data: str | None) -> dict[str, Source]:
    """Return the source of each labelled split. Raises ValueError if there is none of train."""
    if task.files:
        return {split: source for split, source in _own(task).items() if source.labelled}
    if data is None:
        hub = _hub(task)
        return {split: HubSplit(hub, name) for split, name in hub.splits.items()}
    if not Folder(data).exists():
        raise ValueError(f"finetune.data: no folder {data}; name one, or set null for the Hub")
    if task.published is None:
        raise ValueError(
            f"finetune.data: {task.name} needs the Hub, which has it as {_hub(task).path}; "
            "give its files as a task of your own, or set data to null for the Hub"
        )
    found = _published_files(task.published, Folder(data))
    if TRAIN not in found:
        names = [name for name in task.published.files[TRAIN] if "*" not in name]
        wanted = [f"{folder}/{name}" for folder in task.published.folders for name in names]
        raise ValueError(
            f"finetune.data: {task.name} needs {' or '.join(wanted)}, which {data} does not have; "
            "put it there, take the task out of finetune.tasks, or set data to null for the Hub"
        )
    return {split: Files((fetch(UrlFile(url=url)),)) for split, url in found.items()}


def locate_unlabelled(task: Task, data: str | None) -> dict[str, Source]:
    """Return the source of each unlabelled split: of a published task, or the user's `test`."""
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
    """Return the source of each split in the user's own files; `test` may be unlabelled."""
    found: dict[str, Source] = {}
    for split, references in task.files.items():
        source = _of_references(task, references)
        if split == TEST and isinstance(source, Files):
            context = ReadContext(task, task.columns, labelled=False)
            source = replace(source, labelled=any(has_labels(context, f) for f in source.files))
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
    assert task.hub is not None  # every published task is on the Hub
    return task.hub


def _bases(folder: Folder) -> tuple[str | None, ...]:
    """Return the paths that may contain the tasks' folders: `folder`, and its `glue`."""
    return folder.path, _child(folder, folder.path, "glue")


def _url(folder: Folder, path: str) -> str:
    return path if folder.is_local else str(folder.filesystem.unstrip_protocol(path))


def _published_files(published: Published, folder: Folder) -> dict[str, str]:
    """Return the URL of each split's file below `folder` or its `glue`, ignoring case."""
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
    """Return the first path in `parent` that matches `name`, which may be a pattern, or None.

    Case is ignored.
    """
    if parent is None or not folder.filesystem.isdir(parent):
        return None
    paths = sorted(str(path).rstrip("/") for path in folder.filesystem.ls(parent, detail=False))
    return next(
        (path for path in paths if fnmatchcase(path.rsplit("/", 1)[-1].lower(), name.lower())), None
    )
