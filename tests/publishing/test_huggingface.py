"""Publishing: plain transformers loads the directories, and the documented snippets run on them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import Tokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoTokenizer,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from electra_pipeline.core.execution import StageContext
from electra_pipeline.publishing.huggingface import PublishConfig, corpus_languages, publish
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce, verify
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train
from electra_pipeline.tokenizer.config import TokenizerConfig

SENTENCE = "The quick brown fox jumps over the lazy dog"
FAKE_SENTENCE = "The quick brown fox fake over the lazy dog"
WORDS = sorted({*FAKE_SENTENCE.lower().split(), "jumps", "el", "zorro", "rojo", "muy", "rápido"})
TOKENS = (*SPECIAL_TOKENS, *WORDS, *"abcdefghij", *("##" + c for c in "abcdefghij"), ".", ",")
POSITIONS = 48  # fewer than the tokenizer's 512
HELD_OUT = {
    "generator_loss": 2.5,
    "generator_accuracy": 0.4321,
    "sampled_accuracy": 0.3,
    "discriminator_loss": 0.31,
    "discriminator_accuracy": 0.91,
    "discriminator_precision": 0.6,
    "discriminator_recall": 0.35,
    "discriminator_auc": 0.8765,
    "base_rate_accuracy": 0.875,
    "prior_entropy": 0.3768,
}


def make_tokenizer(root: Path) -> Artifact:
    def write(draft: Draft) -> Written:
        train.save(
            train.assemble(TOKENS, TokenizerConfig()),
            Path(draft.folder.path) / "tokenizer",
        )
        counters = {
            "vocab_size": len(TOKENS),
            "lowercase": True,
            "strip_accents": False,
            "fertility": 1.25,
            "unknown_fraction": 0.01,
        }
        return Written(counters=counters, observed={})

    return make(root, "tokenizer", {}, {"corpus": "c0"}, write)


def make_corpus(root: Path, language: str | None = "en", **counters: Any) -> Artifact:
    held = {
        "documents": {"train": 1234, "held_out": 12},
        "words": {"train": 56789, "held_out": 500},
        "characters": {"train": 300000, "held_out": 3000},
        "bytes": {"train": 300100, "held_out": 3001},
        "sources": {
            "news": {"read": 1300, "kept": 1246, "dropped": {"too_short": 50, "duplicate": 4}}
        },
        "languages": {"en": 1230, "es": 16},
        **counters,
    }
    return make(root, "corpus", {"language": language}, {}, lambda draft: Written(held, {}))


def make_pretrained(root: Path, tokenizer_fingerprint: str, **held_out: float | None) -> Artifact:
    """Untrained models with the joints of real ones: a projected embedding, a tied output."""
    common = {
        "vocab_size": len(TOKENS),
        "embedding_size": 8,
        "num_attention_heads": 2,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
    }

    def write(draft: Draft) -> Written:
        torch.manual_seed(0)
        folder = Path(draft.folder.path)
        ElectraForPreTraining(
            ElectraConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, **common)
        ).save_pretrained(folder / "discriminator")
        ElectraForMaskedLM(
            ElectraConfig(hidden_size=12, intermediate_size=16, num_hidden_layers=1, **common)
        ).save_pretrained(folder / "generator")
        measured = {k: v for k, v in {**HELD_OUT, **held_out}.items() if v is not None}
        counters = {
            "steps": 1000,
            "tokens_seen": 16_384_000,
            "parameters": {"generator": 1001, "discriminator": 12345, "joint": 13000},
            "held_out": measured,
        }
        draft.folder.write_bytes("metrics.jsonl", b"")
        return Written(counters=counters, observed={})

    config = {"size": "tiny", "steps": 1000, "learning_rate": 0.0005, "model": {"dropout": None}}
    inputs = {"tokenizer": tokenizer_fingerprint, "sequences": "s0", "case": str(held_out)}
    return make(root, "pretrain", config, inputs, write)


def make(root: Path, stage: str, config: Any, inputs: Any, write: Any) -> Artifact:
    return produce(
        root=str(root),
        stage=stage,
        name="test",
        format_version=1,
        config=config,
        inputs=inputs,
        write=write,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def tokens(root: Path) -> Artifact:
    return make_tokenizer(root)


@pytest.fixture(scope="module")
def corpus(root: Path) -> Artifact:
    return make_corpus(root)


@pytest.fixture(scope="module")
def pretrained(root: Path, tokens: Artifact) -> Artifact:
    return make_pretrained(root, tokens.fingerprint)


@pytest.fixture(scope="module")
def published(root: Path, pretrained: Artifact, tokens: Artifact, corpus: Artifact) -> Artifact:
    return publish(PublishConfig(), pretrained, tokens, corpus, StageContext(str(root), "tiny-en"))


def card_of(artifact: Artifact, kind: str) -> tuple[dict[str, Any], str]:
    text = artifact.folder.read_bytes(f"{kind}/README.md").decode()
    _, front_matter, body = text.split("---\n", 2)
    return yaml.safe_load(front_matter), body


def test_each_directory_is_complete(published: Artifact) -> None:
    for kind in ("discriminator", "generator"):
        assert [name.removeprefix(f"{kind}/") for name in published.file_names(f"{kind}/")] == [
            "README.md",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ]
    assert verify(published) == []
    assert published.counters["steps"] == 1000


def test_weights_are_the_pretrained_ones(pretrained: Artifact, published: Artifact) -> None:
    for kind, loader in (
        ("discriminator", AutoModelForPreTraining),
        ("generator", AutoModelForMaskedLM),
    ):
        before = loader.from_pretrained(pretrained.local_folder(kind)).eval()
        after, report = loader.from_pretrained(
            published.local_folder(kind), output_loading_info=True
        )
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        ids = torch.randint(5, len(TOKENS), (3, 20), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(before(ids).logits, after.eval()(ids).logits)


def test_tokenizer_is_the_trained_one_limited_to_the_models_positions(
    tokens: Artifact, published: Artifact
) -> None:
    backend = Tokenizer.from_file(str(tokens.local_folder("tokenizer") / "tokenizer.json"))
    loaded = AutoTokenizer.from_pretrained(published.local_folder("generator"))
    text = "El zorro RÁPIDO jumps over."
    assert loaded(text).input_ids == backend.encode(text).ids
    assert loaded.model_max_length == POSITIONS
    assert len(loaded("a " * 500, truncation=True).input_ids) == POSITIONS


LOAD_EVERYWHERE = """
import json, sys, torch
from transformers import (AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, AutoTokenizer,
    ElectraForMaskedLM, ElectraForPreTraining, ElectraTokenizerFast, pipeline)
