"""Continuing from a trained pair: exactly where it stood, or with what two vocabularies share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
import transformers

from electra_pipeline import tokenizer as tokenizer_stage
from electra_pipeline.execution import LocalExecutor, Scale
from electra_pipeline.pretraining import initialization, loop
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.initialization import InitialModels, Pair, Shared, initial_state
from electra_pipeline.pretraining.sizes import ModelOverrides, model_config
from electra_pipeline.progress import silent
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tokenizer import SPECIAL_TOKENS, TokenizerConfig

CONFIG = PretrainConfig(
    size="tiny",
    model=ModelOverrides(
        embedding_size=16, hidden_size=32, num_layers=2, num_heads=2, feed_forward_size=64
    ),
    steps=6,
    batch_sequences=6,
    learning_rate=2e-3,
    warmup_steps=2,
    log_every_steps=6,
    evaluate_every_steps=6,
    held_out_sequences=20,
)
SHAPE = model_config("tiny", CONFIG.model)
PIECES = (*SPECIAL_TOKENS, *"abcdefgh")


def save_pair(folder: Path, pieces: tuple[str, ...] = PIECES, **changes: Any) -> Path:
    """A random pair of the configured shape, as pre-training elsewhere would leave it."""
    shape = {
        "vocab_size": len(pieces),
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 48,
    }
    generator = {"hidden_size": 16, "num_attention_heads": 1}
    for number, (kind, model_class, shapes) in enumerate(
        (
            ("discriminator", transformers.ElectraForPreTraining, shape | changes),
            ("generator", transformers.ElectraForMaskedLM, shape | generator),
        )
    ):
        torch.manual_seed(number)
        model = model_class(transformers.ElectraConfig(**shapes))
        if kind == "generator":
            torch.nn.init.normal_(model.generator_lm_head.bias)
        model.save_pretrained(folder / kind)
        tokenizer_stage.save(tokenizer_stage.assemble(pieces, TokenizerConfig()), folder / kind)
    return folder


def pretrain(
    config: PretrainConfig, tokenizer: Artifact, sequences: Artifact, root: Path
) -> Artifact:
    return loop.pretrain(
        config,
        tokenizer,
        sequences,
        root=str(root),
        name="test",
        executor=LocalExecutor(),
        scale=Scale(tensorboard=False),
        progress=silent,
    )


def history(artifact: Artifact) -> list[dict[str, Any]]:
    lines = artifact.folder.read_bytes("metrics.jsonl").splitlines()
    return [orjson.loads(line) for line in lines]


@pytest.fixture(scope="session")
def trained(
    tokenizer: Artifact, sequences: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    return pretrain(CONFIG, tokenizer, sequences, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def published(trained: Artifact, tokenizer: Artifact, tmp_path: Path) -> Path:
    """The trained pair with its tokenizer, as publishing lays it out."""
    folder = tmp_path / "published"
    for kind in ("discriminator", "generator"):
        shutil.copytree(Path(trained.folder.path) / kind, folder / kind)
        shutil.copy(tokenizer.local_file("tokenizer/tokenizer.json"), folder / kind)
        (folder / kind / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "PreTrainedTokenizerFast"}'
        )
    return folder


def test_a_run_begins_exactly_where_the_pair_ended(
    published: Path,
    trained: Artifact,
    tokenizer: Artifact,
    sequences: Artifact,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same held-out text, masks and samples: every metric is equal to the last digit."""
    caplog.set_level("INFO")
    config = CONFIG.model_copy(update={"initialize_from": str(published), "steps": 3})
    continued = pretrain(config, tokenizer, sequences, tmp_path)
    size = tokenizer.counters["vocab_size"]
    assert history(continued)[0] == {**history(trained)[-1], "step": 0}
    assert continued.counters["initialized_from"] == {"pieces": size, "shared_pieces": size}
    assert f"{size} of {size} pieces of the vocabulary carry over" in caplog.text
    assert continued.observed["initialized_from"] == str(published)


def test_what_counts_is_what_the_pair_says_not_where_it_lies(
    published: Path, tokenizer: Artifact, sequences: Artifact, tmp_path: Path
) -> None:
    def run(source: str | InitialModels) -> Artifact:
        config = CONFIG.model_copy(update={"initialize_from": source, "steps": 1})
        return pretrain(config, tokenizer, sequences, tmp_path)

    first = run(str(published))
    moved = published.rename(tmp_path / "moved")
    one_by_one = InitialModels(
        discriminator=str(moved / "discriminator"), generator=str(moved / "generator")
    )
    assert run(str(moved)).fingerprint == run(one_by_one).fingerprint == first.fingerprint
    model = transformers.ElectraForPreTraining.from_pretrained(moved / "discriminator")
    with torch.no_grad():
        model.discriminator_predictions.dense_prediction.bias.add_(1.0)
    model.save_pretrained(moved / "discriminator")
    assert run(str(moved)).fingerprint != first.fingerprint


