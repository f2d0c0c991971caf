"""Initialization from a trained pair of models, with the same or another vocabulary."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.pretraining.initial_models import (
    InitialModels,
    directories,
    has_tokenizer,
    read_object,
    read_vocabulary,
)
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.sizes import TRANSFORMERS_KEYS, Kind, ModelConfig
from electra_pipeline.pretraining.transformer import LAYER_NORM_EPSILON
from electra_pipeline.storage.models import find_nonfinite_weight, load_problem, weights_files

logger = logging.getLogger(__name__)

EMBEDDINGS = "electra.embeddings"
TABLES = tuple(
    f"{EMBEDDINGS}.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
)
WORDS, POSITIONS, _ = TABLES
HEAD, HEAD_BIAS = "generator_lm_head.weight", "generator_lm_head.bias"
# Defaults of keys that a config.json may omit. transformers 5 supports no other positions.
ABSENT = {"position_embedding_type": "absolute"}
# The keys that are equal in all models of this pipeline.
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
    """Of a `transformers.ElectraForPreTraining`, by name."""
    generator: Weights
    """Of a `transformers.ElectraForMaskedLM`, by name."""
    ids: Mapping[str, int]
    """The id of each token of the vocabulary, its row in the embeddings."""


def check(source: str | InitialModels, shape: ModelConfig, length: int) -> None:
    """Raise ValueError, in one line, unless all weights of the pair fit the configured shape.

    The message names the first difference, and the `--set` options that remove all differences.
    A warning is logged if sequences of `length` tokens have more positions than the pair.
    """
    with directories(source) as found:
        for kind, directory in found.items():
            _check_config(kind, directory, shape)
    pair = read(source)
    own = [
        name
        for name, weights in pair.generator.items()
        if name.startswith(f"{EMBEDDINGS}.") and not torch.equal(weights, pair.discriminator[name])
    ]
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
            "other positions are initialized randomly",
            *(num_positions, length),
        )


def _check_config(kind: Kind, directory: Path, shape: ModelConfig) -> None:
    """Raise ValueError unless config.json has the configured shape."""
    config = read_object(directory / "config.json")
    subject = f"the {kind} in {directory}"
    if config.get("model_type") != "electra":
        raise ValueError(f"{subject} is of type {config.get('model_type')!r}, not 'electra'")
    try:
        found = ABSENT | transformers.ElectraConfig.from_dict(config).to_dict()
    except Exception as error:  # of the validation that transformers uses
        raise ValueError(
            f"{subject} has a config.json that cannot be used ({load_problem(error)}); repair it"
        ) from error
    expected = FIXED | shape.transformers_shape(kind)  # what cannot be configured comes first
    differing = [name for name in expected if found[name] != expected[name]]
    if not differing:
        return
    name = differing[0]
    remedies = [_remedy(kind, each, found, shape) for each in differing if name not in FIXED]
    options = " ".join(each for each in remedies if each)
    raise ValueError(
        f"{subject} has {name} {found[name]}, and {expected[name]} is configured; "
        + (f"give --set {options}" if options else "give another pair")
    )


def _remedy(kind: Kind, name: str, found: Mapping[str, Any], shape: ModelConfig) -> str | None:
    """Return the value of `--set` that makes the configured shape equal in `name`, if any."""
    if kind == "discriminator":
        return f"pretrain.model.{TRANSFORMERS_KEYS[name]}={found[name]}"
    if name == "hidden_size":
        fraction = found[name] / shape.hidden_size
        return f"pretrain.model.generator_width_fraction={fraction:.6g}"
    if name == "num_hidden_layers":
        fraction = found[name] / shape.num_layers
        return f"pretrain.model.generator_depth_fraction={fraction:.6g}"
    return None


def read(source: str | InitialModels) -> Pair:
    """Load the pair in float32 to the CPU's memory.

    Raises ValueError if the files are no such pair, or have weights that would not be used.
    """
    with directories(source) as found, quiet_transformers():
        discriminator = _read(transformers.ElectraForPreTraining, found["discriminator"])
        generator = _read(transformers.ElectraForMaskedLM, found["generator"])
        ids = read_vocabulary(found["discriminator"])
        if discriminator[WORDS].shape != generator[WORDS].shape:
            raise ValueError(
                f"the discriminator has {len(discriminator[WORDS])} "
                f"tokens and the generator {len(generator[WORDS])}; give two models of one training"
            )
        if has_tokenizer(found["generator"]) and read_vocabulary(found["generator"]) != ids:
            raise ValueError(
                f"the tokenizers in {found['discriminator']} and "
                f"{found['generator']} have different vocabularies; give two models of one training"
            )
        if max(ids.values()) >= len(discriminator[WORDS]):
            raise ValueError(
                f"the tokenizer in {found['discriminator']} has "
                f"{len(ids)} tokens, and the model embeds {len(discriminator[WORDS])}; replace it "
                "by the one that the model was trained with"
            )
        if not torch.equal(generator[HEAD], generator[WORDS]):
            raise ValueError(
                f"the generator in {found['generator']} has an output "
                f"matrix of its own ({HEAD}), but this pipeline ties it to the embeddings; give a "
                "generator that was trained with tie_word_embeddings"
            )
        return Pair(discriminator, generator, ids)


def _read(model_class: Any, directory: Path) -> Weights:
    files = weights_files(directory)
    try:
        model, report = model_class.from_pretrained(
            directory,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # else its error would not name them
        )
    except Exception as error:  # of safetensors, pickle, or transformers
        raise ValueError(
            f"{files[0]} cannot be read ({load_problem(error)}); copy it again"
        ) from error
    name = model_class.__name__
    # Old checkpoints contain position numbers, too.
    unused = {key for key in report["unexpected_keys"] if not key.endswith(".position_ids")}
    others = {key for key, *_ in report["mismatched_keys"]}
    for keys, problem in (
        (others, f"has {{}} of another shape than its config.json gives {name}"),
        (report["missing_keys"], f"has no {{}}, which {name} needs"),
        (unused, f"has {{}}, which {name} does not use"),
    ):
        if keys:
            raise ValueError(
                f"{directory} {problem.format(min(keys))}; give a pair as pre-training writes it"
            )
    if (broken := find_nonfinite_weight(model)) is not None:
        raise ValueError(f"{directory}: {broken} has values that are not finite; give another pair")
    weights: Weights = model.state_dict()
    return weights


Rows = list[tuple[int, int]]
"""For each token that two vocabularies share: its rows in the new and in the initial tables."""


def shared_rows(ids: Mapping[str, int], initial: Mapping[str, int]) -> Rows:
    """Return the rows of the tokens that are in both vocabularies, in the order of the new ids."""
    return sorted((row, initial[token]) for token, row in ids.items() if token in initial)


def initial_state(fresh: Weights, pair: Pair, shared: Rows, *, tied: bool) -> dict[str, Tensor]:
    """Return the state of `model.Electra` with the weights of `pair`, and `fresh` ones elsewhere.

    Copied are the embedding rows and the generator's output biases of shared tokens, as many rows
    of the position tables as both have, and all other weights whole. With tied embeddings both
    models get the discriminator's block. Without, the discriminator's tables become the difference
    that it adds to the generator's.
    """
    discriminator, generator = dict(pair.discriminator), dict(pair.generator)
    if tied:
        generator |= {k: v for k, v in discriminator.items() if k.startswith(f"{EMBEDDINGS}.")}
    else:
        for name in TABLES:
            number = min(len(discriminator[name]), len(generator[name]))
            discriminator[name] = discriminator[name][:number] - generator[name][:number]
    generator[HEAD] = generator[WORDS]
    rows, initial_rows = [row for row, _ in shared], [row for _, row in shared]
    state = {}
    for kind, weights in (("discriminator", discriminator), ("generator", generator)):
        for name, initial in weights.items():
            target = fresh[f"{kind}.{name}"].clone()
            if name in (WORDS, HEAD, HEAD_BIAS):
                target[rows] = initial[initial_rows].to(target)
            elif name == POSITIONS:
                number = min(len(target), len(initial))
                target[:number] = initial[:number]
            else:
                target.copy_(initial)
            state[f"{kind}.{name}"] = target
    return state


def apply(model: Electra, source: str | InitialModels, ids: Mapping[str, int]) -> None:
    """Load a pair into a fresh model; ids: the id of each token of the model's vocabulary."""
    pair = read(source)
    tied = model.generator.electra.embeddings is model.discriminator.electra.embeddings
    shared = shared_rows(ids, pair.ids)
    model.load_state_dict(initial_state(model.state_dict(), pair, shared, tied=tied))


def count_shared_tokens(source: str | InitialModels, ids: Mapping[str, int]) -> dict[str, int]:
    """Return the size of a run's vocabulary, and how many of its tokens the pair has."""
    with directories(source) as found:
        shared = shared_rows(ids, read_vocabulary(found["discriminator"]))
    # manifests keep the keys "pieces"
    return {"pieces": len(ids), "shared_pieces": len(shared)}
