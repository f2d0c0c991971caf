"""The corpus card: what it says of a corpus, and that its numbers are those of each other."""

import re
from pathlib import Path

from electra_pipeline.corpus.card import CARD
from electra_pipeline.storage.artifact import Artifact
from tests.corpus.corpora import ENGLISH, SPANISH, config, prose, run, write_jsonl

Table = list[dict[str, str]]


def tables(card: str) -> dict[str, Table]:
    """Rows by column, by the title that stands above a table (the last, of several)."""
    found: dict[str, Table] = {}
    title, header = "", []
    for line in card.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if not cells:
            header = []
        elif not header:
            header = cells
            found[f"{title}: {cells[0]}"] = []
        elif not re.fullmatch("[-: ]*", "".join(cells)):
            found[f"{title}: {header[0]}"].append(dict(zip(header, cells, strict=True)))
    return found


def total(table: Table, column: str) -> int:
    return sum(int(row[column].replace(",", "")) for row in table)


def card_of(artifact: Artifact) -> str:
    return artifact.folder.read_bytes(CARD).decode()


def test_the_numbers_of_the_card_balance(texts: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "more.jsonl", [prose(SPANISH, 100 + n) for n in range(20)] + ["No."])
    sources = [
        {"type": "files", "urls": [f"{texts}/*"], "licence": "CC BY 2.5"},
        {"type": "files", "urls": [str(tmp_path / "more.jsonl")], "label": "more"},
        {"type": "files", "urls": [str(tmp_path / "more.jsonl")], "label": "more"},
    ]
    settings = config(texts, sources=sources, language=None, near_duplicates={})
    card = tables(card_of(run(settings, tmp_path / "runs")))
    (sizes, of_sources, dropped, languages, lengths, clusters, content) = (
        card[title]
        for title in (
            "tiny: ",
            "Sources: source",
            "Dropped: reason",
            "Languages: language",
            "Length: words",
            "Near-duplicates: documents in a cluster",
            "Content: source",
        )
    )
    kept = total(of_sources, "kept")
    assert kept == total(sizes[:1], "train") + total(sizes[:1], "held-out") == 222
    assert kept == total(languages, "documents") == total(lengths, "documents")
    words = total(sizes[1:2], "train") + total(sizes[1:2], "held-out")
    assert words == total(of_sources, "words kept") == total(languages, "words")
    assert total(of_sources, "read") == kept + total(dropped, "documents")
    for source in of_sources:
        label = source["source"]
        assert total([source], "read") == total([source], "kept") + total(dropped, label)
    near = next(row for row in dropped if row["reason"] == "`duplicate`")
    assert near["more"] == "20"
    assert (
        sum(int(row["documents in a cluster"]) * int(row["clusters"]) for row in clusters) == kept
    )
    assert [row["licence"] for row in of_sources] == ["CC BY 2.5", "not stated"]
    assert [row["partitions"] for row in of_sources] == ["5", "1"]
    assert [row["source"] for row in content] == ["texts", "more"]
    assert len(re.findall("`[0-9a-f]{64}`", content[0].popitem()[1])) == 5


def test_sources_of_one_label_list_all_licences_and_weights(tmp_path: Path) -> None:
    sources = []
    for number, licence in enumerate(("CC0", "MIT", "CC0")):
        write_jsonl(
            tmp_path / f"{number}.jsonl", [prose(ENGLISH, 10 * number + n) for n in range(3)]
        )
        urls = [str(tmp_path / f"{number}.jsonl")]
        source = {"type": "files", "urls": urls, "label": "all", "licence": licence}
        sources.append(source | {"weight": 1.0 + number})
    artifact = run(config(tmp_path, sources=sources), tmp_path / "runs")
    counted = artifact.counters["sources"]["all"]
    assert counted["licences"] == ["CC0", "MIT"]
    assert counted["weights"] == [1.0, 2.0, 3.0]
    assert "| all | CC0; MIT | 1; 2; 3 | 3 | 9 |" in card_of(artifact)
    assert "the run's report shows them" in card_of(artifact)  # where its tokens are counted