def fresh_state(pair: Pair, num_pieces: int, num_positions: int) -> dict[str, torch.Tensor]:
    """A state of other numbers for a vocabulary and a position table of other sizes."""
    rows = {
        initialization.WORDS: num_pieces,
        initialization.HEAD: num_pieces,
        initialization.HEAD_BIAS: num_pieces,
        initialization.POSITIONS: num_positions,
    }
    return {
        f"{kind}.{name}": torch.rand(rows.get(name, len(value)), *value.shape[1:]) + 100
        for kind, weights in (("discriminator", pair.discriminator), ("generator", pair.generator))
        for name, value in weights.items()
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return initialization.read(str(save_pair(tmp_path_factory.mktemp("pair"))))


NEW = {"h": 0, "new": 1, "[CLS]": 2, "a": 3}  # three of the pair's pieces, elsewhere, and a new one


@pytest.mark.parametrize("num_positions", [40, 64])
def test_rows_of_shared_pieces_carry_over_and_the_others_stay_fresh(
    pair: Pair, num_positions: int
) -> None:
    shared = Shared.of(NEW, pair.pieces)
    assert shared.rows == (0, 2, 3)
    fresh = fresh_state(pair, len(NEW), num_positions)
    state = initial_state(fresh, pair, shared, tied=True)
    assert state.keys() == fresh.keys()
    for name, given in (
        (f"discriminator.{initialization.WORDS}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.WORDS}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.HEAD}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.HEAD_BIAS}", pair.generator[initialization.HEAD_BIAS]),
    ):
        for piece, row in NEW.items():
            expected = given[pair.pieces[piece]] if piece != "new" else fresh[name][row]
            assert torch.equal(state[name][row], expected), (name, piece)
    name = f"discriminator.{initialization.POSITIONS}"
    given = pair.discriminator[initialization.POSITIONS]
    number = min(48, num_positions)
    assert torch.equal(state[name][:number], given[:number])
    assert torch.equal(state[name][number:], fresh[name][number:])
    name = "electra.encoder.layer.1.output.dense.weight"
    assert torch.equal(state[f"generator.{name}"], pair.generator[name])
    assert torch.equal(state[f"discriminator.{name}"], pair.discriminator[name])


def test_without_tied_embeddings_both_models_keep_their_own(pair: Pair) -> None:
    """The discriminator's tables are what it adds to the generator's (gdes)."""
    shared = Shared.of(pair.pieces, pair.pieces)
    state = initial_state(fresh_state(pair, len(PIECES), 48), pair, shared, tied=False)
    for name in initialization.TABLES:
        generator, added = state[f"generator.{name}"], state[f"discriminator.{name}"]
        assert torch.equal(generator, pair.generator[name])
        assert torch.allclose(generator + added, pair.discriminator[name])
    head = state[f"generator.{initialization.HEAD}"]
    assert torch.equal(head, pair.generator[initialization.WORDS])


def test_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache as its own client lays it out; the client reads it without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    saved = save_pair(tmp_path / "saved")
    for kind in ("discriminator", "generator"):
        cached = tmp_path / f"models--someone--tiny-{kind}"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("0" * 40)
        shutil.copytree(saved / kind, cached / "snapshots" / ("0" * 40))
    initialization.check("someone/tiny", SHAPE)
    assert initialization.digests("someone/tiny") == initialization.digests(str(saved))
    with pytest.raises(ValueError, match="nobody/tiny-discriminator cannot be had from the hub"):
        initialization.check("nobody/tiny", SHAPE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4},
            r"has hidden_size 64, and 32 is configured; give --set "
            r"pretrain\.model\.hidden_size=64 pretrain\.model\.num_heads=4 "
            r"pretrain\.model\.feed_forward_size=128$",
        ),
        ({"num_hidden_layers": 1}, r"--set pretrain\.model\.num_layers=1$"),
        ({"hidden_act": "relu"}, r"has hidden_act relu, and gelu is configured; give another pair"),
    ],
)
def test_another_shape_is_refused_with_what_mends_it(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = save_pair(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        loop.check(CONFIG.model_copy(update={"initialize_from": str(folder)}), 32, Scale())
    assert "\n" not in str(caught.value)


def test_a_generator_of_another_width_is_a_fraction(tmp_path: Path) -> None:
    folder = str(save_pair(tmp_path))
    wider = model_config("tiny", CONFIG.model.model_copy(update={"generator_width_fraction": 1.0}))
    with pytest.raises(ValueError, match=r"--set pretrain\.model\.generator_width_fraction=0\.5$"):
        initialization.check(folder, wider)


def break_nothing_there(folder: Path) -> None:
    shutil.rmtree(folder)


def break_no_generator(folder: Path) -> None:
    shutil.rmtree(folder / "generator")


def break_type(folder: Path) -> None:
    (folder / "discriminator/config.json").write_text('{"model_type": "bert"}')


def break_weights(folder: Path) -> None:
    file = folder / "generator/model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def break_head(folder: Path) -> None:
    encoder = transformers.ElectraModel.from_pretrained(folder / "discriminator")
    encoder.save_pretrained(folder / "discriminator")


def break_tokenizer(folder: Path) -> None:
    for file in [*folder.rglob("tokenizer*"), *folder.rglob("vocab.txt")]:
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_nothing_there, "has no discriminator/config.json; give a published artifact"),
        (break_no_generator, "has no generator/config.json"),
        (break_type, "is of type 'bert', not 'electra'"),
        (break_weights, "model.safetensors cannot be read"),
        (break_head, "has no discriminator_predictions.dense.bias, which ElectraForPreTraining"),
        (break_tokenizer, "has no tokenizer.json or vocab.txt"),
    ],
)
def test_what_is_no_pair_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = save_pair(tmp_path / "pair")
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        initialization.check(str(folder), SHAPE)
        initialization.digests(str(folder))
        initialization.read(str(folder))
    assert str(caught.value).startswith("pretrain.initialize_from: ")
    assert "\n" not in str(caught.value)
