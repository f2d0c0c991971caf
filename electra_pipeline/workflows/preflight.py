"""Every place that a configuration names, checked before any work."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from electra_pipeline.config import PipelineConfig
from electra_pipeline.corpus.sources.config import FilesSource, HubSource
from electra_pipeline.finetuning.trial import RANDOM
from electra_pipeline.inputs.files import FileReference, PackageFile, UrlFile
from electra_pipeline.results import store
from electra_pipeline.storage.uri import (
    check_dataset_allowed,
    check_file_allowed,
    check_folder_allowed,
    check_model_allowed,
    is_restricted,
)
from electra_pipeline.tasks.catalog.user_task import find_task

# The key of the configuration, the place, and what checks it
Place = tuple[str, str, Callable[[str], None]]


def check_places(config: PipelineConfig) -> None:
    """Refuse passwords in places that are logged, and what a shared server does not allow.

    What is read later is checked again then, with its links and redirects. Raises ValueError, in
    one line, with the key.
    """
    for key, place, check in _places(config):
        try:
            check(place)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error


def _places(config: PipelineConfig) -> Iterator[Place]:
    yield "root", config.root, check_folder_allowed
    yield "database", config.database_url, _check_database
    if config.tokenizer.initialize_from is not None:
        yield "tokenizer.initialize_from", config.tokenizer.initialize_from, check_model_allowed
    pair = config.pretrain.initialize_from
    if pair is not None:
        for model in [pair] if isinstance(pair, str) else [pair.discriminator, pair.generator]:
            yield "pretrain.initialize_from", model, check_model_allowed
    yield from _of_corpus(config)
    yield from _of_finetune(config)


def _check_database(url: str) -> None:
    """Its password may stand in it, and is never shown."""
    if is_restricted() and (place := store.location(url)) is not None:
        check_folder_allowed(place)


def _of_corpus(config: PipelineConfig) -> Iterator[Place]:
    if config.corpus is None:
        return
    for index, source in enumerate(config.corpus.sources):
        if isinstance(source, HubSource):
            yield f"corpus.sources.{index}.path", source.path, check_dataset_allowed
        elif isinstance(source, FilesSource):
            yield from _files(f"corpus.sources.{index}.urls", source.urls)
    if config.corpus.decontaminate is not None:
        yield from _files("corpus.decontaminate.files", config.corpus.decontaminate.files)


def _of_finetune(config: PipelineConfig) -> Iterator[Place]:
    if config.finetune is None:
        return
    if config.finetune.data is not None:
        yield "finetune.data", config.finetune.data, check_folder_allowed
    for model in config.finetune.baselines:
        if model != RANDOM:
            yield "finetune.baselines", model, check_model_allowed
    for task in map(find_task, config.finetune.tasks):
        files = chain.from_iterable(task.files.values())
        yield from _files(f"finetune.tasks: {task.name}", files)


def _files(key: str, references: Iterable[FileReference]) -> Iterator[Place]:
    """Those that have a place; packages come from pip's index alone."""
    for reference in references:
        if not isinstance(reference, PackageFile):
            url = reference.url if isinstance(reference, UrlFile) else reference
            yield key, url, check_file_allowed