for kind, auto, electra in (("discriminator", AutoModelForPreTraining, ElectraForPreTraining),
                            ("generator", AutoModelForMaskedLM, ElectraForMaskedLM)):
    for loader in (auto, electra):
        model, report = loader.from_pretrained(kind, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        assert type(model) is electra
    texts = ["the quick brown fox", "el zorro", "über"]
    ids = [l.from_pretrained(kind)(texts).input_ids for l in (AutoTokenizer, ElectraTokenizerFast)]
    assert ids[0] == ids[1]
guesses = pipeline("fill-mask", model="generator")("the quick [MASK] fox", top_k=3)
assert len(guesses) == 3
vectors = pipeline("feature-extraction", model="discriminator")("the quick brown fox")
print(json.dumps([len(vectors[0]), len(vectors[0][0])]))
"""


# The snippets of the published ELECTRA documents, word for word but for the model's name.
ELECTRA_DISCRIMINATOR = """
from transformers import ElectraForPreTraining, ElectraTokenizerFast
import torch

discriminator = ElectraForPreTraining.from_pretrained("discriminator")
tokenizer = ElectraTokenizerFast.from_pretrained("discriminator")

sentence = {sentence!r}
fake_sentence = {fake!r}

fake_tokens = tokenizer.tokenize(fake_sentence)
fake_inputs = tokenizer.encode(fake_sentence, return_tensors="pt")
discriminator_outputs = discriminator(fake_inputs)
predictions = torch.round((torch.sign(discriminator_outputs[0]) + 1) / 2)

[print("%7s" % token, end="") for token in fake_tokens]

[print("%7s" % int(prediction), end="") for prediction in predictions.squeeze().tolist()[1:-1]]
"""  # squeeze(): transformers' first ELECTRA returned (T,) for one sentence, today's returns (1, T)


# As published, but that it used torch without importing it, and filled `input_text`, not the mask.
ELECTRA_GENERATOR = """
import torch
from transformers import ElectraForMaskedLM, ElectraTokenizer

model_name = "generator"
model = ElectraForMaskedLM.from_pretrained(model_name)
tokenizer = ElectraTokenizer.from_pretrained(model_name)

input_text = "The quick brown fox jumps over the lazy "
masked_input = input_text + "[MASK]"
input_ids = tokenizer.encode(masked_input, add_special_tokens=True)

with torch.no_grad():
    prediction = model(torch.tensor([input_ids]))[0]

predicted_token = prediction[0, input_ids.index(tokenizer.mask_token_id)].argmax().item()
predicted_word = tokenizer.decode([predicted_token])
print("Completed Sentence: " + masked_input.replace("[MASK]", predicted_word))
"""


# transformers' model_doc/electra.md: the classification and padding snippets over a discriminator
# (its classifier is new here, as before any fine-tuning); torch_dtype is called dtype today.
ELECTRA_DOCUMENTATION = """
import torch
from transformers import AutoTokenizer, AutoModelForSequenceClassification, pipeline

tokenizer = AutoTokenizer.from_pretrained("discriminator")
model = AutoModelForSequenceClassification.from_pretrained("discriminator", dtype=torch.float16)
inputs = tokenizer("ELECTRA is more efficient than BERT", return_tensors="pt")

with torch.no_grad():
    outputs = model(**inputs)
    logits = outputs.logits
    predicted_class_id = logits.argmax(dim=-1).item()
    predicted_label = model.config.id2label[predicted_class_id]
print(f"Predicted label: {predicted_label}")

inputs = tokenizer(["Short text", "This is a much longer text that needs padding"],
                padding=True,
                return_tensors="pt")
outputs = model(**inputs)
assert outputs.logits.shape == (2, 2)

classifier = pipeline(task="text-classification", model="discriminator", dtype=torch.float16)
print(classifier("This restaurant has amazing food!"))
"""


RUN_ALL = """
import contextlib, io, json, sys
printed = {}
for name, code in json.load(sys.stdin).items():
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, name, "exec"), {})
    printed[name] = output.getvalue()
