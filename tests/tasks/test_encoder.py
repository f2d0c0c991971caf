"""Any encoder: the logits of transformers' own classes, on the tokenizer's own padded input."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, AutoTokenizer

from electra_pipeline.core import optim
from electra_pipeline.tasks.encoder import (
    check_encoder,
    find_encoder,
    load_tokenizer,
    new_model,
    num_positions,
    open_encoder,
)
from electra_pipeline.tasks.kinds.inference import predict_logits
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering, QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging
from electra_pipeline.tasks.kinds.text_classification import (
    Classification,
    Regression,
    TextExample,
    output_layer,
)
from electra_pipeline.text.tokenizer_files import save_loadable

SENTENCES = [
    "the old baker paints a wooden boat near the river",
    "a young doctor repairs it, and forgets the bread.",
    "dog cat bird house tree red green blue",
] * 20
POSITIONS = 40  # tokens that each encoder takes
LAYERS = 2
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _trained(model: Any, trainer: Any, pre_tokenizer: Any) -> dict[str, Any]:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(SENTENCES, trainer)
    found: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return found


def _wordpiece(name: str) -> Any:
    letters = [*"abcdefghijklmnopqrstuvwxyz.,?"]
    words = [*SPECIAL, "dog", "cat", "red", "blue", "the", *letters, *(f"##{x}" for x in letters)]
    tokenizer = getattr(transformers, name)
    return tokenizer(vocab={word: number for number, word in enumerate(words)})


def _byte_level() -> dict[str, Any]:
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def _roberta() -> Any:
    found = _byte_level()
    return transformers.RobertaTokenizer(
        vocab=found["vocab"], merges=[tuple(m) for m in found["merges"]]
    )


def _modernbert() -> Any:
    """As on the hub: a generic class, byte-level, without a space before the first word."""
    found = _byte_level()
    merges = [tuple(merge) for merge in found["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=found["vocab"], merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _deberta() -> Any:
    trainer = trainers.UnigramTrainer(
        vocab_size=80,
        special_tokens=["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
        unk_token="[UNK]",
        show_progress=False,
    )
    found = _trained(models.Unigram(), trainer, pre_tokenizers.Metaspace())
    return transformers.DebertaV2Tokenizer(vocab=[tuple(piece) for piece in found["vocab"]])


ARCHITECTURES = {
    "electra": (
        "ElectraConfig",
        {**SIZE, "embedding_size": 16, "max_position_embeddings": POSITIONS},
        partial(_wordpiece, "ElectraTokenizer"),
    ),
    "bert": (
        "BertConfig",
        {**SIZE, "max_position_embeddings": POSITIONS},
        partial(_wordpiece, "BertTokenizer"),
    ),
    # positions count from the padding id plus 1
    "roberta": (
        "RobertaConfig",
        {**SIZE, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, "pad_token_id": 1},
        _roberta,
    ),
    "deberta-v2": (
        "DebertaV2Config",  # as deberta-v3-small: relative positions alone, no types
        {
            **SIZE,
            "max_position_embeddings": POSITIONS,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        _deberta,
    ),
    "distilbert": (
        "DistilBertConfig",
        {
            "dim": 32,
            "n_layers": LAYERS,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": POSITIONS,
        },
        partial(_wordpiece, "DistilBertTokenizer"),
    ),
    "modernbert": (
        "ModernBertConfig",
        {
            **SIZE,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 1,
            **{f"{name}_token_id": 0 for name in ("bos", "cls")},
            **{f"{name}_token_id": 2 for name in ("eos", "sep")},
        },
        _modernbert,
    ),
}


def write_encoder(name: str, directory: Path, seed: int = 7) -> None:
    """Save a random encoder of an architecture, and its tokenizer, as a model on the hub is."""
    config, values, make_tokenizer = ARCHITECTURES[name]
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    architecture = getattr(transformers, config)(vocab_size=len(tokenizer), **values)
    model = transformers.AutoModel.from_config(architecture)
    # far from what a new model is given, so that lost weights show
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


WORDS = ("the", "old", "dog", "paints", "a", "boat", "near", "it")
TEXTS = [
    TextExample(str(size), " ".join(WORDS[:size]), " ".join(WORDS[size:]), "ab"[size % 2])
    for size in (1, 5, 3)
]
TAGGED = [TaggedExample(str(n), WORDS[:n], tuple("xy"[i % 2] for i in range(n))) for n in (3, 1, 5)]
QUESTIONS = [
    QuestionExample(str(n), "the dog?", " ".join(WORDS[:n]), ("the",), 0) for n in (2, 6, 3)
]


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for name in ARCHITECTURES:
        write_encoder(name, folder / name)
    return folder


def start(directory, kind, *, of_words=False):
    """A task's model with its tokenizer, as a trial starts it."""
    with open_encoder(find_encoder(str(directory))) as source:
        config = source.load(AutoConfig, **kind.head)
        tokenizer = load_tokenizer(source, config, of_words=of_words)
        torch.manual_seed(0)
        return new_model(kind, config, source).eval(), tokenizer


