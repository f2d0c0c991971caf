"""A pipeline small enough to run whole in a test: generated English, a tiny model, two tasks."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

SUBJECTS = ("the old baker", "a young doctor", "our neighbour", "the tired sailor", "my sister")
VERBS = ("remembers", "paints", "repairs", "describes", "carries", "admires", "forgets")
OBJECTS = ("the wooden boat", "a small garden", "the long letter", "an empty house", "the bread")
PLACES = ("near the river", "behind the station", "in the morning", "after the storm", "at home")


def sentence(rng: random.Random) -> str:
    words = (rng.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, PLACES))
    return " ".join(words).capitalize() + f" with {rng.randint(2, 99)} friends."


def write_inputs(folder: Path) -> None:
    """Documents, and a classification and a tagging task that words alone decide."""
    rng = random.Random(0)
    with (folder / "documents.jsonl").open("w") as file:
        for number in range(300):
            text = " ".join(sentence(rng) for _ in range(8))
            file.write(json.dumps({"text": text, "url": f"https://example.org/{number}"}) + "\n")
    for split in ("train", "validation"):
        with (folder / f"{split}.tsv").open("w") as file:
            file.write("text\tlabel\n")
            for _ in range(40):
                text = sentence(rng)
                file.write(f"{text}\t{'outside' if 'river' in text else 'elsewhere'}\n")
        with (folder / f"{split}.conll").open("w") as file:
            for _ in range(40):
                for word in sentence(rng).rstrip(".").split():
                    file.write(f"{word} {'B-NUM' if word.isdigit() else 'O'}\n")
                file.write("\n")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def tiny(inputs: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration as a user writes it, with a root of this test alone."""
    return tiny_config(inputs, str(tmp_path / "runs"))


def tiny_config(inputs: Path, root: str) -> dict[str, Any]:
    return {
        "name": "tiny-test",
        "root": root,
        "corpus": {
            "sources": [{"type": "files", "urls": [str(inputs / "documents.jsonl")]}],
            "held_out_fraction": 0.1,
        },
        "tokenizer": {"vocab_size": 150},
        "sequences": {"length": 32},
        "pretrain": {
            "size": "tiny",
            "model": {"hidden_size": 32, "embedding_size": 16, "num_layers": 1, "num_heads": 2},
            "steps": 20,
            "batch_sequences": 8,
            "warmup_steps": 4,
            "log_every_steps": 5,
            "evaluate_every_steps": 10,
            "held_out_sequences": 16,
        },
        "finetune": {
            "tasks": [
                {
                    "name": "place",
                    "type": "classification",
                    "train": str(inputs / "train.tsv"),
                    "validation": str(inputs / "validation.tsv"),
                    "epochs": 1,
                },
                {
                    "name": "numbers",
                    "type": "tagging",
                    "train": str(inputs / "train.conll"),
                    "validation": str(inputs / "validation.conll"),
                    "epochs": 1,
                },
            ],
            "seeds": [0, 1],
            "baselines": [],
            "max_length": 32,
        },
        "scale": {"workers": 2, "checkpoint_every_steps": 5},
    }
