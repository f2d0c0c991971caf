"""Texts that several tests of the corpus stage read."""

from pathlib import Path

import pytest

from tests.corpus.corpora import ENGLISH, SPANISH, prose, write_jsonl


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Five files: 200 English documents, and one of everything that is dropped."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(4):
        documents = [prose(ENGLISH, number * 50 + n) for n in range(50)]
        write_jsonl(folder / f"{number}.jsonl.gz", documents)
    odd = [
        None,
        " \u200b\n",
        "Too short.",
        "long " * 5000,
        prose(SPANISH, 1),
        prose(ENGLISH, 7).upper().replace(" ", "\n", 3),  # a duplicate from another file
        "It isnâ€™t lost\ufffd. " + prose(ENGLISH, 999),
    ]
    write_jsonl(folder / "odd.jsonl", odd)
    return folder
