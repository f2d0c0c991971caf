"""The initial models of a pre-training: their files, found, downloaded and hashed."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

from electra_pipeline.core.errors import first_line
from electra_pipeline.core.identity import Config, canonical_json
from electra_pipeline.pretraining.sizes import Kind
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.models import (
    NO_CODE,
    TOKENIZER_FILES,
    load_problem,
    model_directory,
    weights_files,
)

KINDS: tuple[Kind, ...] = ("discriminator", "generator")


class InitialModels(Config):
    """The two models of a pair, if they are not in one directory."""

    discriminator: str
    """A Hugging Face directory (path or URI) or the name of a model on the hub."""
    generator: str
    """Likewise, for the generator."""


@contextmanager
def directories(source: str | InitialModels) -> Iterator[dict[Kind, Path]]:
    """Provide local directories of the two models, downloaded if necessary.

    source: a folder or URI with `discriminator/` and `generator/`, such as a published artifact; a
    name on the hub without its ending -discriminator or -generator; or the two models separately.

    Raises ValueError if one is missing. Every ValueError within the block gets the name of the
    configuration key.
    """
    try:
        uris = _uris(source)
        with ExitStack() as stack:
            found: dict[Kind, Path] = {}
            for kind in KINDS:
                directory = stack.enter_context(
                    model_directory(uris[kind], generator=kind == "generator")
                )
                is_local = Path(directory).is_dir()
                found[kind] = Path(directory) if is_local else _download(directory)
            yield found
    except ValueError as error:
        raise ValueError(f"pretrain.initialize_from: {error}") from error


def _uris(source: str | InitialModels) -> dict[Kind, str]:
    if isinstance(source, InitialModels):
        return {"discriminator": source.discriminator, "generator": source.generator}
    folder = Folder(source)
    if (
        not folder.exists()
        and folder.is_local
        and source.count("/") == 1
        and source[0] not in "./~"
    ):
        return {kind: f"{source}-{kind}" for kind in KINDS}
    for kind in KINDS:
        if not folder.exists(f"{kind}/config.json"):
            raise ValueError(
                f"{source} has no {kind}/config.json; give a published "
                "artifact, a name on the hub, or {discriminator: ..., generator: ...}"
            )
    return {kind: str(folder / kind) for kind in KINDS}


def _download(name: str) -> Path:
    """Download a model from the hub, preferring safetensors to pickles."""
    from huggingface_hub import snapshot_download  # takes half a second
    from huggingface_hub.errors import HFValidationError

    try:
        for pattern in ("model*.safetensors", "pytorch_model*.bin"):
            patterns = ["*.json", "*.txt", pattern]
            directory = Path(snapshot_download(name, allow_patterns=patterns))
            if any(directory.glob(pattern)):
                break
    except (OSError, HFValidationError) as error:
        reason = first_line(error)
        raise ValueError(
            f"{name} cannot be downloaded from the hub ({reason}); "
            "give the name of a model there, or a directory"
        ) from error
    return directory


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object from a model's file. Raises ValueError if the file has none."""
    try:
        value = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({error}); copy it again") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file} contains no JSON object; copy it again")
    return value


def digests(source: str | InitialModels) -> dict[str, str]:
    """Return the inputs that a pair adds to a run's identity: sha256 of weights and vocabulary."""
    with directories(source) as found:
        inputs = {}
        for kind, directory in found.items():
            digest = hashlib.sha256()
            for path in weights_files(directory):
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
            inputs[f"initial_{kind}"] = digest.hexdigest()
        vocabulary = canonical_json(read_vocabulary(found["discriminator"]))
        return {**inputs, "initial_vocabulary": hashlib.sha256(vocabulary).hexdigest()}


def has_tokenizer(directory: Path) -> bool:
    """Return whether a directory has the files of a tokenizer."""
    return any((directory / name).exists() for name in TOKENIZER_FILES)


def read_vocabulary(directory: Path) -> dict[str, int]:
    """Return the id of each token of a model. Raises ValueError if it has no tokenizer."""
    # without these files transformers invents a tokenizer with five tokens
    if not has_tokenizer(directory):
        raise ValueError(
            f"{directory} has no tokenizer.json or vocab.txt; add "
            "it, because it maps the tokens to rows of the embeddings"
        )
    import transformers  # takes half a second

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **NO_CODE)
    except Exception as error:  # of tokenizers, which raises Exception itself, and transformers
        raise ValueError(
            f"the tokenizer in {directory} cannot be read ({load_problem(error)}); copy it again"
        ) from error
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids
