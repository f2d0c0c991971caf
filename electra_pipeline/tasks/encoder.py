"""What trials start from: any encoder that transformers knows, wherever it lies."""

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
from electra_pipeline.tasks.kinds.kind import Problem

# What a model directory's bytes depend on; cards and pictures are left out.
MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja")
DIGITS = 12  # as many hex digits as an artifact's fingerprint has


@dataclass(frozen=True)
class Encoder:
    """A trained encoder: where it lies, and what tells its weights from all others. Picklable."""

    place: str
    """A published or fine-tuned artifact, a Hugging Face directory, their URI, or a hub name."""
    fingerprint: str
    """The artifact's; else a digest of the directory's files, or of the hub's name and commit."""
    revision: str | None = None
    """The hub's commit."""


@dataclass(frozen=True)
class Opened:
    """An encoder's directory, for `from_pretrained`."""

    place: str
    directory: str
    revision: str | None

    def load(self, loader: Any, **options: Any) -> Any:
        """What `loader` reads there, quietly. Raises ValueError in one line if it cannot."""
        if self.revision is not None:
            options["revision"] = self.revision
        try:
            with quiet_transformers():
                return loader.from_pretrained(self.directory, **NO_CODE, **options)
        except Exception as error:  # of transformers, tokenizers, safetensors, pickle
            raise ValueError(
                f"{self.place}: {loader.__name__} cannot load it: {load_problem(error)}; give the "
                "folder or the hub name of an encoder with its tokenizer"
            ) from error


def find_encoder(model: Artifact | str) -> Encoder:
    """The encoder of an artifact, or at a place. Raises ValueError if there is none."""
    place = str(model.folder) if isinstance(model, Artifact) else model
    folder = Folder(place)
    if folder.exists():
        place = folder.path if folder.is_local else place  # a worker has another working directory
    with model_directory(place, generator=False) as directory:
        artifact = open_artifact(folder) if folder.exists() else None
        if artifact is not None:
            return Encoder(place, artifact.fingerprint)
        if Path(directory).is_dir():
            return Encoder(place, _digest(Path(directory)))
        found = Opened(place, directory, None).load(transformers.AutoConfig)
        commit = getattr(found, "_commit_hash", None) or ""
        return Encoder(place, _digits(f"{place}@{commit}".encode()), commit or None)


@contextmanager
def opened(encoder: Encoder) -> Iterator[Opened]:
    """Where an encoder's files can be read. Raises ValueError if they are others than before."""
    with model_directory(encoder.place, generator=False) as directory:
        folder = Folder(encoder.place)
        is_plain = Path(directory).is_dir() and open_artifact(folder) is None
        if is_plain and _digest(Path(directory)) != encoder.fingerprint:
            raise ValueError(
                f"{encoder.place}: the model changed since its trials were planned; run it again"
            )
        yield Opened(encoder.place, directory, encoder.revision)


def architecture(encoder: Encoder) -> Any:
    """The encoder's transformers config. Raises ValueError if it is none, or for its tokenizer."""
    with opened(encoder) as source:
        config = source.load(transformers.AutoConfig)
        check_encoder(encoder.place, config)
        load_tokenizer(source, config, of_words=False)
        return config


def check_encoder(place: str, config: Any) -> None:
    """Raise ValueError for models that see no token to the right, or have a decoder."""
    is_masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    is_causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if getattr(config, "is_decoder", False) or (
        not is_masked and (is_causal or config.is_encoder_decoder)
    ):
        raise ValueError(
            f"{place}: a decoder or a model with one ({config.model_type}); give an encoder"
        )


