"""Group many small files into few partitions, as each partition has files of its own on disk.

The content of a file decides whether it ends a group. A file that is added or changed therefore
changes one group (two if it ends one), wherever its name is in the order.
"""

from collections.abc import Sequence

import xxhash

from electra_pipeline.corpus.sources.partition import FileGroup, FilePartition

# A source with fewer small files has one partition for each, which costs two files on disk.
MIN_FILES = 512
SMALL_BYTES = 256 << 10
# About every 256th file ends a group; 16 MiB are cleaned in some seconds.
FILES_PER_GROUP = 256
MAX_FILES = 4 * FILES_PER_GROUP
MAX_BYTES = 16 << 20


def group_small_files(partitions: Sequence[FilePartition]) -> list[FilePartition | FileGroup]:
    """Return the partitions of one source in order, with consecutive small files in groups.

    Nothing is grouped if there are few small files.
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


def _closed(group: Sequence[FilePartition]) -> list[FileGroup]:
    return [FileGroup(tuple(group))] if group else []


def _is_small(partition: FilePartition) -> bool:
    size = partition.file.num_bytes
    return partition.part is None and size is not None and size < SMALL_BYTES
