"""Initialization from a trained pair, with the same or another vocabulary."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from electra_pipeline.core.execution import LocalExecutor, Scale, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.pretraining import initial_models, initialization, loop
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.initial_models import InitialModels
from electra_pipeline.pretraining.initialization import Pair, initial_state, shared_rows
from electra_pipeline.pretraining.sizes import model_config
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train as tokenizer_stage
from electra_pipeline.tokenizer.config import TokenizerConfig
from tests.pretraining import runs
from tests.pretraining.runs import training_log

CONFIG = runs.CONFIG.model_copy(
    update={"steps": 6, "warmup_steps": 2, "log_every_steps": 6, "evaluate_every_steps": 6}
)
SHAPE = model_config("tiny", CONFIG.model)
TOKENS = (*SPECIAL_TOKENS, *"abcdefgh")
LENGTH = 32  # of the sequences, in tokens


def save_pair(
    folder: Path,
    tokens: tuple[str, ...] = TOKENS,
    *,
    tied: bool = True,
    **changes: Any,
) -> Path:
    """A random pair of the configured shape, as pre-training elsewhere would leave it.

    tied: whether both have one embedding block; changes are of the discriminator's config.
    """
    shape = {
        "vocab_size": len(tokens),
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 48,
    }
    generator = {"hidden_size": 16, "num_attention_heads": 1}
    block: dict[str, torch.Tensor] = {}
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
            if tied:
                model.electra.embeddings.load_state_dict(block)
        block = model.electra.embeddings.state_dict()
        model.save_pretrained(folder / kind)
        tokenizer_stage.save(tokenizer_stage.assemble(tokens, TokenizerConfig()), folder / kind)
    return folder


def pretrain(
    config: PretrainConfig, tokenizer: Artifact, sequences: Artifact, root: Path
) -> Artifact:
    return loop.pretrain(
        config,
        tokenizer,
        sequences,
        StageContext(str(root), "test", LocalExecutor(), silent),
        scale=Scale(tensorboard=False),
    )


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


def test_the_initial_metrics_are_the_final_ones_of_the_pair(
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
    assert training_log(continued)[0] == {**training_log(trained)[-1], "step": 0}
    assert continued.counters["initialized_from"] == {"pieces": size, "shared_pieces": size}
    assert f"{size} of {size} tokens of the vocabulary are shared" in caplog.text
    assert continued.observed["initialized_from"] == str(published)


def test_identity_is_the_content_of_the_pair_not_its_path(
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


def fresh_state(pair: Pair, num_tokens: int, num_positions: int) -> dict[str, torch.Tensor]:
    """A state of other numbers for a vocabulary and a position table of other sizes."""
    rows = {
        initialization.WORDS: num_tokens,
        initialization.HEAD: num_tokens,
        initialization.HEAD_BIAS: num_tokens,
        initialization.POSITIONS: num_positions,
    }
    return {
        f"{kind}.{name}": torch.rand(rows.get(name, len(value)), *value.shape[1:]) + 100
        for kind, weights in (("discriminator", pair.discriminator), ("generator", pair.generator))
        for name, value in weights.items()
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return initialization.read(str(save_pair(tmp_path_factory.mktemp("pair"), tied=False)))


NEW = {"h": 0, "new": 1, "[CLS]": 2, "a": 3}  # three of the pair's tokens, elsewhere, and a new one


@pytest.mark.parametrize("num_positions", [40, 64])
def test_rows_of_shared_tokens_are_copied_and_the_others_stay_fresh(
    pair: Pair, num_positions: int
) -> None:
    shared = shared_rows(NEW, pair.ids)
    assert [row for row, _ in shared] == [0, 2, 3]
    fresh = fresh_state(pair, len(NEW), num_positions)
    state = initial_state(fresh, pair, shared, tied=True)
    assert state.keys() == fresh.keys()
    for name, given in (
        (f"discriminator.{initialization.WORDS}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.WORDS}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.HEAD}", pair.discriminator[initialization.WORDS]),
        (f"generator.{initialization.HEAD_BIAS}", pair.generator[initialization.HEAD_BIAS]),
    ):
        for token, row in NEW.items():
            expected = given[pair.ids[token]] if token != "new" else fresh[name][row]
            assert torch.equal(state[name][row], expected), (name, token)
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
    shared = shared_rows(pair.ids, pair.ids)
    state = initial_state(fresh_state(pair, len(TOKENS), 48), pair, shared, tied=False)
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
    initialization.check("someone/tiny", SHAPE, LENGTH)
    assert initial_models.digests("someone/tiny") == initial_models.digests(str(saved))
    with pytest.raises(
        ValueError, match="nobody/tiny-discriminator cannot be downloaded from the hub"
    ):
        initialization.check("nobody/tiny", SHAPE, LENGTH)


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
        ({"hidden_act": "gelu_new"}, r"hidden_act gelu_new, and gelu is .*; give another pair$"),
        ({"layer_norm_eps": 1e-5}, r"layer_norm_eps 1e-05, and 1e-12 is .*; give another pair$"),
        (
            {"position_embedding_type": "relative_key"},
            r"position_embedding_type relative_key, and absolute is .*; give another pair$",
        ),
        ({"type_vocab_size": 1}, r"type_vocab_size 1, and 2 is configured; give another pair$"),
        ({"is_decoder": True}, r"is_decoder True, and False is configured; give another pair$"),
        (
            {"embedding_size": 8},
            r"embedding_size 8, and 16 .*--set pretrain\.model\.embedding_size=8",
        ),
        (
            {"hidden_act": "relu", "hidden_size": 64},  # no --set mends all
            r"has hidden_act relu, and gelu is configured; give another pair$",
        ),
    ],
)
def test_another_shape_is_refused_with_a_remedy(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = save_pair(tmp_path, tied=False, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        loop.check(CONFIG.model_copy(update={"initialize_from": str(folder)}), 32, Scale())
    assert "\n" not in str(caught.value)


def test_a_generator_of_another_width_is_a_fraction(tmp_path: Path) -> None:
    folder = str(save_pair(tmp_path))
    wider = model_config("tiny", CONFIG.model.model_copy(update={"generator_width_fraction": 1.0}))
    with pytest.raises(ValueError, match=r"--set pretrain\.model\.generator_width_fraction=0\.5$"):
        initialization.check(folder, wider, LENGTH)


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


def change_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def break_output_matrix(folder: Path) -> None:
    """As transformers saves it with tie_word_embeddings=False."""
    config = transformers.ElectraConfig.from_pretrained(
        folder / "generator", tie_word_embeddings=False
    )
    model = transformers.ElectraForMaskedLM.from_pretrained(folder / "generator", config=config)
    torch.nn.init.normal_(model.generator_lm_head.weight)
    model.save_pretrained(folder / "generator")


def break_output_matrix_alone(folder: Path) -> None:
    """The config still says that it is tied."""
    table = torch.rand(len(TOKENS), 16)
    change_weights(folder / "generator", lambda w: w.update({initialization.HEAD: table}))


def break_one_embedding(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["electra.embeddings.LayerNorm.bias"][3] += 0.5

    change_weights(folder / "generator", change)


def break_by_more_layers(folder: Path) -> None:
    name = "electra.encoder.layer.2.output.dense.bias"
    change_weights(folder / "discriminator", lambda w: w.update({name: torch.rand(32)}))


def break_by_relative_positions(folder: Path) -> None:
    name = "electra.encoder.layer.0.attention.self.distance_embedding.weight"
    change_weights(folder / "discriminator", lambda w: w.update({name: torch.rand(95, 16)}))


def break_by_a_missing_layer(folder: Path) -> None:
    name = "electra.encoder.layer.1.output.dense.bias"
    change_weights(folder / "generator", lambda w: w.pop(name))


def break_shapes(folder: Path) -> None:
    name = "electra.encoder.layer.1.output.dense.bias"
    change_weights(folder / "discriminator", lambda w: w.update({name: torch.rand(31)}))


def break_a_number(folder: Path) -> None:
    name = "electra.encoder.layer.1.output.dense.bias"
    change_weights(folder / "discriminator", lambda w: w[name].fill_(float("nan")))


def break_by_fewer_rows(folder: Path) -> None:
    tokens = (*TOKENS, "more", "pieces")
    for kind in ("discriminator", "generator"):
        tokenizer_stage.save(tokenizer_stage.assemble(tokens, TokenizerConfig()), folder / kind)


def break_one_vocabulary(folder: Path) -> None:
    tokens = (*SPECIAL_TOKENS, *"hgfedcba")
    tokenizer_stage.save(tokenizer_stage.assemble(tokens, TokenizerConfig()), folder / "generator")


def break_by_swapping(folder: Path) -> None:
    (folder / "generator").rename(folder / "other")
    shutil.copytree(folder / "discriminator", folder / "generator")
    shutil.copy(folder / "other/config.json", folder / "generator")


def break_no_discriminator(folder: Path) -> None:
    shutil.rmtree(folder / "discriminator")


def break_shards(folder: Path) -> None:
    model = transformers.ElectraForMaskedLM.from_pretrained(folder / "generator")
    (folder / "generator/model.safetensors").unlink()
    model.save_pretrained(folder / "generator", max_shard_size="10KB")
    min((folder / "generator").glob("model-00002-*")).unlink()


def break_config(folder: Path) -> None:
    (folder / "generator/config.json").write_text('{"model_type": "electra"')


def break_config_value(folder: Path) -> None:
    (folder / "generator/config.json").write_text('{"model_type": "electra", "hidden_size": "x"}')


def break_index(folder: Path) -> None:
    (folder / "generator/model.safetensors").unlink()
    (folder / "generator/model.safetensors.index.json").write_text("[]")


def break_tokenizer_content(folder: Path) -> None:
    (folder / "discriminator/tokenizer.json").write_text("{")


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
        (break_config, "generator/config.json cannot be read"),
        (break_config_value, "generator has a config.json that cannot be used|has hidden_size x"),
        (break_index, r"model.safetensors.index.json .* no JSON object"),
        (break_tokenizer_content, "the tokenizer in .*discriminator cannot be read"),
        (break_output_matrix, r"has an output matrix of its own .*tie_word_embeddings$"),
        (break_output_matrix_alone, r"has an output matrix of its own .*tie_word_embeddings$"),
        (break_one_embedding, r"differ in electra\.embeddings\.LayerNorm\.bias.*sharing=gdes"),
        (break_by_more_layers, r"has electra\.encoder\.layer\.2\..*, which .* does not use"),
        (break_by_relative_positions, r"distance_embedding\.weight, which .* does not use"),
        (break_by_a_missing_layer, r"has no electra\.encoder\.layer\.1\.output\.dense\.bias"),
        (break_shapes, r"layer\.1\.output\.dense\.bias of another shape than its config"),
        (break_a_number, r"layer\.1\.output\.dense\.bias has values that are not finite"),
        (break_by_fewer_rows, "has 15 tokens, and the model embeds 13"),
        (break_one_vocabulary, "have different vocabularies; give two models of one training"),
        (break_by_swapping, "pretrain.initialize_from: .*generator has "),
        (break_no_discriminator, "has no discriminator/config.json"),
        (break_shards, "has no model-00002-of-.*, which model.safetensors.index.json names"),
    ],
)
def test_an_invalid_pair_is_refused_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = save_pair(tmp_path / "pair")
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        initialization.check(str(folder), SHAPE, LENGTH)
    assert str(caught.value).startswith("pretrain.initialize_from: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["shards", "pickle", "half"])
def test_weights_are_read_in_float32_whatever_their_files(tmp_path: Path, layout: str) -> None:
    folder = save_pair(tmp_path)
    expected = initialization.read(str(folder))
    for kind, model_class in (
        ("discriminator", transformers.ElectraForPreTraining),
        ("generator", transformers.ElectraForMaskedLM),
    ):
        model = model_class.from_pretrained(folder / kind)
        (folder / kind / "model.safetensors").unlink()
        match layout:
            case "shards":
                model.save_pretrained(folder / kind, max_shard_size="10KB")
                assert (folder / kind / "model.safetensors.index.json").exists()
            case "pickle":
                torch.save(model.state_dict(), folder / kind / "pytorch_model.bin")
            case "half":
                model.bfloat16().save_pretrained(folder / kind)
    initialization.check(str(folder), SHAPE, LENGTH)
    assert set(initial_models.digests(str(folder))) == {
        "initial_discriminator",
        "initial_generator",
        "initial_vocabulary",
    }
    found = initialization.read(str(folder))
    for given, wanted in (
        (found.generator, expected.generator),
        (found.discriminator, expected.discriminator),
    ):
        for name, value in wanted.items():
            assert given[name].dtype == torch.float32
            exact = value.bfloat16().float() if layout == "half" else value
            assert torch.equal(given[name], exact), name


def test_models_with_embeddings_of_their_own_need_gdes(tmp_path: Path) -> None:
    folder = str(save_pair(tmp_path, tied=False))
    with pytest.raises(ValueError, match=r"--set pretrain\.model\.embedding_sharing=gdes"):
        initialization.check(folder, SHAPE, LENGTH)
    own = CONFIG.model.model_copy(update={"embedding_sharing": "gdes"})
    initialization.check(folder, model_config("tiny", own), LENGTH)


def test_positions_that_the_pair_does_not_have_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(save_pair(tmp_path))
    initialization.check(folder, SHAPE, 48)
    assert "positions" not in caplog.text
    initialization.check(folder, SHAPE, 64)
    assert "the pair has 48 positions, and sequences.length is 64" in caplog.text
