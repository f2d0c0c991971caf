"""Checks of a configuration before any work: URIs, permissions, database, sizes and data."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor
from electra_pipeline.corpus.sources.config import FilesSource, HubSource
from electra_pipeline.finetuning import plan
from electra_pipeline.finetuning.trial import RANDOM
from electra_pipeline.inputs.files import FileReference, PackageFile, UrlFile
from electra_pipeline.pretraining import loop
from electra_pipeline.results import store
from electra_pipeline.results.database import database_location
from electra_pipeline.storage import local_folders
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.permissions import check_writable
from electra_pipeline.storage.uri import (
    check_dataset_allowed,
    check_file_allowed,
    check_folder_allowed,
    check_model_allowed,
    is_restricted,
)
from electra_pipeline.tasks.catalog.user_task import find_task
from electra_pipeline.tokenizer import train as tokenizer_stage

# Key in the configuration, URI, and the check of the URI
CheckedUri = tuple[str, str, Callable[[str], None]]


def check(config: PipelineConfig, executor: Executor) -> None:
    """Raise ValueError, in one line, for what is certain to fail in a run of the chain."""
    if config.corpus is None:
        raise ValueError(
            "corpus: missing; name its sources, or evaluate an existing model: evaluate MODEL"
        )
    _check_environment(config, executor)
    tokenizer_stage.check(config.tokenizer)
    loop.check(config.pretrain, config.sequences.length, config.scale)
    if config.finetune is not None:
        plan.check(config.finetune)


def check_evaluation(config: PipelineConfig, executor: Executor) -> None:
    """Check an evaluation of an existing model; `plan_trials` checks the model and the data."""
    if config.finetune is None:
        raise ValueError("finetune: missing; name the tasks, for instance finetune.tasks=[cola]")
    _check_environment(config, executor)


def _check_environment(config: PipelineConfig, executor: Executor) -> None:
    check_uris(config)
    executor.check(config.scale, config.root)
    local_folders.temporary().check()
    if not Folder(config.root).is_local:
        local_folders.cache().check()
    check_writable(Folder(config.root))
    store.check(config.database_url)


def check_uris(config: PipelineConfig) -> None:
    """Refuse passwords in URIs that are logged, and URIs that a shared server does not allow.

    Links and redirects are checked again when files are read. Raises ValueError, in one line, with
    the key.
    """
    for key, uri, check_uri in _uris(config):
        try:
            check_uri(uri)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error


def _uris(config: PipelineConfig) -> Iterator[CheckedUri]:
    yield "root", config.root, check_folder_allowed
    yield "database", config.database_url, _check_database
    if config.tokenizer.initialize_from is not None:
        yield "tokenizer.initialize_from", config.tokenizer.initialize_from, check_model_allowed
    pair = config.pretrain.initialize_from
    if pair is not None:
        for model in [pair] if isinstance(pair, str) else [pair.discriminator, pair.generator]:
            yield "pretrain.initialize_from", model, check_model_allowed
    yield from _corpus_uris(config)
    yield from _finetune_uris(config)


def _check_database(url: str) -> None:
    """A password is allowed here: database URLs are never shown with it."""
    if is_restricted() and (location := database_location(url)) is not None:
        check_folder_allowed(location)


def _corpus_uris(config: PipelineConfig) -> Iterator[CheckedUri]:
    if config.corpus is None:
        return
    for index, source in enumerate(config.corpus.sources):
        if isinstance(source, HubSource):
            yield f"corpus.sources.{index}.path", source.path, check_dataset_allowed
        elif isinstance(source, FilesSource):
            yield from _file_uris(f"corpus.sources.{index}.urls", source.urls)
    if config.corpus.decontaminate is not None:
        yield from _file_uris("corpus.decontaminate.files", config.corpus.decontaminate.files)


def _finetune_uris(config: PipelineConfig) -> Iterator[CheckedUri]:
    if config.finetune is None:
        return
    if config.finetune.data is not None:
        yield "finetune.data", config.finetune.data, check_folder_allowed
    for model in config.finetune.baselines:
        if model != RANDOM:
            yield "finetune.baselines", model, check_model_allowed
    for task in map(find_task, config.finetune.tasks):
        files = chain.from_iterable(task.files.values())
        yield from _file_uris(f"finetune.tasks: {task.name}", files)


def _file_uris(key: str, references: Iterable[FileReference]) -> Iterator[CheckedUri]:
    """Yield the files that have a URI; those in packages are downloaded by pip alone."""
    for reference in references:
        if not isinstance(reference, PackageFile):
            url = reference.url if isinstance(reference, UrlFile) else reference
            yield key, url, check_file_allowed
