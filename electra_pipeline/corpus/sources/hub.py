"""Hugging Face datasets as sources: pinned to a commit, streamed, one partition per data file."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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

    @property
    def name(self) -> str:
        return f"{self.reading.path} ({self.index + 1} of {self.num_files})"

    @property
    def kind(self) -> str:
        return ""

    @property
    def identity(self) -> dict[str, Any]:
        # The key is older than the word partition.
        return shaping_fields(self.reading) | {"index": self.index, "num_pieces": self.num_files}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        documents = read(self.reading, self.index, self.num_files)
        return take_first(documents, self.reading.max_documents_per_file)


def plan(source: HubSource) -> list[HubPartition]:
    """Return a partition for each data file of a dataset. Raises ValueError as `pin` does."""
    label, pinned, digest, num_files = pin(source)
    return [HubPartition(label, pinned, digest, index, num_files) for index in range(num_files)]


class Pinned(NamedTuple):
    """A dataset at a fixed version."""

    label: str
    source: HubSource  # with the commit as its revision
    digest: str
    num_files: int


def pin(source: HubSource) -> Pinned:
    """Resolve the revision of a dataset to its current commit.

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
        try:
            digest = str(HfApi().dataset_info(source.path, revision=source.revision).sha)
        except Exception as error:  # the client and its network layers raise many types
            raise _unusable(source, error) from error
        label = source.path if source.name is None else f"{source.path}:{source.name}"
        pinned = source.model_copy(update={"revision": digest})
    stream = _stream(pinned)
    columns = stream.column_names
    if not columns or source.text_column not in columns:
        # Only a record shows the columns inside an object.
        first = next(_records(source, _projected(stream, source)), None)
        names = columns or (source.text_column,)
        column_value(first or dict.fromkeys(map(str, names)), source.text_column, source.path)
    return Pinned(source.label or label, pinned, digest, int(stream.num_shards))


def read(source: HubSource, index: int, num_files: int) -> Iterator[RawDocument]:
    """Yield the documents of data file `index`. Raises ValueError if it cannot be read."""
    stream = _stream(source)
    if stream.num_shards != num_files:
        raise ValueError(f"{source.path}: its files changed since the run began; run again")
    records = _records(source, _projected(stream, source).shard(num_files, index))
    for number, record in enumerate(records, start=1):
        position = f"{source.path}: file {index + 1}, record {number}"
        yield raw_document(record, source, source.path, position)


def _projected(stream: Any, source: HubSource) -> Any:
    """Return the stream with only the columns that are read, if the stream lists its columns."""
    names = stream.column_names or ()
    columns = [each for each in (source.text_column, source.url_column) if isinstance(each, str)]
    tops = [column if column in names else column.split(".")[0] for column in columns]
    wanted = [name for name in dict.fromkeys(tops) if name in names]
    has_text = bool(tops) and tops[0] in names
    return stream.select_columns(wanted) if has_text else stream


def _records(source: HubSource, stream: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from stream
    except Exception as error:
        raise _unusable(source, error) from error


def _stream(source: HubSource) -> Any:
    import datasets  # takes seconds

    try:
        if (saved := _load_saved(source)) is not None:
            return saved
        files = _data_files(source) if is_restricted() else []
    except Exception as error:
        raise _unusable(source, error) from error
    for file in files:
        check_folder_allowed(file)
    try:
        return datasets.load_dataset(
            source.path,
            source.name,
            split=source.split,
            revision=source.revision,
            streaming=True,
        )
    except Exception as error:
        raise _unusable(source, error) from error


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


def _unusable(source: HubSource, error: Exception) -> ValueError:
    reason = one_line(error)
    return ValueError(
        f"hub dataset {source.path!r}, name {source.name!r}, split {source.split!r}, "
        f"revision {source.revision!r}: {reason}; check these and the network"
    )


def _folder_digest(folder: Path) -> str:
    """Return the sha256 over names and contents of a local dataset's files."""
    contents = {
        printable(path.relative_to(folder).as_posix()): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return hashlib.sha256(canonical_json(contents)).hexdigest()
