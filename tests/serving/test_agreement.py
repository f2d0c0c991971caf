"""`predict` gives what scoring wrote into `predictions.parquet`, for every kind of task.

Of trials in float32, in which `predict` computes; bfloat16 rounds differently.
"""

import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import (
    ElectraConfig,
    ElectraForPreTraining,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

from electra_pipeline.core.execution import StageContext
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.loop import reproducible
from electra_pipeline.finetuning.plan import plan
from electra_pipeline.finetuning.run import run_trial
from electra_pipeline.results import predictions
from electra_pipeline.serving.loaded import BATCH_SIZE
from electra_pipeline.serving.predict import Predictor, load_predictor, predict
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train as tokenizer_stage
from electra_pipeline.tokenizer.config import TokenizerConfig

LETTERS = "abcdefghijklmnopqrstuvwxyz\u00e9\u6771\u4eac\u0e01\u0e32\U0001f600.,?'"
PIECES = (*SPECIAL_TOKENS, "red", "dog", "house", *LETTERS, *(f"##{each}" for each in LETTERS))
MAX_LENGTH = 40  # less than the model's positions: what was cut in scoring is cut in serving
TEXTS = (
    "red dog",
    "  leading spaces, and trailing ones  ",
    "un caf\u00e9 rouge",
    unicodedata.normalize("NFD", "un caf\u00e9 rouge"),
    "\u6771\u4eac red \u6771",
    "\u0e01\u0e32\u0e01\u0e32\u0e01\u0e32 dog",
    "dog \U0001f600 house \U0001f468\u200d\U0001f469\u200d\U0001f467 red",
    "no\u00a0break\u00a0spaces",
    "tab in JSON, \u2028 and \x85 in the text",
    "[MASK] and [SEP] as text",
    "dog house red. " * 40,  # cut, or windowed
    "x" * 300,
)


def write_lines(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    return str(path)


def rows(
    kind: str, folder: Path, name: str, number: int
) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """A file of examples, the same as inputs of `predict`, and what the task has to be told."""
    texts = [TEXTS[i % len(TEXTS)] for i in range(number)]
    file = folder / f"{name}.jsonl"
    match kind:
        case "classification" | "pairs" | "regression":
            labels = [i % 3 if kind == "regression" else "abc"[i % 3] for i in range(number)]
            inputs = [{"text": text} for text in texts]
            if kind == "pairs":
                inputs = [
                    {"text": a, "text_pair": b} for a, b in zip(texts, texts[::-1], strict=True)
                ]
            records = [{**each, "label": label} for each, label in zip(inputs, labels, strict=True)]
            told = {"pair_column": "text_pair"} if kind == "pairs" else {}
            return write_lines(file, records), inputs, told
        case "tagging":
            inputs = [{"words": [*text.split(" "), "\u200b", "\xad"]} for text in texts]
            records = [
                {
                    "tokens": each["words"],
                    "tags": [("O", "B-X")[len(w) % 2] for w in each["words"]],
                }
                for each in inputs
            ]
            return write_lines(file, records), inputs, {}
        case "multiple-choice":
            inputs = [
                {"text": text, "choices": [text[::-1][:9], "dog", *texts[:i]]}
                for i, text in enumerate(texts[:number])
            ]
            inputs = [each | {"choices": each["choices"][:4]} for each in inputs]
            records = [{**each, "label": i % 2} for i, each in enumerate(inputs)]
            return write_lines(file, records), inputs, {}
    asked = ("which one?", "  where, red or dog, is " + "the house " * 20)
    inputs = [
        {"question": asked[i % 4 == 3], "context": f"{text} {i}"} for i, text in enumerate(texts)
    ]
    paragraphs = []
    for i, each in enumerate(inputs):
        is_impossible = kind == "unanswerable" and i % 2 == 1
        start = len(each["context"]) - len(str(i))
        answers = [] if is_impossible else [{"text": str(i), "answer_start": start}]
        question = {"id": str(i), "question": each["question"], "answers": answers}
        paragraphs.append({"context": each["context"], "qas": [question]})
    file = file.with_suffix(".json")
    file.write_bytes(orjson.dumps({"data": [{"paragraphs": paragraphs}]}))
    return str(file), inputs, {}


def wordpiece(directory: Path) -> str:
    torch.manual_seed(0)
    shape = ElectraConfig(
        vocab_size=len(PIECES),
        embedding_size=16,
        hidden_size=32,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=64,
        initializer_range=0.3,  # far from uniform: other inputs get other outputs
    )
    ElectraForPreTraining(shape).save_pretrained(directory)
    tokenizer_stage.save(tokenizer_stage.assemble(PIECES, TokenizerConfig()), directory)
    return str(directory)


def byte_level(directory: Path) -> str:
    """An encoder whose tokens depend on the white space around a word, and without segments."""
    torch.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, "\u0120d", "og", "re"]
    merges = [("\u0120", "d"), ("o", "g"), ("r", "e")]
    tokenizer = RobertaTokenizer(vocab={p: i for i, p in enumerate(pieces)}, merges=merges)
    shape = RobertaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=66,
        type_vocab_size=1,
        pad_token_id=1,
        initializer_range=0.3,
    )
    RobertaForMaskedLM(shape).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


