"""Text files whose class is the name of their folder: aclImdb, movie_reviews, 20 newsgroups."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from electra_pipeline.inputs.files import FileReference, PackageFile, SourceFile, UrlFile
from electra_pipeline.inputs.formats import FORMAT_OF_SUFFIX
from electra_pipeline.storage.stores import open_store
from electra_pipeline.storage.uri import check_file_allowed
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.files import read_text
from electra_pipeline.tasks.data.values import checked_text
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Task

SPLITS = {"train", "test", "dev", "valid", "validation"}
UNLABELLED = ("unsup", "unlabelled", "unlabeled")  # aclImdb's 50,000 reviews without a class


@dataclass(frozen=True)
class ClassFolders:
    """Files in one folder a class: a text each, or a text a line if each class has one file.

    Hidden files are ignored. The folders of `UNLABELLED` are dropped and counted, unless `labels`
    has them.
    """

    name: str
    files: tuple[SourceFile, ...]
    labelled: bool = True

    def read(self, context: ReadContext) -> Iterator[TextExample]:
        """Yield the texts in the order of classes and names.

        Raises ValueError for a folder that is none of the task's labels.
        """
        by_line = set(Counter(map(class_of, self.files)).values()) == {1}
        for file in self.files:
            label = class_of(file)
            if label in UNLABELLED and label not in (context.task.labels or ()):
                context.dropped[f"folder_{label}"] += 1
            elif context.is_allowed(label, file.name):
                yield from _texts(context, file, label, by_line)


def _texts(
    context: ReadContext, file: SourceFile, label: str, by_line: bool
) -> Iterator[TextExample]:
    content = read_text(context.task, file)
    name = f"{label}/{PurePath(file.name).name}"
    for number, text in enumerate(content.split("\n") if by_line else [content], start=1):
        if text.strip():
            identifier = f"{name}:{number}" if by_line else name
            text = checked_text(text, "the text", file.name).strip()
            yield TextExample(identifier, text, None, label)
        elif not by_line:
            context.dropped["empty_text"] += 1


def class_of(file: SourceFile) -> str:
    """Return the name of a file's folder."""
    return PurePath(file.name).parent.name


def find_class_folders(reference: FileReference) -> ClassFolders | None:
    """Return the files in a folder's folders, sorted; None if a reference is no such folder.

    Raises ValueError if the URI is not allowed, or if the folders are splits or have folders.
    """
    if isinstance(reference, PackageFile):
        return None
    url = reference.url if isinstance(reference, UrlFile) else reference
    check_file_allowed(url)
    if "::" in url or url.startswith(("http://", "https://")):
        return None
    filesystem, root = open_store(url)
    if not filesystem.isdir(root):
        return None
    paths: list[str] = []
    for folder in _entries(filesystem, root, "directory"):
        if inner := _entries(filesystem, folder, "directory"):
            raise ValueError(
                f"{url}: {PurePath(folder).name} contains folders, such as "
                f"{PurePath(inner[0]).name}; give the folder whose folders are classes"
            )
        paths += _entries(filesystem, folder, "file")
    files = tuple(_file(filesystem, path) for path in paths)
    if any(FORMAT_OF_SUFFIX.get(file.suffix, "text") != "text" for file in files):
        return None
    if files and {class_of(file) for file in files} <= SPLITS:
        raise ValueError(f"{url}: its folders are splits, not classes; give one of them")
    return ClassFolders(url, files) if files else None


def are_of_class_folders(task: Task, files: Sequence[SourceFile]) -> bool:
    """Return whether plain text files have their class from their folders, not their names."""
    is_text = task.format == "text" or (
        task.format == "auto" and all(FORMAT_OF_SUFFIX.get(f.suffix) == "text" for f in files)
    )
    if task.type != "classification" or not is_text:
        return False
    folders, labels = set(map(class_of, files)), set(task.labels or ())
    if not labels:
        return len(folders) > 1
    names = [[label for label in labels if label in PurePath(file.name).name] for file in files]
    is_named = any(len(found) == 1 for found in names)
    return folders <= labels or (bool(folders & labels) and not is_named)


def _entries(filesystem: Any, folder: str, kind: str) -> list[str]:
    """Return the paths of the files or folders in a folder, sorted, without hidden ones."""
    entries = filesystem.ls(folder, detail=True)
    paths = sorted(str(entry["name"]).rstrip("/") for entry in entries if entry["type"] == kind)
    return [path for path in paths if not PurePath(path).name.startswith(".")]


def _file(filesystem: Any, path: str) -> SourceFile:
    is_local = isinstance(filesystem, LocalFileSystem)
    uri = path if is_local else str(filesystem.unstrip_protocol(path))
    name = uri.encode("utf-8", "backslashreplace").decode()  # of bytes that are not UTF-8
    return SourceFile(name, "", uri)  # no digest: the examples are digested
