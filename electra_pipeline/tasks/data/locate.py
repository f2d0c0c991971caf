"""Find the data of a task's splits: its own files, files in a published layout, or the Hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePath

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


@dataclass(frozen=True)
class Files:
    """One split of a task in files, not read yet."""

    files: tuple[SourceFile, ...]
    columns: Columns | None = None
    """Their columns if they differ from the task's."""
    labelled: bool = True
    """Whether it is for training or scoring; if not, only for predictions."""

    @property
    def name(self) -> str:
        """Name the files in messages."""
        first, *others = (file.name for file in self.files)
        return f"{first} and {len(others)} more" if len(others) > 2 else ", ".join([first, *others])

    def read(self, context: ReadContext) -> Iterator[Example]:
        """Yield the examples in order."""
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
    """One split of a task on the Hugging Face Hub, or in any local folder that `datasets` loads."""

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


Source = Files | ClassFolders | HubSplit


def locate(task: Task, data: str | None) -> dict[str, Source]:
    """Return the source of each split. Raises ValueError if there is none of train.

    Splits whose labels are not public, and the user's `test` without labels, are `unlabelled`.
    """
    if task.files:
        return _own(task)
    if data is None:
        hub = _hub(task)
        found: dict[str, Source] = {
            split: HubSplit(hub, name) for split, name in hub.splits.items()
        }
        for split, (config, name) in hub.unlabelled.items():
            dataset = hub.model_copy(update={"config": config})
            found[split] = HubSplit(dataset, name, labelled=False)
        return found
    if not Folder(data).exists():
        raise ValueError(f"finetune.data: no folder {data}; name one, or set null for the Hub")
    if task.published is None:
        raise ValueError(
            f"finetune.data: {task.name} needs the Hub, which has it as {_hub(task).path}; "
            "give its files as a task of your own, or set data to null for the Hub"
        )
    return _published(task.name, task.published, data)


def _published(name: str, published: Published, data: str) -> dict[str, Source]:
    """Return the source of each split that `data` has in the layout of the task's authors."""
    found: dict[str, Source] = {}
    for split, names in published.files.items():
        candidates = [f"{folder}/{file}" for folder in published.folders for file in names]
        if (url := _find_url(Folder(data), candidates)) is not None:
            found[split] = Files((fetch(UrlFile(url=url)),))
        elif split == TRAIN:
            expected = [candidate for candidate in candidates if "*" not in candidate]
            raise ValueError(
                f"finetune.data: {name} needs {' or '.join(expected)}, which {data} does not "
                "have; put it there, take the task out of finetune.tasks, or set data to null for "
                "the Hub"
            )
    for split, path in published.unlabelled.items():
        if (url := _find_url(Folder(data), [path])) is not None:
            file = fetch(UrlFile(url=url))
            found[split] = Files((file,), published.unlabelled_columns, labelled=False)
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


def _find_url(folder: Folder, candidates: Sequence[str]) -> str | None:
    """Return the URL of the first relative path that exists below `folder`, else below its `glue`.

    Parts of the paths may be patterns; case is ignored.
    """
    for base in (folder.path, _child(folder, folder.path, "glue")):
        for candidate in candidates:
            path = base
            for part in candidate.split("/"):
                path = _child(folder, path, part)
            if path is not None:
                is_local = folder.is_local
                return path if is_local else str(folder.filesystem.unstrip_protocol(path))
    return None


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
