"""A pipeline small enough to run whole in a test: generated English, a tiny model, two tasks.

The library is imported inside functions: this is a plugin of the root conftest, which must set the
environment first.
"""

import fcntl
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from electra_pipeline.config import PipelineConfig

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
    return made_once("inputs", tmp_path_factory, write_inputs)


@pytest.fixture(scope="session")
def finished_root(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the chain of `tiny_config` up to the published model; copy it, never write to it.

    The checkpoints of steps 8 and 16 are kept.
    """

    def make(folder: Path) -> None:
        config = tiny_config(inputs, str(folder))
        config["scale"] |= {"workers": 1, "keep_every_steps": 8}
        build_chain(config)

    return made_once("finished", tmp_path_factory, make)


def made_once(
    name: str, tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], None]
) -> Path:
    """Return a folder that `make` filled, once for all processes of pytest-xdist.

    The first process fills it; the others wait for its lock.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, unfinished = shared / name, shared / f"{name}-unfinished"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that failed
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture
def tiny(inputs: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration as a user writes it, with an empty root of this test alone."""
    return tiny_config(inputs, str(tmp_path / "runs"))


@pytest.fixture
def finished(finished_root: Path, tiny: dict[str, Any]) -> dict[str, Any]:
    """The configuration with a copy of the finished root, for this test alone."""
    shutil.copytree(finished_root, tiny["root"])
    return tiny


def build_chain(config: "dict[str, Any] | PipelineConfig") -> None:
    """Run the stages up to the published model in this process: neither Prefect nor Ray.

    It trains with all processors, as one worker of Ray does: the number of threads decides in which
    order numbers are added up.
    """
    from electra_pipeline import stages
    from electra_pipeline.config import PipelineConfig
    from electra_pipeline.core.execution import LocalExecutor
    from electra_pipeline.core.progress import silent

    parsed, executor = PipelineConfig.model_validate(config), LocalExecutor()
    corpus = stages.build_corpus(parsed, executor, silent)
    tokenizer = stages.train_tokenizer(parsed, corpus, silent)
    sequences = stages.build_sequences(parsed, corpus, tokenizer, executor, silent)
    pretrained = stages.pretrain(parsed, tokenizer, sequences, executor, silent)
    stages.publish(parsed, pretrained, tokenizer, corpus)


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
