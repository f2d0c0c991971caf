"""Encoders to fine-tune: any of transformers, from an artifact, a directory, a URI or the hub."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers
from torch import nn

from electra_pipeline.core.identity import file_sha256
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.storage.artifact import Artifact, open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.models import NO_CODE, load_problem, model_directory
from electra_pipeline.tasks.kinds.kind import TaskKind

# Files whose contents make up a model; cards and pictures do not.
MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja")
# Types of models whose table of positions has `max_position_embeddings` rows and reserves none. To
# build a model, in order to look, takes a second: transformers imports torch's compiler for it.
PLAIN_POSITIONS = ("bert", "electra")
DIGITS = 12  # as many hex digits as an artifact's fingerprint has


@dataclass(frozen=True)
class Encoder:
    """A trained encoder and the identity of its weights. Picklable."""

    model: str
    """Path or URI of a published or fine-tuned artifact or a Hugging Face directory, or a name on
    the hub."""
    fingerprint: str
    """Of the artifact; else a digest of the directory's files, or of the hub's name and commit."""
    revision: str | None = None
    """Commit on the hub."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, for `from_pretrained`."""

    model: str
    """As the user gave it, for messages."""
    directory: str
    """A local directory, or a name on the hub."""
    revision: str | None

    def load(self, loader: Any, **options: Any) -> Any:
        """Return what `loader` reads, without its logs.

        loader: a class with `from_pretrained`. Raise ValueError in one line if it fails.
        """
        if self.revision is not None:
            options["revision"] = self.revision
        try:
            with quiet_transformers():
                return loader.from_pretrained(self.directory, **NO_CODE, **options)
        except Exception as error:  # of transformers, tokenizers, safetensors, pickle
            raise ValueError(
                f"{self.model}: {loader.__name__} cannot load it: {load_problem(error)}; give the "
                "folder or the hub name of an encoder with its tokenizer"
            ) from error


def find_encoder(model: Artifact | str) -> Encoder:
    """Return the encoder of an artifact, path, URI or hub name. Raise ValueError without one."""
    name = str(model.folder) if isinstance(model, Artifact) else model
    folder = Folder(name)
    if folder.exists() and folder.is_local:
        name = folder.path  # absolute, because a worker has another working directory
    with model_directory(name, generator=False) as directory:
        artifact = open_artifact(folder) if folder.exists() else None
        if artifact is not None:
            return Encoder(name, artifact.fingerprint)
        if Path(directory).is_dir():
            return Encoder(name, _digest(Path(directory)))
        found = ModelFiles(name, directory, None).load(transformers.AutoConfig)
        commit = getattr(found, "_commit_hash", None) or ""
        return Encoder(name, _digits(f"{name}@{commit}".encode()), commit or None)


@contextmanager
def open_encoder(encoder: Encoder) -> Iterator[ModelFiles]:
    """Yield an encoder's files. Raise ValueError if they changed since `find_encoder`."""
    with model_directory(encoder.model, generator=False) as directory:
        folder = Folder(encoder.model)
        is_plain = Path(directory).is_dir() and open_artifact(folder) is None
        if is_plain and _digest(Path(directory)) != encoder.fingerprint:
            raise ValueError(
                f"{encoder.model}: the model changed since its trials were planned; run it again"
            )
        yield ModelFiles(encoder.model, directory, encoder.revision)


def architecture(encoder: Encoder) -> Any:
    """Return the config. Raise ValueError if it is no encoder's, or for an unusable tokenizer."""
    with open_encoder(encoder) as source:
        config = source.load(transformers.AutoConfig)
        check_encoder(encoder.model, config)
        load_tokenizer(source, config, of_words=False)
        return config


def check_encoder(model: str, config: Any) -> None:
    """Raise ValueError for causal models and models with a decoder."""
    is_masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    is_causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if getattr(config, "is_decoder", False) or (
        not is_masked and (is_causal or config.is_encoder_decoder)
    ):
        raise ValueError(
            f"{model}: a decoder or a model with one ({config.model_type}); give an encoder"
        )


