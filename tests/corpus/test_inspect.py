"""What people look at: the card of a corpus, and documents kept and dropped."""

import json

import pytest

from electra_pipeline.core.execution import LocalExecutor, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.corpus.build import build
from electra_pipeline.corpus.card import CARD
from electra_pipeline.corpus.config import CorpusConfig
from electra_pipeline.corpus.inspect import inspect
from electra_pipeline.storage.artifact import Artifact


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Two sources of 30 documents; the first has five that are too short and one twice."""
    folder = tmp_path_factory.mktemp("texts")
    sources = []
    for name in ("first", "second"):
        texts = [f"{name} document number {n} " + "with words in it " * 5 for n in range(30)]
        if name == "first":
            texts += [f"short *{n}*" for n in range(5)] + [texts[0]]
        lines = (json.dumps({"text": text, "url": f"https://x/{name}"}) for text in texts)
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        sources.append({"type": "files", "urls": [str(folder / f"{name}.jsonl")]})
    sources[0]["licence"] = "CC BY 4.0"
    config = CorpusConfig.model_validate({"sources": sources, "held_out_fraction": 0})
    root = str(folder / "runs")
    return build(config, StageContext(root, "two", LocalExecutor(), silent))


def test_the_card_shows_the_counters(corpus: Artifact) -> None:
    card = corpus.folder.read_bytes(CARD).decode()
    lines = card.splitlines()
    assert lines[0] == "# two"
    words = {label: f"{source['words']:,}" for label, source in corpus.counters["sources"].items()}
    assert f"| first | CC BY 4.0 | 1 | 1 | 36 | 30 | {words['first']} |" in lines
    assert f"| second | not stated | 1 | 1 | 30 | 30 | {words['second']} |" in lines
    assert "| `too_short` | 5 | 5 | 0 |" in lines
    assert "| `duplicate` | 1 | 1 | 0 |" in lines
    assert "| 16 to 31 | 60 |" in lines
    assert sum(line.startswith("* `too_short` (9), first: short") for line in lines) == 3
    assert r"short \*1\*" in card or r"short \*2\*" in card  # nothing of a text is markup
    for digest in corpus.inputs.values():
        assert f"`{digest}`" in card
    assert "\n\n\n" not in card


def test_kept_and_dropped_documents_are_shown(corpus: Artifact) -> None:
    def shown(**wanted: object) -> list[tuple[str, str, str]]:
        settings = {"reason": None, "source": None, "number": 3, "seed": 0} | wanted
        found = inspect(corpus, **settings)  # type: ignore[arg-type]
        return [(one.reason, one.source, one.text) for one in found]

    reasons = [reason for reason, _, _ in shown()]
    assert reasons == ["kept"] * 3 + ["too_short"] * 3 + ["duplicate"]
    assert shown() == shown()
    assert shown() != shown(seed=1)
    kept = shown(reason="kept", source="second", number=50)
    assert len({text for _, _, text in kept}) == 30
    assert {source for _, source, _ in kept} == {"second"}
    assert shown(reason="too_short", source="second") == []


def test_missing_reasons_and_sources_are_named(corpus: Artifact) -> None:
    with pytest.raises(ValueError, match="nothing was dropped as 'adult'; choose kept, "):
        inspect(corpus, reason="adult", source=None, number=1, seed=0)
    with pytest.raises(ValueError, match="has no source 'third'; it has first, second"):
        inspect(corpus, reason=None, source="third", number=1, seed=0)
