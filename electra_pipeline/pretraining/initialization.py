"""Continue from a trained pair: its weights, with or without its vocabulary."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import transformers
from torch import Tensor

from electra_pipeline.identity import Config, canonical_json
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.sizes import ModelConfig
from electra_pipeline.quiet import quiet_transformers
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.location import NO_CODE, load_problem, model_directory

Kind = Literal["discriminator", "generator"]
KINDS: tuple[Kind, ...] = ("discriminator", "generator")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read
EMBEDDINGS = "electra.embeddings"
TABLES = tuple(
    f"{EMBEDDINGS}.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
)
WORDS, POSITIONS, _ = TABLES
HEAD, HEAD_BIAS = "generator_lm_head.weight", "generator_lm_head.bias"

Weights = Mapping[str, Tensor]


class InitialModels(Config):
    """The two models of a pair, where they do not lie side by side."""

    discriminator: str
    """A Hugging Face directory (path or URI) or the name of a model on the hub."""
    generator: str
    """The same for the generator."""


@dataclass(frozen=True)
class Pair:
    """A trained generator and discriminator."""

    discriminator: Weights
    """Of a `transformers.ElectraForPreTraining`, by its names."""
    generator: Weights
    """Of a `transformers.ElectraForMaskedLM`, by its names."""
    pieces: Mapping[str, int]
    """The row of each piece of the vocabulary."""


@contextmanager
def directories(source: str | InitialModels) -> Iterator[dict[Kind, Path]]:
    """Local directories of the two models, downloaded if need be.

    source: a folder or URI with `discriminator/` and `generator/`, such as a published artifact; a
    name on the hub without its ending -discriminator or -generator; or the two one by one. Raises
    ValueError if one is missing.
    """
    places = _places(source)
    with ExitStack() as stack:
        found: dict[Kind, Path] = {}
        for kind in KINDS:
            try:
                place = stack.enter_context(
                    model_directory(places[kind], generator=kind == "generator")
                )
            except ValueError as error:
                raise ValueError(f"pretrain.initialize_from: {error}") from error
            found[kind] = Path(place) if Path(place).is_dir() else _download(place)
        yield found


def _places(source: str | InitialModels) -> dict[Kind, str]:
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
                f"pretrain.initialize_from: {source} has no {kind}/config.json; give a published "
                "artifact, a name on the hub, or {discriminator: ..., generator: ...}"
            )
    return {kind: str(folder / kind) for kind in KINDS}


def _download(name: str) -> Path:
    """The files of a model on the hub; safetensors rather than pickles."""
    from huggingface_hub import snapshot_download  # half a second, which most commands do not need
    from huggingface_hub.errors import HFValidationError

    try:
        directory = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", WEIGHTS[0]]))
        if not (directory / WEIGHTS[0]).exists():
            directory = Path(
                snapshot_download(name, allow_patterns=["*.json", "*.txt", WEIGHTS[1]])
            )
    except (OSError, HFValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"pretrain.initialize_from: {name} cannot be had from the hub ({reason}); "
            "give the name of a model there, or a directory"
        ) from error
    return directory


def check(source: str | InitialModels, shape: ModelConfig) -> None:
    """Raise ValueError, in one line, unless the pair has the configured shape.

    It names the first difference and the `--set`s that mend all of them.
    """
    with directories(source) as found:
        for kind, directory in found.items():
            config = orjson.loads((directory / "config.json").read_bytes())
            given = transformers.ElectraConfig.from_dict(config).to_dict()
            place = f"pretrain.initialize_from: the {kind} in {directory}"
            if config.get("model_type") != "electra":
                raise ValueError(f"{place} is of type {config.get('model_type')!r}, not 'electra'")
            wanted = _wanted(kind, shape)
            differing = [name for name in wanted if given[name] != wanted[name]]
            if differing:
                name = differing[0]
                sets = [_remedy(kind, each, given, shape) for each in differing]
                mending = " ".join(each for each in sets if each)
                raise ValueError(
                    f"{place} has {name} {given[name]}, and {wanted[name]} is configured; "
                    + (f"give --set {mending}" if mending else "give another pair")
                )


def _wanted(kind: Kind, shape: ModelConfig) -> dict[str, Any]:
    """Keys of transformers' configuration that give the weights their shapes and meaning."""
    fixed = {"hidden_act": "gelu", "type_vocab_size": 2}
    if kind == "discriminator":
        return fixed | {
            "embedding_size": shape.embedding_size,
            "hidden_size": shape.hidden_size,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "intermediate_size": shape.feed_forward_size,
        }
    return fixed | {
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


def digests(source: str | InitialModels) -> dict[str, str]:
    """What of a pair shapes the bytes of a run: sha256 of both weight files and the vocabulary."""
    with directories(source) as found:
        inputs = {}
        for kind, directory in found.items():
            with _weights_file(directory).open("rb") as file:
                inputs[f"initial_{kind}"] = hashlib.file_digest(file, "sha256").hexdigest()
        pieces = canonical_json(_pieces(found["discriminator"]))
        return {**inputs, "initial_vocabulary": hashlib.sha256(pieces).hexdigest()}


def _weights_file(directory: Path) -> Path:
    for name in WEIGHTS:
        if (directory / name).exists():
            return directory / name
    raise ValueError(
        f"pretrain.initialize_from: {directory} has neither {' nor '.join(WEIGHTS)}; "
        "give a model whose weights are in one file"
    )


def _pieces(directory: Path) -> dict[str, int]:
    # without these files transformers makes up a tokenizer of five pieces
    if not any((directory / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        raise ValueError(
            f"pretrain.initialize_from: {directory} has no tokenizer.json or vocab.txt; put it "
            "there, for it says which row belongs to which piece"
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **NO_CODE)
    pieces: dict[str, int] = tokenizer.get_vocab()
    return pieces


def read(source: str | InitialModels) -> Pair:
    """The pair, in the CPU's memory. Raises ValueError for files that are no such pair."""
    with directories(source) as found, quiet_transformers():
        discriminator = _read(transformers.ElectraForPreTraining, found["discriminator"])
        generator = _read(transformers.ElectraForMaskedLM, found["generator"])
        if discriminator[WORDS].shape != generator[WORDS].shape:
            raise ValueError(
                f"pretrain.initialize_from: the discriminator has {len(discriminator[WORDS])} "
                f"pieces and the generator {len(generator[WORDS])}; give two of one training"
            )
        return Pair(discriminator, generator, _pieces(found["discriminator"]))


def _read(model_class: Any, directory: Path) -> Weights:
    try:
        model, report = model_class.from_pretrained(directory, output_loading_info=True)
    except Exception as error:  # of safetensors, pickle, or transformers
        raise ValueError(
            f"pretrain.initialize_from: {_weights_file(directory)} cannot be read "
            f"({load_problem(error)}); copy it again"
        ) from error
    if report["missing_keys"]:
        raise ValueError(
            f"pretrain.initialize_from: {directory} has no {min(report['missing_keys'])}, which "
            f"{model_class.__name__} needs; give a pair as pre-training leaves it"
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
        shared = Shared.of(pieces, _pieces(found["discriminator"]))
    return {"pieces": len(pieces), "shared_pieces": len(shared.rows)}