MODELS: dict[str, Callable[[Path], str]] = {"wordpiece": wordpiece, "byte-level": byte_level}
KINDS = {
    "classification": "classification",
    "pairs": "classification",
    "regression": "regression",
    "tagging": "tagging",
    "multiple-choice": "multiple-choice",
    "answerable": "question-answering",
    "unanswerable": "question-answering",
}
Trial = tuple[str, Artifact, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=itertools.product(KINDS, MODELS), ids="-".join)
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A kind, its finished trial, and the validation examples as inputs of `predict`."""
    kind, model = request.param
    folder = tmp_path_factory.mktemp(kind)
    train, _, told = rows(kind, folder, "train", 200)
    validation, inputs, _ = rows(kind, folder, "validation", 2 * len(TEXTS))
    assert len(inputs) <= BATCH_SIZE
    task = UserTask(
        name=kind, type=KINDS[kind], train=train, validation=validation, epochs=2, **told
    )
    config = FinetuneConfig(
        tasks=(task,),
        seeds=(0,),
        baselines=(),
        learning_rate=3e-3,
        layer_decay=1.0,
        batch_examples=BATCH_SIZE,
        max_length=MAX_LENGTH,
    )
    start = MODELS[model](folder / "model")
    (trial,) = plan(config, start, StageContext(str(folder / "runs"), "test"))
    return kind, run_trial(trial, precision="float32"), inputs


def scored(kind: str, answer: dict[str, Any]) -> tuple[Any, Any]:
    """Prediction and detail of `predictions.parquet`, from an answer of `predict`."""
    match kind:
        case "classification" | "pairs":
            return answer["label"], {"probabilities": answer["scores"]}
        case "regression":
            return answer["value"], None
        case "tagging":
            return [word["label"] for word in answer["words"]], None
        case "multiple-choice":
            return answer["choice"], {"probabilities": answer["scores"]}
    given = [answer, *answer["alternatives"]]
    best = sorted(given, key=lambda each: -each["score"])
    return answer["answer"], {
        "null_margin": answer.get("null_margin"),
        "best": [(each["answer"], each["score"]) for each in best],
    }


def expected(kind: str, row: dict[str, Any]) -> tuple[Any, Any]:
    """Of a row of `predictions.parquet`, what `predict` shows: probabilities with six places."""
    detail = row["detail"]
    if kind == "multiple-choice":
        detail = {"probabilities": [round(share, 6) for share in detail["probabilities"]]}
    elif KINDS[kind] == "question-answering":
        best = [(each["text"], round(each["probability"], 6)) for each in detail["best"]]
        shown = [each for each in best if each[0] == row["prediction"]]
        shown += [each for each in best if each[0] != row["prediction"]][:2]
        detail = {
            "null_margin": detail["null_margin"],
            "best": sorted(shown, key=lambda each: -each[1]),
        }
    return row["prediction"], detail


def asked(predictor: Predictor, inputs: list[dict[str, Any]]) -> list[Any]:
    with reproducible(0, num_threads=1):  # as many as the trial had
        return list(predict(predictor, [orjson.dumps(each) + b"\n" for each in inputs]))


def test_predict_gives_the_scored_predictions_exactly(trial: Trial) -> None:
    """The batches are the same here, and so is each sum of floats."""
    kind, artifact, inputs = trial
    (found,) = predictions.read(artifact).values()
    answers = asked(load_predictor(str(artifact.folder), device="cpu"), inputs)
    wanted = [expected(kind, row) for row in found]
    assert [scored(kind, answer) for answer in answers] == wanted
    assert len(set(map(str, wanted))) > 1
    if kind == "unanswerable":
        assert "threshold" in artifact.counters["calibration"]
        for answer in answers:
            assert (answer["answer"] == "") == (answer["null_margin"] > 0)
            assert answer["context"][answer["start"] : answer["end"]] == answer["answer"]
    if kind == "answerable":
        assert all(answer["answer"] for answer in answers)


def test_predictions_in_other_batches_differ_only_by_rounding(trial: Trial) -> None:
    """Kernels sum in another order for another shape: float32 has seven digits."""
    kind, artifact, inputs = trial
    predictor = load_predictor(str(artifact.folder), device="cpu")
    together = asked(predictor, inputs)
    one_by_one = [answer for each in inputs for answer in asked(predictor, [each])]
    for first, second in zip(together, one_by_one, strict=True):
        prediction, detail = scored(kind, first)
        again, other = scored(kind, second)
        assert again == pytest.approx(prediction, abs=1e-4)
        if kind in ("classification", "pairs", "multiple-choice"):
            assert other["probabilities"] == pytest.approx(detail["probabilities"], abs=1e-4)


def test_saved_config_has_the_decoding_settings(trial: Trial) -> None:
    kind, artifact, _ = trial
    config = orjson.loads(artifact.folder.read_bytes("model/config.json"))["electra_pipeline"]
    assert config["max_length"] == MAX_LENGTH
    assert config.get("pairs") == {"pairs": True, "tagging": None}.get(
        kind, False if kind in ("classification", "regression") else None
    )
    if KINDS[kind] == "question-answering":
        calibration = artifact.counters["calibration"]
        decoding = {
            "has_unanswerable": kind == "unanswerable",
            "threshold": calibration.get("threshold", 0.0),
            "question_tokens": 64,
            "stride_tokens": 128,
            "answer_tokens": 30,
            "num_best": 20,
        }
        assert config["question_answering"].items() >= decoding.items()
    else:
        assert "question_answering" not in config


def changed_config(artifact: Artifact, folder: Path, change: Callable[[Any], None]) -> str:
    for name in artifact.file_names("model/"):
        (folder / Path(name).name).write_bytes(artifact.folder.read_bytes(name))
    config = orjson.loads((folder / "config.json").read_bytes())
    change(config)
    (folder / "config.json").write_bytes(orjson.dumps(config))
    return str(folder)


def test_invalid_setting_is_an_error_in_one_line(trial: Trial, tmp_path: Path) -> None:
    _, artifact, _ = trial

    def break_length(config: Any) -> None:
        config["electra_pipeline"]["max_length"] = "long"

    with pytest.raises(ValueError, match=r"electra_pipeline\.max_length: .*remove the key$") as e:
        load_predictor(changed_config(artifact, tmp_path, break_length), device="cpu")
    assert "\n" not in str(e.value)


def test_model_without_decoding_settings_warns_once(
    trial: Trial, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind, artifact, inputs = trial
    folder = tmp_path / "model"
    folder.mkdir()
    changed_config(artifact, folder, lambda config: config.pop("electra_pipeline"))
    (tmp_path / "manifest.json").write_bytes(artifact.folder.read_bytes("manifest.json"))
    predictor = load_predictor(str(folder), device="cpu")
    asked(predictor, inputs[:2])
    asked(predictor, inputs[:2])
    assert caplog.text.count("has no electra_pipeline settings") == 1
    (tmp_path / "manifest.json").unlink()
    caplog.clear()
    load_predictor(str(folder), device="cpu")  # of somebody else's: nobody scored it here
    is_question = KINDS[kind] == "question-answering"
    assert caplog.text.count("has no electra_pipeline settings") == is_question


def test_model_from_elsewhere_always_answers(trial: Trial, tmp_path: Path) -> None:
    kind, artifact, inputs = trial
    if kind != "unanswerable":
        return
    directory = changed_config(artifact, tmp_path, lambda config: config.pop("electra_pipeline"))
    answers = asked(load_predictor(directory, device="cpu"), inputs)
    assert all(answer["answer"] and "null_margin" not in answer for answer in answers)
