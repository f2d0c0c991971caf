"""Continue from a trained pair: its weights, with or without its vocabulary."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.pretraining.encoder import LAYER_NORM_EPSILON
from electra_pipeline.pretraining.initial_files import (
    InitialModels,
    Kind,
    directories,
    has_tokenizer,
    pieces_of,
    read_object,
    weights_files,
)
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.sizes import ModelConfig
from electra_pipeline.storage.models import find_nonfinite_weight, load_problem

logger = logging.getLogger(__name__)

EMBEDDINGS = "electra.embeddings"
TABLES = tuple(
    f"{EMBEDDINGS}.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
)
WORDS, POSITIONS, _ = TABLES
HEAD, HEAD_BIAS = "generator_lm_head.weight", "generator_lm_head.bias"
# What a config.json has that does not name it. transformers 5 has no other positions any more.
ABSENT = {"position_embedding_type": "absolute"}
# What is the same in every model that is trained here
FIXED: dict[str, Any] = {
    "hidden_act": "gelu",
    "type_vocab_size": 2,
    "layer_norm_eps": LAYER_NORM_EPSILON,
    "is_decoder": False,
    **ABSENT,
}

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """A trained generator and discriminator."""

    discriminator: Weights
    """Of a `transformers.ElectraForPreTraining`, by its names."""
    generator: Weights
    """Of a `transformers.ElectraForMaskedLM`, by its names."""
    pieces: Mapping[str, int]
    """The row of each piece of the vocabulary."""


def check(source: str | InitialModels, shape: ModelConfig, length: int) -> None:
    """Raise ValueError, in one line, unless all of the pair carries over into the configured shape.

    Of a shape it names the first difference and the `--set`s that mend all of them. Positions of
    sequences of `length` tokens that the pair does not have are warned of.
    """
    with directories(source) as found:
        for kind, directory in found.items():
            _check_config(kind, directory, shape)
    pair = read(source)
    own = [name for name in _embeddings(pair.generator) if not _is_shared(pair, name)]
    if shape.embedding_sharing == "tied" and own:
        raise ValueError(
            f"pretrain.initialize_from: generator and discriminator differ in {own[0]}, and tied "
            "embeddings keep the discriminator's alone; give --set "
            "pretrain.model.embedding_sharing=gdes, or a pair that was trained with tied ones"
        )
    num_positions = min(len(pair.generator[POSITIONS]), len(pair.discriminator[POSITIONS]))
    if num_positions < length:
        logger.warning(
            "pretrain.initialize_from: the pair has %d positions, and sequences.length is %d: the "
            "positions beyond start from random weights",
            *(num_positions, length),
        )


def _embeddings(weights: Weights) -> list[str]:
    return [name for name in weights if name.startswith(f"{EMBEDDINGS}.")]


def _is_shared(pair: Pair, name: str) -> bool:
    return torch.equal(pair.generator[name], pair.discriminator[name])


def _check_config(kind: Kind, directory: Path, shape: ModelConfig) -> None:
    """Raise ValueError unless config.json is that of the configured shape."""
    config = read_object(directory / "config.json")
    place = f"pretrain.initialize_from: the {kind} in {directory}"
    if config.get("model_type") != "electra":
        raise ValueError(f"{place} is of type {config.get('model_type')!r}, not 'electra'")
    try:
        given = ABSENT | transformers.ElectraConfig.from_dict(config).to_dict()
    except Exception as error:  # of the validation that transformers uses
        raise ValueError(
            f"{place} has a config.json that cannot be used ({load_problem(error)}); repair it"
        ) from error
    wanted = _wanted(kind, shape)
    differing = [name for name in wanted if given[name] != wanted[name]]
    if not differing:
        return
    name = differing[0]
    sets = [_remedy(kind, each, given, shape) for each in differing if name not in FIXED]
    mending = " ".join(each for each in sets if each)
    raise ValueError(
        f"{place} has {name} {given[name]}, and {wanted[name]} is configured; "
        + (f"give --set {mending}" if mending else "give another pair")
    )


def _wanted(kind: Kind, shape: ModelConfig) -> dict[str, Any]:
    """Keys of transformers' configuration that give the weights their shapes and meaning.

    Those that nothing here can change come first.
    """
    if kind == "discriminator":
        return FIXED | {
            "embedding_size": shape.embedding_size,
            "hidden_size": shape.hidden_size,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "intermediate_size": shape.feed_forward_size,
        }
    return FIXED | {
        "embedding_size": shape.embedding_size,
        "hidden_size": shape.generator_hidden_size,
        "num_hidden_layers": shape.generator_num_layers,
        "num_attention_heads": shape.generator_num_heads,
        "intermediate_size": 4 * shape.generator_hidden_size,
    }


def _remedy(kind: Kind, name: str, given: Mapping[str, Any], shape: ModelConfig) -> str | None:
    """The `--set` that makes the configured shape agree, if there is one."""
    if kind == "generator":
        fractions = {
            "hidden_size": ("generator_width_fraction", shape.hidden_size),
            "num_hidden_layers": ("generator_depth_fraction", shape.num_layers),
        }
        if name not in fractions:
            return None
        key, whole = fractions[name]
        return f"pretrain.model.{key}={given[name] / whole:.6g}"
    keys = {
        "embedding_size": "embedding_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "intermediate_size": "feed_forward_size",
    }
    return f"pretrain.model.{keys[name]}={given[name]}" if name in keys else None


def read(source: str | InitialModels) -> Pair:
    """The pair in float32, in the CPU's memory.

    Raises ValueError for files that are no such pair, or with weights that nothing here takes up.
    """
    with directories(source) as found, quiet_transformers():
        discriminator = _read(transformers.ElectraForPreTraining, found["discriminator"])
        generator = _read(transformers.ElectraForMaskedLM, found["generator"])
        pieces = pieces_of(found["discriminator"])
        if discriminator[WORDS].shape != generator[WORDS].shape:
            raise ValueError(
                f"pretrain.initialize_from: the discriminator has {len(discriminator[WORDS])} "
                f"pieces and the generator {len(generator[WORDS])}; give two of one training"
            )
        if has_tokenizer(found["generator"]) and pieces_of(found["generator"]) != pieces:
            raise ValueError(
                f"pretrain.initialize_from: the tokenizers in {found['discriminator']} and "
                f"{found['generator']} have other vocabularies; give two models of one training"
            )
        if max(pieces.values()) >= len(discriminator[WORDS]):
            raise ValueError(
                f"pretrain.initialize_from: the tokenizer in {found['discriminator']} has "
                f"{len(pieces)} pieces, and the model embeds {len(discriminator[WORDS])}; put the "
                "files of the one it was trained with there"
            )
        if not torch.equal(generator[HEAD], generator[WORDS]):
            raise ValueError(
                f"pretrain.initialize_from: the generator in {found['generator']} has an output "
                f"matrix of its own ({HEAD}), which is tied to its embeddings here; give a "
                "generator that was trained with tie_word_embeddings"
            )
        return Pair(discriminator, generator, pieces)


def _read(model_class: Any, directory: Path) -> Weights:
    files = weights_files(directory)
    try:
        model, report = model_class.from_pretrained(
            directory,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # it would not name them
        )
    except Exception as error:  # of safetensors, pickle, or transformers
        raise ValueError(
            f"pretrain.initialize_from: {files[0]} cannot be read ({load_problem(error)}); copy it "
            "again"
        ) from error
    name = model_class.__name__
    # Old checkpoints hold the numbers of the positions as well.
    unused = {key for key in report["unexpected_keys"] if not key.endswith(".position_ids")}
    others = {key for key, *_ in report["mismatched_keys"]}
    for keys, problem in (
        (others, f"has {{}} of another shape than its config.json gives {name}"),
        (report["missing_keys"], f"has no {{}}, which {name} needs"),
        (unused, f"has {{}}, which {name} has no use for"),
    ):
        if keys:
            raise ValueError(
                f"pretrain.initialize_from: {directory} {problem.format(min(keys))}; give a pair "
                "as pre-training leaves it"
            )
    if (broken := find_nonfinite_weight(model)) is not None:
        raise ValueError(
            f"pretrain.initialize_from: {directory}: {broken} holds values that are not finite; "
            "give another pair"
        )
    weights: Weights = model.state_dict()
    return weights


@dataclass(frozen=True)
class Shared:
    """Pieces that two vocabularies have in common."""

    rows: tuple[int, ...]
    """Their rows in the new tables."""
    initial_rows: tuple[int, ...]
    """Their rows in the tables of the pair."""

    @classmethod
    def of(cls, pieces: Mapping[str, int], initial: Mapping[str, int]) -> "Shared":
        both = sorted((row, initial[piece]) for piece, row in pieces.items() if piece in initial)
        return cls(tuple(row for row, _ in both), tuple(row for _, row in both))


def initial_state(fresh: Weights, pair: Pair, shared: Shared, *, tied: bool) -> dict[str, Tensor]:
    """The state of `model.Electra` that continues `pair`; all that it cannot know stays fresh.

    Embedding rows, and the generator's output biases, of shared pieces carry over; of the position
    tables as many rows as both have; everything else whole. With tied embeddings both models get
    the discriminator's block. Without, the discriminator's tables are what it adds to the
    generator's.
    """
    discriminator, generator = dict(pair.discriminator), dict(pair.generator)
    if tied:
        generator |= {k: v for k, v in discriminator.items() if k.startswith(f"{EMBEDDINGS}.")}
    else:
        for name in TABLES:
            number = min(len(discriminator[name]), len(generator[name]))
            discriminator[name] = discriminator[name][:number] - generator[name][:number]
    generator[HEAD] = generator[WORDS]
    state = {}
    for kind, weights in (("discriminator", discriminator), ("generator", generator)):
        for name, initial in weights.items():
            target = fresh[f"{kind}.{name}"].clone()
            if name in (WORDS, HEAD, HEAD_BIAS):
                target[list(shared.rows)] = initial[list(shared.initial_rows)].to(target)
            elif name == POSITIONS:
                number = min(len(target), len(initial))
                target[:number] = initial[:number]
            else:
                target.copy_(initial)
            state[f"{kind}.{name}"] = target
    return state


def apply(model: Electra, source: str | InitialModels, pieces: Mapping[str, int]) -> None:
    """Load a pair into a fresh model whose vocabulary is `pieces`."""
    pair = read(source)
    tied = model.generator.electra.embeddings is model.discriminator.electra.embeddings
    shared = Shared.of(pieces, pair.pieces)
    model.load_state_dict(initial_state(model.state_dict(), pair, shared, tied=tied))


def count(source: str | InitialModels, pieces: Mapping[str, int]) -> dict[str, int]:
    """How much of the vocabulary of a run carries over."""
    with directories(source) as found:
        shared = Shared.of(pieces, pieces_of(found["discriminator"]))
    return {"pieces": len(pieces), "shared_pieces": len(shared.rows)}