assert not any(name.startswith("electra_pipeline") for name in sys.modules)
print(json.dumps(printed))
"""


def snippets_of_card(published: Artifact, kind: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card_of(published, kind)[1], flags=re.DOTALL)


@pytest.fixture(scope="module")
def printed(published: Artifact) -> dict[str, str]:
    """What each snippet prints in a process that knows transformers but not us."""
    spanish = {"sentence": "el zorro rojo es muy rápido", "fake": "el zorro rojo es muy ser"}
    snippets = {
        "load": LOAD_EVERYWHERE,
        "discriminator": ELECTRA_DISCRIMINATOR.format(sentence=SENTENCE, fake=FAKE_SENTENCE),
        "spanish": ELECTRA_DISCRIMINATOR.format(**spanish),
        "generator": ELECTRA_GENERATOR,
        "documentation": ELECTRA_DOCUMENTATION,
        "discriminator card": "\n".join(snippets_of_card(published, "discriminator")),
        "generator card": "\n".join(snippets_of_card(published, "generator")),
    }
    run = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=published.folder.path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        input=json.dumps(snippets),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    outputs: dict[str, str] = json.loads(run.stdout)
    return outputs


@pytest.mark.integration
def test_plain_transformers_loads_everything(printed: dict[str, str]) -> None:
    assert json.loads(printed["load"]) == [6, 16]


@pytest.mark.integration
def test_discriminator_snippet(printed: dict[str, str]) -> None:
    words = printed["discriminator"].split()
    assert words[:9] == FAKE_SENTENCE.lower().split()
    assert len(words) == 18
    assert set(words[9:]) <= {"0", "1"}
    assert printed["spanish"].split()[:5] == ["el", "zorro", "rojo", "[UNK]", "muy"]


@pytest.mark.integration
def test_generator_snippet(printed: dict[str, str]) -> None:
    completed = printed["generator"]
    assert completed.startswith("Completed Sentence: The quick brown fox jumps over the lazy ")
    assert "[MASK]" not in completed


@pytest.mark.integration
def test_documentation_snippets(printed: dict[str, str]) -> None:
    assert re.search(r"Predicted label: LABEL_[01]", printed["documentation"])


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "num_lines"), [("discriminator", 11), ("generator", 5)])
def test_snippets_of_the_card_run_in_its_directory(
    printed: dict[str, str], kind: str, num_lines: int
) -> None:
    lines = printed[f"{kind} card"].strip().splitlines()
    assert len(lines) == num_lines
    assert all(0 <= float(line.split()[-1]) <= 1 for line in lines)


def test_front_matter(published: Artifact) -> None:
    assert card_of(published, "generator")[0] == {
        "language": ["en"],
        "library_name": "transformers",
        "tags": ["electra", "electra-generator"],
        "pipeline_tag": "fill-mask",
    }
    assert "pipeline_tag" not in card_of(published, "discriminator")[0]


def test_card_has_the_values_of_the_manifests(
    published: Artifact, pretrained: Artifact, tokens: Artifact, corpus: Artifact
) -> None:
    _, body = card_of(published, "discriminator")
    for expected in (
        "# tiny-en: ELECTRA discriminator",
        "| Parameters | 12,345 |",
        "| Hidden size | 16 |",
        "| Embedding size | 8 |",
        f"| Vocabulary | {len(TOKENS)} WordPiece tokens, uncased, accents kept |",
        "| discriminator auc | 0.8765 | 0.5000 | at random |",
        "| discriminator accuracy | 0.9100 | 0.8750 | all original |",
        "| discriminator loss | 0.3100 | 0.3768 | rate of replaced tokens |",
        "1,000 steps, 16,384,000 tokens seen; learning_rate 0.0005, size tiny.",
        "| train | 1,234 | 56,789 | 300,000 | 300,100 |",
        "| held-out | 12 | 500 | 3,000 | 3,001 |",
        "| news | 1,300 | 1,246 | too short 50, duplicate 4 |",
        "unknown: none was stated; set `publish.license`",
        *(artifact.fingerprint for artifact in (pretrained, tokens, corpus)),
    ):
        assert expected in body
    assert "learnt the prior" not in body
    assert not re.search(r"\n{3,}|[{}]{2}", body)
    generator = card_of(published, "generator")[1]
    assert "| generator accuracy | 0.4321 |" in generator
    assert "| Hidden size | 12 |" in generator


def test_card_has_the_values_of_the_configuration(
    root: Path, pretrained: Artifact, tokens: Artifact, corpus: Artifact
) -> None:
    config = PublishConfig(
        title="Zorro",
        hub_name="someone/zorro",
        license="cc-by-sa-4.0",
        languages=("es", "no"),
        example='el zorro "rojo" es muy rápido',
    )
    artifact = publish(config, pretrained, tokens, corpus, StageContext(str(root), "stated"))
    metadata, body = card_of(artifact, "generator")
    assert metadata["license"] == "cc-by-sa-4.0"
    assert metadata["language"] == ["es", "no"]  # not the YAML boolean
    assert "# Zorro: ELECTRA generator" in body
    assert 'model="someone/zorro-generator"' in body
    assert r'"el zorro \"rojo\" es muy rápido".split()' in body
    assert "| Licence | cc-by-sa-4.0 |" in body


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        ({"discriminator_auc": 0.5312}, "has only learnt the prior: its held-out loss is 0.3100"),
        (dict.fromkeys(HELD_OUT), "Not measured: the corpus has no held-out documents."),
    ],
    ids=["prior", "unmeasured"],
)
def test_card_warns(
    root: Path,
    tokens: Artifact,
    corpus: Artifact,
    held_out: dict[str, float | None],
    expected: str,
) -> None:
    weak = make_pretrained(root, tokens.fingerprint, **held_out)
    artifact = publish(PublishConfig(), weak, tokens, corpus, StageContext(str(root), "weak"))
    assert expected in card_of(artifact, "discriminator")[1]


def test_languages_come_from_the_corpus(tmp_path: Path) -> None:
    assert corpus_languages(make_corpus(tmp_path, "eu")) == ("eu",)
    mixed = make_corpus(tmp_path, None, languages={"es": 900, "ca": 95, "fr": 5})
    assert corpus_languages(mixed) == ("ca", "es")
    assert corpus_languages(make_corpus(tmp_path / "none", None, languages={})) == ()


def test_bytes_are_equal_on_every_run(
    published: Artifact, pretrained: Artifact, tokens: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    again = publish(
        PublishConfig(), pretrained, tokens, corpus, StageContext(str(tmp_path), "tiny-en")
    )
    assert again.folder.read_bytes("manifest.json") == published.folder.read_bytes("manifest.json")


def test_another_name_is_another_card(
    published: Artifact, pretrained: Artifact, tokens: Artifact, corpus: Artifact, root: Path
) -> None:
    other = publish(PublishConfig(), pretrained, tokens, corpus, StageContext(str(root), "other"))
    assert other.fingerprint != published.fingerprint


def test_another_tokenizer_is_refused(root: Path, corpus: Artifact, tokens: Artifact) -> None:
    stranger = make_pretrained(root, "0123456789ab")
    with pytest.raises(ValueError, match="trained with tokenizer 0123456789ab, not with"):
        publish(PublishConfig(), stranger, tokens, corpus, StageContext(str(root), "stranger"))


@pytest.mark.parametrize("hub_name", ["two words", "a/b/c", "../x"])
def test_impossible_hub_names_are_refused(hub_name: str) -> None:
    with pytest.raises(ValueError, match="hub_name"):
        PublishConfig(hub_name=hub_name)
