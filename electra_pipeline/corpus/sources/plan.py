"""Find the files of all sources and divide them into partitions."""

from collections.abc import Sequence
from itertools import groupby

from electra_pipeline.corpus.progress import Report
from electra_pipeline.corpus.sources import hub
from electra_pipeline.corpus.sources.config import (
    FileReading,
    HubSource,
    PackageSource,
    Source,
    default_label,
)
from electra_pipeline.corpus.sources.file_groups import group_small_files
from electra_pipeline.corpus.sources.partition import (
    FileGroup,
    FilePartition,
    Partition,
)
from electra_pipeline.corpus.sources.readers import count_parts
from electra_pipeline.inputs.files import SourceFile, expand, fetch
from electra_pipeline.inputs.parts import Part


def no_report(done: int, total: int) -> None:
    """Report nothing."""


def plan(sources: Sequence[Source], report: Report = no_report) -> list[Partition]:
    """Return the partitions of all sources in order; http files and wheels are downloaded here.

    `report` receives the number of files that were looked up and of those found so far. Raises
    ValueError if a file, dataset or split is missing or has another digest than the one given.
    """
    partitions: list[Partition] = []
    num_looked_up = 0
    for source in sources:
        if isinstance(source, HubSource):
            partitions += hub.plan(source)
            continue
        reading = FileReading(**source.model_dump(include=set(FileReading.model_fields)))
        references = (source,) if isinstance(source, PackageSource) else source.urls
        of_source: list[FilePartition] = []
        for reference in references:
            label = source.label or default_label(reference)
            report(num_looked_up, num_looked_up + 1)
            found = expand(reference)
            for number, each in enumerate(found):
                report(num_looked_up + number, num_looked_up + len(found))
                file = fetch(each, reading.max_expansion)
                of_source += [
                    FilePartition(label, file, reading, part) for part in _parts(file, reading)
                ]
            num_looked_up += len(found)
        for _, of_label in groupby(of_source, lambda partition: partition.label):
            partitions += group_small_files(list(of_label))
    return partitions


def _parts(file: SourceFile, reading: FileReading) -> list[Part | None]:
    """Return the parts of a large file that can be read apart; [None] for a file read whole."""
    if reading.max_documents_per_file is not None:
        return [None]
    number = count_parts(file, reading)
    return [Part(index, number) for index in range(number)] if number > 1 else [None]


def check_readable(partition: Partition) -> None:
    """Read the first document of each file. Raises ValueError for a wrong format or column.

    A hub dataset was checked when it was planned.
    """
    for file in partition.files if isinstance(partition, FileGroup) else [partition]:
        if isinstance(file, FilePartition):
            next(file.read(lambda message: None), None)  # reading the whole file logs the warning