def sharpened(model):
    """With a head so large that logits differ by far more than float32 rounds."""
    with torch.no_grad():
        output_layer(model).weight.mul_(100)
    return model


def predicted(model, tokenizer, kind, examples):
    features = kind.encode(tokenizer, examples, POSITIONS, training=False).features
    return predict_logits(model, kind, features, batch_examples=len(examples))


def plain(loader, model, directory, tmp_path, *texts, **options):
    """What transformers says by itself: the model saved and loaded, the tokenizer's own batch."""
    model.save_pretrained(tmp_path / "saved")
    again = loader.from_pretrained(tmp_path / "saved").eval()
    tokenizer = AutoTokenizer.from_pretrained(directory, **options.pop("load", {}))
    inputs = tokenizer(*texts, padding=True, return_tensors="pt", **options)
    with torch.no_grad():
        return again(**inputs), inputs["attention_mask"].sum(1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pairs_have_the_logits_of_transformers(name, directories, tmp_path):
    kind = Classification(labels=("a", "b"))
    model, tokenizer = start(directories / name, kind)
    found = predicted(sharpened(model), tokenizer, kind, TEXTS)
    theirs, _ = plain(
        transformers.AutoModelForSequenceClassification,
        model,
        directories / name,
        tmp_path,
        [example.text for example in TEXTS],
        [example.pair for example in TEXTS],
    )
    np.testing.assert_allclose(np.stack(found), theirs.logits, atol=1e-4)
    assert np.ptp(np.stack(found), axis=0).min() > 1e-2  # the texts do make a difference


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_answers_have_the_logits_of_transformers(name, directories, tmp_path):
    kind = QuestionAnswering(has_unanswerable=False)
    model, tokenizer = start(directories / name, kind)
    found = predicted(sharpened(model), tokenizer, kind, QUESTIONS)
    theirs, lengths = plain(
        transformers.AutoModelForQuestionAnswering,
        model,
        directories / name,
        tmp_path,
        [example.question for example in QUESTIONS],
        [example.context for example in QUESTIONS],
    )
    for row, (logits, length) in enumerate(zip(found, lengths, strict=True)):
        np.testing.assert_allclose(logits[:, 0], theirs.start_logits[row, :length], atol=1e-4)
        np.testing.assert_allclose(logits[:, 1], theirs.end_logits[row, :length], atol=1e-4)


# a class of one architecture can be asked for the space before a word; the generic one cannot
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "modernbert"])
def test_tags_have_the_logits_of_transformers(name, directories, tmp_path):
    kind = Tagging(labels=("x", "y"))
    model, tokenizer = start(directories / name, kind, of_words=True)
    found = predicted(sharpened(model), tokenizer, kind, TAGGED)
    theirs, lengths = plain(
        transformers.AutoModelForTokenClassification,
        model,
        directories / name,
        tmp_path,
        [list(example.words) for example in TAGGED],
        is_split_into_words=True,
        load={"add_prefix_space": True} if name == "roberta" else {},
    )
    for row, (logits, length) in enumerate(zip(found, lengths, strict=True)):
        np.testing.assert_allclose(logits, theirs.logits[row, :length], atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_list_of_words_has_the_tokens_of_the_text(name, directories):
    _, tokenizer = start(directories / name, Tagging(labels=("x", "y")), of_words=True)
    words = tokenizer([list(WORDS)], is_split_into_words=True, add_special_tokens=False)
    text = tokenizer(" ".join(WORDS), add_special_tokens=False)
    assert words["input_ids"][0] == text["input_ids"]


@pytest.mark.parametrize("of_words", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_saved_tokenizer_keeps_its_own_class(name, of_words, directories, tmp_path):
    with open_encoder(find_encoder(str(directories / name))) as source:
        tokenizer = load_tokenizer(source, source.load(AutoConfig), of_words=of_words)
    save_loadable(tokenizer, tmp_path)
    before, after = (
        json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]
        for folder in (directories / name, tmp_path)
    )
    # transformers 4 does not know the name that the generic class has in transformers 5.
    assert after == ("PreTrainedTokenizerFast" if before == "TokenizersBackend" else before)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is type(tokenizer)
    assert again(SENTENCES[:3]).input_ids == tokenizer(SENTENCES[:3]).input_ids


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_model_has_all_weights_of_its_encoder_and_the_same_new_head(name, directories):
    kind = Classification(labels=("a", "b"))
    model, _ = start(directories / name, kind)
    kept = model.base_model.state_dict()
    encoder = AutoModel.from_pretrained(directories / name).state_dict()
    shared = [key for key in encoder if key in kept]
    assert len(shared) >= len(encoder) - 2 and all(
        "pooler" in key for key in set(encoder) - {*kept}
    )
    for key in shared:
        assert torch.equal(kept[key], encoder[key]), key
    torch.manual_seed(0)
    random = new_model(kind, model.config, None)
    prefix = f"{model.base_model_prefix}."
    heads = [key for key in model.state_dict() if not key.startswith(prefix)]
    assert heads
    for key in heads:
        assert torch.equal(model.state_dict()[key], random.state_dict()[key]), key


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_finished_regression_model_returns_numbers_in_the_unit(name, directories):
    kind = Regression(mean=100.0, deviation=25.0)
    model, tokenizer = start(directories / name, kind)
    before = np.stack(predicted(model, tokenizer, kind, _numbers()))
    kind.finish(model)
    after = np.stack(predicted(model, tokenizer, kind, _numbers()))
    np.testing.assert_allclose(after, 100 + 25 * before, rtol=1e-4)


def _numbers():
    return [TextExample(each.id, each.text, each.pair, "1.0") for each in TEXTS]


# what stands outside the layers; all other parameters of an encoder are in a layer
OUTSIDE = {
    "electra": {"embeddings": 0, "embeddings_project": 0},
    "bert": {"embeddings": 0, "pooler": LAYERS + 1},
    "roberta": {"embeddings": 0},
    "deberta-v2": {"embeddings": 0, "encoder.rel_embeddings": 0, "encoder.LayerNorm": 0},
    "distilbert": {"embeddings": 0},
    "modernbert": {"embeddings": 0, "final_norm": LAYERS + 1},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layer_rates_of_each_architecture(name, directories):
    model, _ = start(directories / name, Classification(labels=("a", "b")))
    groups = optim.layerwise_groups(model, weight_decay=0.01, layer_decay=0.5)
    rates = {id(p): (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    prefix = f"{model.base_model_prefix}."
    seen = set()
    for key, parameter in model.named_parameters():
        rate, decay = rates[id(parameter)]
        inside = key.removeprefix(prefix)
        if inside == key:
            depth = LAYERS + 2  # the head
        elif any(each.isdigit() for each in inside.split(".")):
            depth = 1 + int(next(each for each in inside.split(".") if each.isdigit()))
        else:
            (depth,) = {
                depth for place, depth in OUTSIDE[name].items() if inside.startswith(f"{place}.")
            }
        assert rate == 0.5 ** (LAYERS + 2 - depth), key
        assert (decay == 0) == (parameter.ndim == 1), key  # norms and biases are vectors
        seen.add(depth)
    assert seen >= {0, 1, LAYERS, LAYERS + 2}
    assert len(rates) == len(list(model.parameters()))


def test_layers_that_share_weights_count_once_and_a_model_without_layers_is_refused():
    albert = transformers.AlbertConfig(
        vocab_size=50, embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=16
    )
    found, num_layers = optim.depths(AutoModel.from_config(albert))
    assert num_layers == 1 and set(found.values()) == {0, 1, 2}
    with pytest.raises(ValueError, match="Linear has no list of layers"):
        optim.depths(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_num_positions_is_the_longest_input(name, directories):
    model = AutoModel.from_pretrained(directories / name).eval()
    longest = num_positions(model.config)
    assert longest == POSITIONS
    with torch.no_grad():
        model(input_ids=torch.full((1, longest), 5))
        if name not in ("deberta-v2", "modernbert"):  # their positions are relative
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, longest + 1), 5))


def test_fingerprint_of_a_directory_ignores_path_and_card(directories, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(directories / "bert", copy)
    (copy / "README.md").write_text("a card")
    first, second = find_encoder(str(directories / "bert")), find_encoder(str(copy))
    assert first.fingerprint == second.fingerprint and len(first.fingerprint) == 12
    write_encoder("bert", copy, seed=8)
    assert find_encoder(str(copy)).fingerprint != first.fingerprint
    with (
        pytest.raises(ValueError, match="changed since its trials were planned"),
        open_encoder(second),
    ):
        pass


def test_fingerprint_of_an_artifact_is_its_own(published):
    assert find_encoder(published).fingerprint == published.fingerprint
    assert find_encoder(str(published.folder)) == find_encoder(published)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("./nowhere", r"\./nowhere: no such directory"),
        ("nobody/nothing", "nobody/nothing: AutoConfig cannot load it: "),
    ],
)
def test_missing_model_is_an_error_in_one_line(place, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        find_encoder(place)
    assert "\n" not in str(caught.value)


def test_unusable_models_are_refused(directories, tmp_path):
    kind = Classification(labels=("a", "b"))
    for name in ("foreign", "none", "left", "cut"):
        shutil.copytree(directories / "bert", tmp_path / name)
    roberta = AutoTokenizer.from_pretrained(directories / "roberta")
    roberta.save_pretrained(tmp_path / "foreign")
    with pytest.raises(ValueError, match=r"foreign: its tokenizer has \d+ tokens, and the model"):
        start(tmp_path / "foreign", kind)
    for file in (tmp_path / "none").glob("*token*"):
        file.unlink()
    with pytest.raises(ValueError, match="none: "):
        start(tmp_path / "none", kind)
    bert = AutoTokenizer.from_pretrained(directories / "bert", padding_side="left")
    bert.save_pretrained(tmp_path / "left")
    with pytest.raises(ValueError, match="left: its tokenizer pads on the left"):
        start(tmp_path / "left", kind)
    model = AutoModel.from_pretrained(directories / "bert")
    state = {key: value for key, value in model.state_dict().items() if "layer.1.output" not in key}
    model.save_pretrained(tmp_path / "cut", state_dict=state)
    with pytest.raises(ValueError, match=r"cut: 4 weights of the encoder are missing, such as"):
        start(tmp_path / "cut", kind)
    shutil.copytree(directories / "bert", tmp_path / "shapes")
    wrong = {**model.state_dict(), "encoder.layer.0.output.dense.bias": torch.zeros(3)}
    save_file(wrong, tmp_path / "shapes/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"shapes: .*its weights have other shapes than its"):
        start(tmp_path / "shapes", kind)


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize(
    "unused", ["encoder.layer.2.output.dense.bias", "embeddings.more_embeddings.weight"]
)
def test_unused_weights_of_the_encoder_are_refused(
    directories: Path, tmp_path: Path, prefix: str, unused: str
) -> None:
    """More layers, or the tables of relative positions: without them it is another encoder."""
    shutil.copytree(directories / "bert", tmp_path / "model")
    state = AutoModel.from_pretrained(directories / "bert").state_dict()
    state = {f"{prefix}{name}": value for name, value in state.items()}
    state[f"{prefix}embeddings.position_ids"] = torch.arange(POSITIONS)[None]  # a buffer of old
    state["cls.predictions.bias"] = torch.zeros(7)  # a head
    weights = tmp_path / "model/model.safetensors"
    save_file(state, weights, metadata={"format": "pt"})
    start(tmp_path / "model", Classification(("a", "b")))
    save_file({**state, f"{prefix}{unused}": torch.zeros(7)}, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights of the encoder have no use in BertModel") as e:
        start(tmp_path / "model", Classification(("a", "b")))
    assert unused in str(e.value) and "\n" not in str(e.value)


def write_pointer(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def set_quantised(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))


def quantise(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["pooler.dense.weight"] = state["pooler.dense.weight"].to(torch.int8)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: write_pointer(f, "model.safetensors"),
            r"model\.safetensors: a Git LFS pointer",
        ),
        (lambda f: write_pointer(f, "tokenizer.json"), r"tokenizer\.json: a Git LFS pointer"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "an adapter .*; merge it"),
        (set_quantised, r"a quantised model \(quantization_config in config\.json\)"),
        (quantise, r"pooler\.dense\.weight is quantised \(I8\); give the model in float32"),
        (lambda f: (f / "model.safetensors").rename(f / "model.onnx"), "has neither model.safe"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors cannot be read"),
    ],
)
def test_incomplete_models_are_refused_before_any_trial(
    directories: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(directories / "bert", tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(ValueError, match=message) as caught:
        find_encoder(str(tmp_path / "model"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "is_refused"),
    [
        (transformers.BertConfig(), False),
        (transformers.BertConfig(is_decoder=True), True),
        (transformers.GPT2Config(), True),
        (transformers.T5Config(), True),
        (transformers.XLNetConfig(), True),
        (transformers.FunnelConfig(), False),
        (transformers.CanineConfig(), False),
    ],
    ids=lambda each: getattr(each, "model_type", each),
)
def test_decoders_are_refused(config: Any, is_refused: bool) -> None:
    with pytest.raises(ValueError, match="give an encoder") if is_refused else nullcontext():
        check_encoder("model", config)