def load_tokenizer(source: ModelFiles, config: Any, *, of_words: bool) -> Any:
    """Return the tokenizer, adapted to its model; `of_words` if its inputs are lists of words.

    Byte-level tokenizers mark a word by the space before it, so each word of a list gets one. Raise
    ValueError for a tokenizer that does not fit the model, or is not an encoder's.
    """
    tokenizer = source.load(transformers.AutoTokenizer)
    if of_words and not _splits_alike(tokenizer):
        tokenizer = source.load(transformers.AutoTokenizer, add_prefix_space=True)
        _add_prefix_space(tokenizer)
    num_rows = getattr(config, "vocab_size", 0)  # character models have none
    # Without tokenizer files transformers makes up a vocabulary of special tokens.
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= num_rows:
        raise ValueError(
            f"{source.model}: its tokenizer has {len(tokenizer)} tokens, and the model embeds "
            f"{num_rows}; put the tokenizer's files beside the model that was trained with it"
        )
    if not tokenizer.is_fast:
        raise ValueError(
            f"{source.model}: its tokenizer is written in Python and has no offsets; save it as "
            "tokenizer.json"
        )
    if tokenizer.padding_side != "right":
        raise ValueError(
            f"{source.model}: its tokenizer pads on the {tokenizer.padding_side}, as decoders' do; "
            "give an encoder"
        )
    if getattr(config, "type_vocab_size", 0) < 2:
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
    return tokenizer


def num_positions(config: Any) -> int | None:
    """Return the longest input in tokens; None if it is unlimited.

    RoBERTa and similar models reserve the first rows of their position table for padding.
    """
    if config.model_type in PLAIN_POSITIONS:
        return int(config.max_position_embeddings)
    with torch.device("meta"), quiet_transformers():
        encoder = transformers.AutoModel.from_config(config)
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    return getattr(config, "max_position_embeddings", None)


def new_model(kind: TaskKind[Any, Any], config: Any, weights: ModelFiles | None) -> Any:
    """Return a task's model in float32: a new head on the encoder of `weights`, or a random one.

    The head is the same for the same state of torch's generator, whatever the encoder. Raise
    ValueError if weights of the encoder are missing or unused; the pooler may be new, because not
    all encoders have one.
    """
    model = kind.build(config).float()
    if weights is None:
        return model
    encoder, report = weights.load(
        transformers.AutoModel, dtype=torch.float32, output_loading_info=True
    )
    check_all_used(weights.model, encoder, report)
    found = {
        name: value
        for name, value in encoder.state_dict().items()
        if name not in report["missing_keys"]
    }
    missing = model.base_model.load_state_dict(found, strict=False).missing_keys
    if required := sorted(name for name in missing if "pooler" not in name):
        raise ValueError(
            f"{weights.model}: {len(required)} weights of the encoder are missing, such as "
            f"{required[0]}; "
            "its files are of another model or incomplete"
        )
    return model


def check_all_used(model: str, module: Any, report: Any) -> None:
    """Raise ValueError if an encoder's files have weights that its config does not use.

    These are of more layers, or of relative positions (`relative_key`): without them it would be
    another encoder. Heads, poolers and position ids may be unused.

    module: the loaded model; report: the loading info of `from_pretrained`.
    """
    prefix = f"{module.base_model_prefix}."
    parts = {name for name, _ in module.base_model.named_children()}
    unused = sorted(
        key
        for key in report["unexpected_keys"]
        if (key.startswith(prefix) or key.partition(".")[0] in parts)
        and not ("pooler" in key or key.endswith((".position_ids", ".token_type_ids")))
    )
    if unused:
        raise ValueError(
            f"{model}: {len(unused)} weights of the encoder have no use in "
            f"{type(module).__name__} with its config.json, such as {unused[0]}; give the config "
            "they were trained with, or load and save it with transformers if they are not needed"
        )


def _splits_alike(tokenizer: Any) -> bool:
    """Return whether a list of words has the same tokens as a text of them."""
    apart = tokenizer(["a", "a"], is_split_into_words=True, add_special_tokens=False)
    together = tokenizer("a a", add_special_tokens=False)
    return bool(apart["input_ids"] == together["input_ids"])


def _add_prefix_space(tokenizer: Any) -> None:
    """Set `add_prefix_space` in tokenizers whose class ignores it as an argument."""
    first: Any = tokenizer.backend_tokenizer.pre_tokenizer
    is_sequence = isinstance(first, pre_tokenizers.Sequence)
    for each in first if is_sequence else [first]:
        if isinstance(each, pre_tokenizers.ByteLevel):
            each.add_prefix_space = True


def _digest(directory: Path) -> str:
    """Return a digest of the names and contents of a model directory's files."""
    files = (each for each in sorted(directory.iterdir()) if each.is_file())
    lines = [
        f"{each.name} {file_sha256(each)}\n" for each in files if each.suffix in MODEL_SUFFIXES
    ]
    return _digits("".join(lines).encode())


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
