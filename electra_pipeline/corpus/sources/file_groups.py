"""Group many small files into few partitions, as each partition costs files of its own on disk.

Where a group ends is decided by the content of its last file, so that a file which is added or
changed makes one group new (two where it ends one), wherever its name stands in the order.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

from electra_pipeline.corpus.sources.config import FileReading, RawDocument, shaping_fields
from electra_pipeline.inputs.decompression import Warn, log_warning

if TYPE_CHECKING:  # which plans with groups
    from electra_pipeline.corpus.sources.readers import FilePartition

# Fewer small files of a source are partitions of their own, each of which costs two files.
MIN_FILES = 512
SMALL_BYTES = 256 << 10
# About every 256th file ends a group; 16 MiB are cleaned in some seconds.
FILES_PER_GROUP = 256
MAX_FILES = 4 * FILES_PER_GROUP
MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class FileGroup:
    """Small files of one source, one after the other."""

    files: "tuple[FilePartition, ...]"

    @property
    def label(self) -> str:
        return self.files[0].label

    @property
    def reading(self) -> FileReading:
        return self.files[0].reading

    @property
    def name(self) -> str:
        return f"{self.files[0].name} to {self.files[-1].name} ({len(self.files)} files)"

    @property
    def kind(self) -> str:
        return ".group"

    @property
    def digest(self) -> str:
        """Sha256 over how each file is understood and its content."""
        told = "".join(f"{file.kind} {file.digest}\n" for file in self.files)
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "part": None, **shaping_fields(self.reading)}

    def read(self, warn: Warn = log_warning) -> Iterator[RawDocument]:
        """The files' documents in order. Raises ValueError for what cannot be read."""
        for file in self.files:
            yield from file.read(warn)


def group_small_files(partitions: "Sequence[FilePartition]") -> "list[FilePartition | FileGroup]":
    """The partitions of one source in their order, small files that follow one another as groups.

    Where there are few of them nothing is grouped.
    """
    if sum(map(_is_small, partitions)) < MIN_FILES:
        return list(partitions)
    grouped: list[FilePartition | FileGroup] = []
    group: list[FilePartition] = []
    num_bytes = 0
    for partition in partitions:
        if not _is_small(partition):
            grouped += [*_closed(group), partition]
            group, num_bytes = [], 0
            continue
        group.append(partition)
        num_bytes += partition.file.num_bytes or 0
        is_last = xxhash.xxh3_64_intdigest(partition.digest.encode()) % FILES_PER_GROUP == 0
        if is_last or len(group) == MAX_FILES or num_bytes >= MAX_BYTES:
            grouped += _closed(group)
            group, num_bytes = [], 0
    return [*grouped, *_closed(group)]


def _closed(group: "Sequence[FilePartition]") -> "list[FilePartition | FileGroup]":
    return [FileGroup(tuple(group))] if group else []


def _is_small(partition: "FilePartition") -> bool:
    size = partition.file.num_bytes
    return partition.part is None and size is not None and size < SMALL_BYTES
