"""`predict` for every head: shape, numbers against the model itself, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
)

from electra_pipeline.serving.predict import HEADS, Predictor, load_predictor, predict
from electra_pipeline.storage.artifact import Artifact, Written, produce
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train
from electra_pipeline.tokenizer.config import TokenizerConfig

WORDS = ("ana", "lives", "in", "paris", "who", "where", "does", "live", "good", "bad", "film")
PIECES = (*SPECIAL_TOKENS, *WORDS, ".", "?", *"xyz", *("##" + c for c in "xyz"))
SHAPE = {
    "vocab_size": len(PIECES),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "max_position_embeddings": 24,
    "initializer_range": 0.5,  # far from uniform, so that mistakes in the decoding show
}
ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


def save(directory: Path, model_class: Any, **settings: Any) -> Path:
    """A small random model of a class, with its tokenizer, as training would leave it."""
    torch.manual_seed(0)
    electra = model_class.__name__.startswith("Electra")
    config = (
        ElectraConfig(embedding_size=8, **SHAPE, **settings)
        if electra
        else BertConfig(**SHAPE, **settings)
    )
    model_class(config).save_pretrained(directory)
    train.save(train.assemble(PIECES, TokenizerConfig()), directory)
    return directory


def ask(directory: Path | str, *lines: str, task: str | None = None) -> list[dict[str, Any]]:
    return answers_of(load_predictor(str(directory), task, "cpu"), *lines)


def answers_of(predictor: Predictor, *lines: str) -> list[Any]:
    return list(predict(predictor, [line.encode() + b"\n" for line in lines]))


def logits_of(predictor: Predictor, *texts: str, output: str = "logits") -> torch.Tensor:
    """One text or pair through the model, without batches, padding or our code."""
    encoded = predictor.loaded.tokenizer(*texts, return_tensors="pt")
    with torch.no_grad():
        return getattr(predictor.loaded.model(**encoded), output)[0]


def test_replaced_tokens(tmp_path: Path) -> None:
    predictor = load_predictor(str(save(tmp_path, ElectraForPreTraining)), device="cpu")
    text = "Ana LIVES in xyz."
    short, answer = answers_of(predictor, "good", text)
    expected = torch.sigmoid(logits_of(predictor, text))[1:-1].tolist()
    assert [(t["token"], text[t["start"] : t["end"]]) for t in answer["tokens"]] == [
        ("ana", "Ana"),
        ("lives", "LIVES"),
        ("in", "in"),
        ("x", "x"),
        ("##y", "y"),
        ("##z", "z"),
        (".", "."),
    ]
    assert [t["probability"] for t in answer["tokens"]] == pytest.approx(expected, abs=1e-5)
    assert [t["replaced"] for t in answer["tokens"]] == [p > 0.5 for p in expected]
    assert len({t["replaced"] for t in answer["tokens"]}) == 2
    assert [t["token"] for t in short["tokens"]] == ["good"]
    assert predictor.task == "replaced-token-detection"


def test_filled_masks(tmp_path: Path) -> None:
    predictor = load_predictor(str(save(tmp_path, ElectraForMaskedLM)), device="cpu")
    text = "[MASK] lives in [MASK] ."
    [answer] = answers_of(predictor, text)
    expected = torch.softmax(logits_of(predictor, text), dim=-1)
    assert [text[m["start"] : m["end"]] for m in answer["masks"]] == ["[MASK]", "[MASK]"]
    for mask, place in zip(answer["masks"], (1, 4), strict=True):
        best = expected[place].topk(5)
        assert [c["token"] for c in mask["candidates"]] == [PIECES[i] for i in best.indices]
        assert [c["probability"] for c in mask["candidates"]] == pytest.approx(
            best.values.tolist(), abs=1e-5
        )


def test_classes_of_texts_and_pairs(tmp_path: Path) -> None:
    labels = {0: "bad", 1: "fine", 2: "good"}
    directory = save(tmp_path, ElectraForSequenceClassification, id2label=labels)
    predictor = load_predictor(str(directory), device="cpu")
    lines = ["good film", "good film\tbad film .", '{"text": "xyz", "text_pair": "bad"}']
    single, pair, given_as_json = answers_of(predictor, *lines)
    for answer, texts in (
        (single, ["good film"]),
        (pair, ["good film", "bad film ."]),
        (given_as_json, ["xyz", "bad"]),
    ):
        expected = torch.softmax(logits_of(predictor, *texts), dim=-1)
        assert answer["label"] == labels[int(expected.argmax())]
        assert answer["score"] == answer["scores"][answer["label"]]
        assert list(answer["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
        assert [answer["text"], *filter(None, [answer.get("text_pair")])] == texts


def test_choices(tmp_path: Path) -> None:
    directory = save(tmp_path, ElectraForMultipleChoice)
    predictor = load_predictor(str(directory), device="cpu")
    lines = [
        "ana lives\tin paris .\tgood film\tbad",
        '{"text": "who", "choices": ["ana", "does live in paris"]}',
    ]
    three, two = answers_of(predictor, *lines)
    assert predictor.task == "multiple-choice"
    for answer in (three, two):
        pairs = [[answer["text"], choice] for choice in answer["choices"]]
        encoded = predictor.loaded.tokenizer(pairs, padding=True, return_tensors="pt")
        with torch.no_grad():
            output = predictor.loaded.model(**{k: v.unsqueeze(0) for k, v in encoded.items()})
        expected = torch.softmax(output.logits[0], dim=-1).tolist()
        assert answer["scores"] == pytest.approx(expected, abs=1e-5)
        assert answer["choice"] == expected.index(max(expected))
        assert answer["score"] == max(answer["scores"])
    assert len(three["scores"]) == 3


def test_regression(tmp_path: Path) -> None:
    directory = save(tmp_path, ElectraForSequenceClassification, num_labels=1)
    predictor = load_predictor(str(directory), device="cpu")
    [answer] = answers_of(predictor, "good film")
    assert answer["value"] == pytest.approx(float(logits_of(predictor, "good film")), abs=1e-5)
    assert "label" not in answer


def test_several_labels_at_once(tmp_path: Path) -> None:
    directory = save(
        tmp_path,
        ElectraForSequenceClassification,
        num_labels=6,
        problem_type="multi_label_classification",
    )
    predictor = load_predictor(str(directory), device="cpu")
    [answer] = answers_of(predictor, "good film")
    expected = torch.sigmoid(logits_of(predictor, "good film"))
    assert list(answer["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer["labels"] == [f"LABEL_{i}" for i in range(6) if expected[i] > 0.5]


def tagger(directory: Path, labels: dict[int, str], tags: dict[str, int]) -> Path:
    """A token classifier that reads its tag off the word's embedding alone."""
    save(directory, ElectraForTokenClassification, id2label=labels, num_labels=len(labels))
    model = ElectraForTokenClassification.from_pretrained(directory)
    shape = ElectraConfig(embedding_size=16, **SHAPE, id2label=labels)
    model = ElectraForTokenClassification(shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if name.endswith("LayerNorm.weight"):
                parameter.fill_(1.0)
        for piece, tag in tags.items():
            model.electra.embeddings.word_embeddings.weight[PIECES.index(piece), tag] = 9.0
        model.classifier.weight.copy_(torch.eye(len(labels), 16))
    model.save_pretrained(directory)
    return directory


def test_tagged_words_and_their_entities(tmp_path: Path) -> None:
    tags = {"ana": 1, "x": 2, "##y": 4, "paris": 3, "lives": 0, "in": 0, ".": 0}
    directory = tagger(tmp_path, ENTITIES, tags)
    text = "Ana xyz lives in Paris."
    [answer] = ask(directory, text)
    assert [(w["word"], w["label"]) for w in answer["words"]] == [
        ("Ana", "B-PER"),
        ("xyz", "I-PER"),  # the tag of its first piece
        ("lives", "O"),
        ("in", "O"),
        ("Paris", "B-LOC"),
        (".", "O"),
    ]
    assert answer["entities"] == [
        {"type": "PER", "text": "Ana xyz", "start": 0, "end": 7},
        {"type": "LOC", "text": "Paris", "start": 17, "end": 22},
    ]
    assert all(text[w["start"] : w["end"]] == w["word"] for w in answer["words"])


def test_words_that_are_given_are_kept_whole(tmp_path: Path) -> None:
    directory = tagger(tmp_path, ENTITIES, {"x": 3, "ana": 1, "in": 0})
    [answer] = ask(directory, json.dumps({"words": ["ana", "in", "x.y?"]}))
    assert [(w["word"], w["label"]) for w in answer["words"]] == [
        ("ana", "B-PER"),
        ("in", "O"),
        ("x.y?", "B-LOC"),
    ]
    assert [entity["text"] for entity in answer["entities"]] == ["ana", "x.y?"]


def test_entities_are_those_of_tags_in_other_notations(tmp_path: Path) -> None:
    labels = {0: "_", 1: "B_PER", 2: "I_PER", 3: "B_LOC"}
    directory = tagger(tmp_path, labels, {"ana": 1, "x": 2, "paris": 3, "in": 0})
    [answer] = ask(directory, "ana x in paris")
    assert [word["label"] for word in answer["words"]] == ["B_PER", "I_PER", "_", "B_LOC"]
    assert [(entity["type"], entity["text"]) for entity in answer["entities"]] == [
        ("PER", "ana x"),
        ("LOC", "paris"),
    ]


def test_tags_of_words_have_no_entities(tmp_path: Path) -> None:
    directory = tagger(tmp_path, {0: "NOUN", 1: "VERB"}, {"ana": 0, "lives": 1})
    [answer] = ask(directory, "ana lives")
    assert [word["label"] for word in answer["words"]] == ["NOUN", "VERB"]
    assert "entities" not in answer


QUESTION = "Where does Ana live?"
CONTEXT = "Ana lives in Paris. " * 8  # longer than the model's 24 tokens: several windows


def test_answers(tmp_path: Path) -> None:
    """A model from elsewhere always answers, with the best span of its two scores."""
    predictor = load_predictor(str(save(tmp_path, ElectraForQuestionAnswering)), device="cpu")
    lines = [f"{QUESTION}\tAna lives in Paris.", json.dumps({"question": "who", "context": "Ana"})]
    answer, other = answers_of(predictor, *lines)
    start = logits_of(predictor, QUESTION, "Ana lives in Paris.", output="start_logits")
    end = logits_of(predictor, QUESTION, "Ana lives in Paris.", output="end_logits")
    words = ["Ana", "lives", "in", "Paris", "."]
    scores = {}
    for first in range(5):
        for last in range(first, 5):
            span = " ".join(words[first : last + 1]).replace(" .", ".")
            scores[span] = float(start[7 + first] + end[7 + last])
    ordered = sorted(scores, key=lambda span: -scores[span])
    assert [answer["answer"], *(a["answer"] for a in answer["alternatives"])] == ordered[:3]
    assert answer["context"][answer["start"] : answer["end"]] == answer["answer"]
    expected = torch.softmax(torch.tensor([scores[span] for span in ordered]), dim=0)
    assert answer["score"] == pytest.approx(float(expected[0]), abs=1e-5)
    assert (other["answer"], other["start"], other["end"]) == ("Ana", 0, 3)


def test_answers_come_from_every_window(tmp_path: Path) -> None:
    save(tmp_path, ElectraForQuestionAnswering)
    model = ElectraForQuestionAnswering.from_pretrained(tmp_path)
    shape = ElectraConfig(embedding_size=16, **SHAPE)
    model = ElectraForQuestionAnswering(shape)
    with torch.no_grad():  # only the piece "film" scores, as start and as end
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        model.electra.embeddings.word_embeddings.weight[PIECES.index("film"), 0] = 9.0
        model.qa_outputs.weight[:, 0] = 3.0
    model.save_pretrained(tmp_path)
    context = CONTEXT + "good film. " + CONTEXT
    [answer] = ask(tmp_path, json.dumps({"question": QUESTION, "context": context}))
    assert (answer["answer"], answer["start"]) == ("film", context.index("film"))
    assert answer["score"] > 0.9
    assert "truncated" not in answer
    [long] = ask(tmp_path, json.dumps({"question": "who " * 30, "context": "ana. good film"}))
    assert long["answer"] == "film"
    assert long["truncated"] is True
    [none] = ask(tmp_path, json.dumps({"question": QUESTION, "context": "\u00ad"}))
    assert (none["answer"], none["start"], none["end"]) == ("", 0, 0)


@pytest.mark.parametrize(
    ("model_class", "line"),
    [
        (ElectraForPreTraining, "ana lives " * 20),
        (ElectraForMaskedLM, "ana lives " * 20 + "[MASK]"),
        (ElectraForSequenceClassification, "ana lives " * 20),
        (ElectraForMultipleChoice, "ana lives " * 20 + "\tgood\tbad"),
    ],
)
def test_long_input_is_marked_as_truncated(model_class: Any, line: str, tmp_path: Path) -> None:
    others = {ElectraForMaskedLM: "[MASK] lives", ElectraForMultipleChoice: "ana\tgood\tbad"}
    short = others.get(model_class, "ana lives")
    answers = ask(save(tmp_path, model_class), short, line)
    assert [answer.get("truncated", False) for answer in answers] == [False, True]
    assert len(answers[1].get("tokens", [])) in (0, 22)


@pytest.mark.parametrize("given", ["text", "words"])
def test_every_word_of_a_long_text_has_its_tag(given: str, tmp_path: Path) -> None:
    """A sentence that is longer than the model's input is windowed, as in scoring."""
    words = ["ana", "lives", "x", "in"] * 20
    tags = {"ana": 1, "x": 2, "paris": 3, "lives": 0, "in": 0}
    directory = tagger(tmp_path, ENTITIES, tags)
    line = " ".join(words) if given == "text" else json.dumps({"words": words})
    [answer] = ask(directory, line)
    assert [(w["word"], w["label"]) for w in answer["words"]] == [
        (word, ENTITIES[tags[word]]) for word in words
    ]
    assert "truncated" not in answer


# What BERT's normalizer removes, white space, what is no token: each is a word as scoring counts.
ODD_WORDS = [
    "\u200b",
    "\xad",
    "",
    " ",
    "\x07",
    "\ufeff",
    "12\xa0000",
    "ana lives",
    "\t",
    "\U0001f600",
]


@pytest.mark.parametrize("odd", ODD_WORDS)
def test_each_given_word_has_one_tag(odd: str, tmp_path: Path) -> None:
    directory = tagger(tmp_path, ENTITIES, {"ana": 1, "in": 0, "paris": 3})
    for words in ([odd], ["ana", odd, "in"], [odd, odd, "paris"]):
        [answer] = ask(directory, json.dumps({"words": words}))
        assert [word["word"] for word in answer["words"]] == words
        text = answer["text"]
        assert [text[word["start"] : word["end"]] for word in answer["words"]] == words
        known = [(w["word"], w["label"]) for w in answer["words"] if w["word"] != odd]
        assert known == [
            (word, {"ana": "B-PER", "in": "O", "paris": "B-LOC"}[word])
            for word in words
            if word != odd
        ]


def test_many_lines_keep_their_order_and_blank_ones_are_null(tmp_path: Path) -> None:
    directory = save(tmp_path, ElectraForSequenceClassification)
    lines = [f"{'xyz'[i % 3]}{'y' * (i % 11)}" for i in range(70)]
    with_blanks = [line for text in lines for line in (text, "  ", "")]
    found = ask(directory, *with_blanks)
    assert [answer and answer["text"] for answer in found] == [
        line for text in lines for line in (text, None, None)
    ]
    answers = found[::3]
    [alone] = ask(directory, lines[40])
    assert answers[40]["scores"] == pytest.approx(alone["scores"], abs=1e-5)


def test_lines_before_an_invalid_one_are_predicted(tmp_path: Path) -> None:
    predictor = load_predictor(str(save(tmp_path, ElectraForMaskedLM)), device="cpu")
    answers: list[str | None] = []
    with pytest.raises(ValueError, match=r"line 4: nothing to fill in 'no mask'; write \[MASK\]"):
        for answer in predict(predictor, [b"[MASK]\n", b"\n", b"a [MASK]\n", b"no mask\n", b"x"]):
            answers.append(answer and answer["text"])
    assert answers == ["[MASK]", None, "a [MASK]"]


@pytest.mark.parametrize(
    ("model_class", "line", "problem"),
    [
        (ElectraForQuestionAnswering, "no context", "line 1: needs a question and a context"),
        (ElectraForQuestionAnswering, '{"question": "who"}', "line 1: context: Field required"),
        (ElectraForQuestionAnswering, "\tana", "line 1: question: String should have at least 1"),
        (ElectraForPreTraining, '{"text": 7}', "line 1: text: Input should be a valid string"),
        (ElectraForPreTraining, '{"txt": "a"}', "line 1: text: Field required"),
        (ElectraForMultipleChoice, "who\tana", "line 1: needs a text and its choices"),
        (
            ElectraForMultipleChoice,
            '{"text": "", "choices": ["a"]}',
            "choices: Tuple should",
        ),
        (ElectraForTokenClassification, '{"words": []}', "give either text or words"),
        (
            ElectraForTokenClassification,
            '{"words": ["a", null]}',
            r"line 1: words\.1: Input",
        ),
        (ElectraForTokenClassification, '{"words": "a b"}', "line 1: words: Input should be"),
        (ElectraForTokenClassification, '{"words": ["a"], "text": "a"}', "either text or words"),
        (ElectraForPreTraining, '{"text": null}', "line 1: text: Input should be a valid string"),
        (ElectraForPreTraining, '{"text": "a", "label": 1}', "line 1: label: Extra inputs"),
    ],
)
def test_invalid_lines_are_refused(
    model_class: Any, line: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        ask(save(tmp_path, model_class), line)
    assert "\n" not in str(error.value)


def test_other_encoders_with_a_fitting_head(tmp_path: Path) -> None:
    [answer] = ask(save(tmp_path / "bert", BertForMaskedLM), "[MASK] film")
    assert len(answer["masks"][0]["candidates"]) == 5
    both = save(tmp_path / "both", BertForPreTraining)
    [chosen] = ask(both, "[MASK] film", task="fill-mask")
    model = AutoModelForMaskedLM.from_pretrained(both).eval()
    ids = torch.tensor([[2, 4, PIECES.index("film"), 3]])
    assert chosen["masks"][0]["candidates"][0]["token"] == PIECES[model(ids).logits[0, 1].argmax()]


@pytest.mark.parametrize(
    ("model_class", "task", "problem"),
    [
        (ElectraForPreTraining, "fill-mask", "ElectraForPreTraining has no trained weights for"),
        (ElectraForMaskedLM, "text-classification", "no trained weights for text-classification"),
        (BertForMaskedLM, "replaced-token-detection", "no trained weights for replaced-token"),
        (ElectraModel, None, "has ElectraModel, which is of no task; choose one"),
        (ElectraForMaskedLM, "translation", "unknown task 'translation'; choose one of replaced"),
    ],
)
def test_model_without_the_head_is_refused(
    model_class: Any, task: str | None, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        load_predictor(str(save(tmp_path, model_class)), task)
    assert "\n" not in str(error.value)


def test_model_with_unused_weights_is_refused(tmp_path: Path) -> None:
    """As one trained with relative positions, which transformers 5 would leave out silently."""
    directory = save(tmp_path, ElectraForPreTraining)
    weights = load_file(directory / "model.safetensors")
    name = "electra.encoder.layer.0.attention.self.distance_embedding.weight"
    weights[name] = torch.rand(47, 8)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights of the encoder have no use .*distance_emb"):
        load_predictor(str(directory))


def test_models_in_half_precision_predict_in_float32(tmp_path: Path) -> None:
    directory = save(tmp_path, ElectraForPreTraining)
    ElectraForPreTraining.from_pretrained(directory).half().save_pretrained(directory)
    predictor = load_predictor(str(directory), device="cpu")
    assert {p.dtype for p in predictor.loaded.model.parameters()} == {torch.float32}


def artifact_of(root: str, stage: str, models: dict[str, Path]) -> Artifact:
    def write(draft: Any) -> Written:
        for name, directory in models.items():
            (draft.folder / name).upload(directory)
        return Written({}, {})

    return produce(
        root=root,
        stage=stage,
        name="test",
        format_version=1,
        config={},
        inputs={},
        write=write,
    )


@pytest.mark.parametrize("where", ["local", "memory"])
def test_artifacts_and_remote_folders(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELECTRA_PIPELINE_CACHE", str(tmp_path / "cache"))
    root = f"memory://{tmp_path.name}" if where == "memory" else str(tmp_path / "root")
    models = {
        "discriminator": save(tmp_path / "discriminator", ElectraForPreTraining),
        "generator": save(tmp_path / "generator", ElectraForMaskedLM),
    }
    classifier = save(tmp_path / "model", ElectraForSequenceClassification)
    published = artifact_of(root, "publish", models).folder
    finetuned = artifact_of(root, "finetune", {"model": classifier}).folder
    expected = ask(models["discriminator"], "ana lives")
    assert ask(str(published), "ana lives") == expected
    assert ask(f"{published}/discriminator", "ana lives") == expected
    filled = ask(models["generator"], "ana [MASK]")
    assert ask(str(published), "ana [MASK]", task="fill-mask") == filled
    assert ask(str(finetuned), "ana lives") == ask(classifier, "ana lives")
    for stage, remedy in (("finetune", "finetune.keep_models=all"), ("pretrain", "publish it")):
        empty = artifact_of(f"{root}/empty", stage, {}).folder
        with pytest.raises(ValueError, match=remedy):
            load_predictor(str(empty))
    if where == "memory":
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_head_of_the_same_shape_is_not_another_task(tmp_path: Path) -> None:
    model = str(save(tmp_path, ElectraForSequenceClassification, num_labels=3))
    with pytest.raises(ValueError, match=r"no trained weights for token-classification \(its head"):
        load_predictor(model, "token-classification")
    assert load_predictor(model, "text-classification").task == "text-classification"


def test_nan_and_infinite_weights_are_refused(tmp_path: Path) -> None:
    model = save(tmp_path, ElectraForSequenceClassification, num_labels=3)
    weights = load_file(model / "model.safetensors")
    weights["classifier.out_proj.bias"][0] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"classifier\.out_proj\.bias has values that are NaN or inf"
    ):
        load_predictor(str(model))


def test_missing_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "folder").mkdir()
    broken = save(tmp_path / "broken", ElectraForPreTraining)
    (broken / "model.safetensors").unlink()
    cut = save(tmp_path / "cut", ElectraForPreTraining)
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    garbled = save(tmp_path / "garbled", ElectraForPreTraining)
    (garbled / "tokenizer.json").write_text("{")
    bare = save(tmp_path / "bare", ElectraForPreTraining)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (bare / name).unlink()
    for model, problem in (
        (str(tmp_path / "nowhere"), "no such directory"),
        ("./nowhere", "no such directory"),
        ("memory://nowhere/model", "does not exist"),
        ("nobody/nothing", "cannot load it"),
        (str(tmp_path / "folder"), "neither a model .* nor a finished artifact"),
        (str(broken), "has neither model.safetensors nor pytorch_model.bin"),
        (str(cut), "model.safetensors cannot be read"),
        (str(garbled), "cannot load it"),
        (str(bare), "its tokenizer has 5 tokens, and the model embeds"),
    ):
        with pytest.raises(ValueError, match=problem) as error:
            load_predictor(model)
        assert "\n" not in str(error.value)
        assert model in str(error.value)


def test_tasks_are_named_as_transformers_names_them() -> None:
    from transformers.pipelines import SUPPORTED_TASKS

    # question-answering was removed there; multiple-choice has a head and no pipeline
    ours_alone = {"replaced-token-detection", "question-answering", "multiple-choice"}
    assert set(HEADS) - ours_alone <= set(SUPPORTED_TASKS)
