"""Hugging Face datasets as sources: pinned to a commit, streamed, one partition per data file."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson

from electra_pipeline.core.errors import one_line
from electra_pipeline.core.identity import canonical_json, file_sha256
from electra_pipeline.corpus.sources.config import HubSource, shaping_fields
from electra_pipeline.corpus.sources.documents import RawDocument, raw_document, take_first
from electra_pipeline.inputs.columns import column_value
from electra_pipeline.inputs.decompression import Warn, log_warning
from electra_pipeline.storage.uri import (
    check_dataset_allowed,
    check_folder_allowed,
    is_restricted,
    printable,
)

# Files that `save_to_disk` writes in the folder of a split, and in the folder of several splits.
STATE = "state.json"
SPLITS = "dataset_dict.json"


@dataclass(frozen=True)
class HubPartition:
    """Data file `index` of the `num_files` of a hub dataset, at one `digest` (usually a commit)."""

    label: str
    reading: HubSource
    digest: str
    index: int
    num_files: int
    kind: ClassVar = ""

    @property
    def name(self) -> str:
        """Return the name for messages and the manifest."""
        return f"{self.reading.path} ({self.index + 1} of {self.num_files})"

    @property
    def identity(self) -> dict[str, Any]:
        """Return everything but the content that determines the documents."""
        # The key is older than the word partition.
        return shaping_fields(self.reading) | {"index": self.index, "num_pieces": self.num_files}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """Yield the documents in order. Raises ValueError if they cannot be read."""
        source = self.reading
        stream = _stream(source)
        if stream.num_shards != self.num_files:
            raise ValueError(f"{source.path}: its files changed since the run began; run again")
        records = _records(source, _projected(stream, source).shard(self.num_files, self.index))
        file = f"{source.path}: file {self.index + 1}"
        documents = (
            raw_document(record, source, source.path, f"{file}, record {number}")
            for number, record in enumerate(records, start=1)
        )
        return take_first(documents, source.max_documents_per_file)

    def check_readable(self) -> None:
        """Do nothing, as `plan_dataset` checked the dataset."""


def plan_dataset(source: HubSource) -> list[HubPartition]:
    """Return a partition for each data file of a dataset, with the current commit as its revision.

    Raises ValueError if the dataset, its configuration, split or text column does not exist, or if
    its path is not allowed.
    """
    from huggingface_hub import HfApi

    local = Path(source.path)
    check_dataset_allowed(source.path)
    if local.is_file():
        raise ValueError(f"{source.path}: a file, not a dataset; set type to files, urls to it")
    if source.path.startswith((".", "/", "~")) and not local.is_dir():
        raise ValueError(f"{source.path}: no such folder")
    if local.is_dir():
        label, pinned, digest = local.resolve().name, source, _folder_digest(local)
    else:
        with _named(source):
            digest = str(HfApi().dataset_info(source.path, revision=source.revision).sha)
        label = source.path if source.name is None else f"{source.path}:{source.name}"
        pinned = source.model_copy(update={"revision": digest})
    stream = _stream(pinned)
    columns = stream.column_names
    if not columns or source.text_column not in columns:
        # Only a record shows the columns inside an object.
        first = next(_records(source, _projected(stream, source)), None)
        names = columns or (source.text_column,)
        column_value(first or dict.fromkeys(map(str, names)), source.text_column, source.path)
    label, num_files = source.label or label, int(stream.num_shards)
    return [HubPartition(label, pinned, digest, index, num_files) for index in range(num_files)]


def _projected(stream: Any, source: HubSource) -> Any:
    """Return the stream with only the columns that are read, if the stream lists its columns."""
    names = stream.column_names or ()
    columns = [each for each in (source.text_column, source.url_column) if isinstance(each, str)]
    tops = [column if column in names else column.split(".")[0] for column in columns]
    wanted = [name for name in dict.fromkeys(tops) if name in names]
    has_text = bool(tops) and tops[0] in names
    return stream.select_columns(wanted) if has_text else stream


def _records(source: HubSource, stream: Any) -> Iterator[dict[str, Any]]:
    with _named(source):
        yield from stream


def _stream(source: HubSource) -> Any:
    import datasets  # takes seconds

    with _named(source):
        if (saved := _load_saved(source)) is not None:
            return saved
        files = _data_files(source) if is_restricted() else []
    for file in files:
        check_folder_allowed(file)
    with _named(source):
        return datasets.load_dataset(
            source.path,
            source.name,
            split=source.split,
            revision=source.revision,
            streaming=True,
        )


def _load_saved(source: HubSource) -> Any:
    """Return a dataset of `save_to_disk` as a stream with a shard per file; None for others."""
    import datasets

    folder = Path(source.path)
    if (folder / SPLITS).exists():
        splits = orjson.loads((folder / SPLITS).read_bytes())["splits"]
        if source.split not in splits:
            raise ValueError(f"it has the splits {', '.join(splits)}")
        folder = folder / source.split
    if not (folder / STATE).exists():
        return None
    files = orjson.loads((folder / STATE).read_bytes())["_data_files"]
    if not files:
        raise ValueError("it has no records")
    for file in files:  # which may contain any path
        check_folder_allowed(str(folder / file["filename"]))
    saved = datasets.load_from_disk(str(folder))
    return saved.to_iterable_dataset(num_shards=max(1, min(len(files), len(saved))))


def _data_files(source: HubSource) -> list[str]:
    """Return the URIs of the files of all splits, which a dataset's card may set to anything."""
    import datasets

    builder = datasets.load_dataset_builder(source.path, source.name, revision=source.revision)
    of_splits = (builder.config.data_files or {}).values()
    return [re.sub("@[^/]*", "", str(file), count=1) for files in of_splits for file in files]


@contextmanager
def _named(source: HubSource) -> Iterator[None]:
    """Raise a ValueError that names the dataset for any error."""
    try:
        yield
    except Exception as error:  # the client and its network layers raise many types
        raise ValueError(
            f"hub dataset {source.path!r}, name {source.name!r}, split {source.split!r}, "
            f"revision {source.revision!r}: {one_line(error)}; check these and the network"
        ) from error


def _folder_digest(folder: Path) -> str:
    """Return the sha256 over names and contents of a local dataset's files."""
    contents = {
        printable(path.relative_to(folder).as_posix()): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return hashlib.sha256(canonical_json(contents)).hexdigest()
