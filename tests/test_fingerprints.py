"""Fingerprints of the presets and of a small chain, as they were before modules were renamed.

A fingerprint that changes makes users compute everything again: if a change of behaviour needs
that, raise the stage's FORMAT_VERSION, name it in CHANGELOG.md and write the new value here.
"""

import json
import random
from pathlib import Path

import pytest

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.identity import fingerprint
from electra_pipeline.finetuning import trial
from electra_pipeline.presets import preset_names
from electra_pipeline.workflows.evaluate import plan_trials

EXPECTED = json.loads(Path(__file__).with_name("fingerprints.json").read_text())
FORMAT_VERSIONS: dict[str, int] = {
    **{name: stage.format_version for name, stage in stages.STAGES.items()},
    "finetune": trial.FORMAT_VERSION,
}
WORDS = [
    "river",
    "stone",
    "light",
    "green",
    "house",
    "tree",
    "water",
    "mountain",
    "quiet",
    "road",
    "small",
    "bird",
    "sings",
    "over",
    "the",
    "old",
    "bridge",
    "near",
    "a",
    "village",
    "market",
    "where",
    "people",
    "sell",
    "fresh",
    "bread",
    "and",
    "talk",
    "about",
    "weather",
]


@pytest.mark.parametrize("name", preset_names())
def test_presets_keep_their_fingerprints(name: str) -> None:
    config = configuration.load(preset=name)
    found = {
        stage: fingerprint(stage, version, section.model_dump(mode="json"), {})
        for stage, version in FORMAT_VERSIONS.items()
        if (section := getattr(config, stage)) is not None
    }
    assert found == EXPECTED["presets"][name]


def test_a_chain_keeps_its_fingerprints(tmp_path: Path) -> None:
    generator = random.Random(0)

    def sentence() -> str:
        return " ".join(generator.choice(WORDS) for _ in range(9)).capitalize() + "."

    def write(file: str, records: list[dict[str, str]]) -> str:
        (tmp_path / file).write_text("".join(json.dumps(each) + "\n" for each in records))
        return str(tmp_path / file)

    texts = [{"text": " ".join(sentence() for _ in range(12))} for _ in range(120)]
    text_file = write("text.jsonl", texts)
    files = {
        split: write(
            f"{split}.jsonl",
            [{"text": sentence(), "label": generator.choice("ab")} for _ in range(number)],
        )
        for split, number in (("train", 40), ("validation", 20))
    }
    config = PipelineConfig.model_validate(
        {
            "name": "golden",
            "root": str(tmp_path / "runs"),
            "corpus": {
                "sources": [{"type": "files", "urls": [text_file]}],
                "language": None,
                "held_out_fraction": 0.1,
            },
            "tokenizer": {"vocab_size": 120},
            "sequences": {"length": 32},
            "pretrain": {"size": "tiny", "steps": 2, "batch_sequences": 2},
            "finetune": {
                "tasks": [{"name": "toy", "type": "classification", **files}],
                "seeds": [0],
                "epochs": 1,
                "max_length": 16,
                "baselines": ["random"],
                "recipe": "google",
            },
        }
    )
    made = stages.run_until("publish", config, config.context())
    found = {name: artifact.fingerprint for name, artifact in made.items()}
    for each in plan_trials(config, made["publish"]):
        found[each.label] = trial.trial_uri(each).rpartition("-")[2]
    assert found == EXPECTED["chain"]