def load_tokenizer(source: Opened, config: Any, *, of_words: bool) -> Any:
    """The tokenizer, set to what its model takes; `of_words` where it is given words one by one.

    Byte-level tokenizers know a word by the space before it, so words get one too. Raises
    ValueError for a tokenizer that is not of this model, or not an encoder's.
    """
    tokenizer = source.load(transformers.AutoTokenizer)
    if of_words and not _knows_words(tokenizer):
        tokenizer = source.load(transformers.AutoTokenizer, add_prefix_space=True)
        _give_words_a_space(tokenizer)
    num_rows = getattr(config, "vocab_size", 0)  # models of characters have none
    # Without tokenizer files transformers makes up a vocabulary of special tokens.
    if not len(tokenizer.all_special_ids) < len(tokenizer) <= num_rows:
        raise ValueError(
            f"{source.place}: its tokenizer has {len(tokenizer)} tokens, and the model embeds "
            f"{num_rows}; put the tokenizer's files beside the model that was trained with it"
        )
    if not tokenizer.is_fast:
        raise ValueError(
            f"{source.place}: its tokenizer is written in Python and knows no offsets; save it as "
            "tokenizer.json"
        )
    if tokenizer.padding_side != "right":
        raise ValueError(
            f"{source.place}: its tokenizer pads on the {tokenizer.padding_side}, as decoders' do; "
            "give an encoder"
        )
    if getattr(config, "type_vocab_size", 0) < 2:
        names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        tokenizer.model_input_names = names
    return tokenizer


def num_positions(config: Any) -> int | None:
    """The longest input in tokens; None where there is no bound.

    RoBERTa and its like keep the first rows of their position table for padding.
    """
    with torch.device("meta"), quiet_transformers():
        encoder = transformers.AutoModel.from_config(config)
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    return getattr(config, "max_position_embeddings", None)


def new_model(problem: Problem[Any, Any], config: Any, weights: Opened | None) -> Any:
    """A task's model in float32: a new head, on the encoder at `weights` or on random weights.

    The head is the same for the same state of torch's generator, whatever the encoder. Raises
    ValueError if weights of the encoder are missing or left over; a pooler may be new, as not all
    have one.
    """
    model = problem.build(config).float()
    if weights is None:
        return model
    encoder, report = weights.load(
        transformers.AutoModel, dtype=torch.float32, output_loading_info=True
    )
    check_all_used(weights.place, encoder, report)
    found = {
        name: value
        for name, value in encoder.state_dict().items()
        if name not in report["missing_keys"]
    }
    missing = model.base_model.load_state_dict(found, strict=False).missing_keys
    lost = sorted(name for name in missing if "pooler" not in name)
    if lost:
        raise ValueError(
            f"{weights.place}: {len(lost)} weights of the encoder are missing, such as {lost[0]}; "
            "its files are of another model or incomplete"
        )
    return model


def check_all_used(place: str, model: Any, report: Any) -> None:
    """Raise ValueError if an encoder's files have weights that its config leaves no use for.

    They are of more layers, or of relative positions (`relative_key`): without them the encoder is
    another one. Heads, poolers and the numbers of positions may be left over.
    """
    prefix = f"{model.base_model_prefix}."
    parts = {name for name, _ in model.base_model.named_children()}
    unused = sorted(
        key
        for key in report["unexpected_keys"]
        if (key.startswith(prefix) or key.partition(".")[0] in parts)
        and not ("pooler" in key or key.endswith((".position_ids", ".token_type_ids")))
    )
    if unused:
        raise ValueError(
            f"{place}: {len(unused)} weights of the encoder have no use in "
            f"{type(model).__name__} with its config.json, such as {unused[0]}; give the config "
            "they were trained with, or load and save it with transformers if they are not needed"
        )


def _knows_words(tokenizer: Any) -> bool:
    """Whether words given one by one become the tokens that they are in a text."""
    apart = tokenizer(["a", "a"], is_split_into_words=True, add_special_tokens=False)
    together = tokenizer("a a", add_special_tokens=False)
    return bool(apart["input_ids"] == together["input_ids"])


def _give_words_a_space(tokenizer: Any) -> None:
    """What `add_prefix_space` does in classes of one architecture, for those that ignore it."""
    first: Any = tokenizer.backend_tokenizer.pre_tokenizer
    is_sequence = isinstance(first, pre_tokenizers.Sequence)
    for each in first if is_sequence else [first]:
        if isinstance(each, pre_tokenizers.ByteLevel):
            each.add_prefix_space = True


def _digest(directory: Path) -> str:
    """Of the names and contents of a model directory's files."""
    digest = hashlib.sha256()
    for file in sorted(directory.iterdir()):
        if file.is_file() and file.suffix in MODEL_SUFFIXES:
            digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()[:DIGITS]


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
