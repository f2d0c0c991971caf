"""The chain's own functions: what a report is drawn from."""

from pathlib import Path

from electra_pipeline import pipeline
from electra_pipeline.artifact import Artifact, Draft, Written, produce


def make(root: Path, stage: str, **inputs: str) -> Artifact:
    def write(draft: Draft) -> Written:
        draft.folder.write_bytes("data", stage.encode())
        return Written({}, {})

    return produce(
        root=str(root),
        stage=stage,
        name="test",
        format_version=1,
        config={},
        inputs=inputs,
        write=write,
    )


def test_a_model_is_traced_to_what_it_was_made_from(tmp_path: Path) -> None:
    corpus = make(tmp_path, "corpus", source="abc")
    make(tmp_path, "corpus", source="another")
    tokenizer = make(tmp_path, "tokenizer", corpus=corpus.fingerprint)
    pretrained = make(tmp_path, "pretrain", tokenizer=tokenizer.fingerprint)
    model = make(
        tmp_path,
        "publish",
        pretrained=pretrained.fingerprint,
        tokenizer=tokenizer.fingerprint,
        corpus=corpus.fingerprint,
    )
    assert pipeline.trace(str(tmp_path), model) == {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "pretrain": pretrained,
        "publish": model,
    }
