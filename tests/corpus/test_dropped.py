"""What a corpus shows of the documents that it dropped."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tests.corpus.corpora import ENGLISH, config, prose, run, write_jsonl


def test_dropped_documents_are_sampled(texts: Path, tmp_path: Path) -> None:
    artifact = run(config(texts), tmp_path / "runs")
    rows = pq.read_table(artifact.local_file("dropped.parquet")).to_pylist()
    by_reason = {row["reason"]: row for row in rows}
    assert Counter(row["reason"] for row in rows)["empty"] == 2
    assert by_reason["too_short"]["value"] == "10"
    assert by_reason["too_short"]["text"] == "Too short."
    assert by_reason["too_long"]["value"] == "24999"
    assert by_reason["language"]["value"] == "es 1.00"
    assert by_reason["duplicate"]["url"] == "https://x/odd.jsonl/5"
    few = run(config(texts, samples_per_reason=1), tmp_path / "runs")
    assert len(pq.read_table(few.local_file("dropped.parquet"))) == 5


def test_samples_of_dropped_documents_are_a_random_choice(tmp_path: Path) -> None:
    for number in range(2):
        write_jsonl(tmp_path / f"{number}.jsonl", [f"short {n}" for n in range(number, 200, 2)])
    write_jsonl(tmp_path / "kept.jsonl", [prose(ENGLISH, 1), prose(ENGLISH, 2)])
    artifact = run(config(tmp_path, samples_per_reason=20), tmp_path / "runs")
    rows = pq.read_table(artifact.local_file("dropped.parquet")).to_pylist()
    numbers = [int(row["text"].split()[1]) for row in rows]
    assert len(set(numbers)) == 20
    assert min(numbers) < 50 and max(numbers) > 150
    assert 4 <= sum(number % 2 for number in numbers) <= 16  # of both files
