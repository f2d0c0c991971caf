"""Group many small files into few partitions, as each partition has files of its own on disk.

The content of a file decides whether it ends a group. A file that is added or changed therefore
changes one group (two if it ends one), wherever its name is in the order.
"""

from collections.abc import Sequence
from dataclasses import replace

import xxhash

from electra_pipeline.corpus.sources.partition import FilePartition

# A source with fewer small files has one partition for each, which costs two files on disk.
MIN_FILES = 512
SMALL_BYTES = 256 << 10
# About every 256th file ends a group; 16 MiB are cleaned in some seconds.
FILES_PER_GROUP = 256
MAX_FILES = 4 * FILES_PER_GROUP
MAX_BYTES = 16 << 20


def group_small_files(partitions: Sequence[FilePartition]) -> list[FilePartition]:
    """Return the partitions of one source in order, with consecutive small files in groups.

    Nothing is grouped if there are few small files.
    """
    if sum(map(_is_small, partitions)) < MIN_FILES:
        return list(partitions)
    grouped: list[FilePartition] = []
    group: list[FilePartition] = []
    num_bytes = 0
    for partition in partitions:
        is_small = _is_small(partition)
        if is_small:
            group.append(partition)
            num_bytes += partition.files[0].num_bytes or 0
        is_last = xxhash.xxh3_64_intdigest(partition.digest.encode()) % FILES_PER_GROUP == 0
        if is_last or not is_small or len(group) == MAX_FILES or num_bytes >= MAX_BYTES:
            grouped += [*_closed(group), *([] if is_small else [partition])]
            group, num_bytes = [], 0
    return [*grouped, *_closed(group)]


def _closed(group: Sequence[FilePartition]) -> list[FilePartition]:
    files = tuple(file for partition in group for file in partition.files)
    return [replace(group[0], files=files, is_group=True)] if group else []


def _is_small(partition: FilePartition) -> bool:
    size = partition.files[0].num_bytes
    return partition.part is None and size is not None and size < SMALL_BYTES
