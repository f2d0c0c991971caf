import pickle
import unicodedata
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.decontamination import (
    Decontamination,
    example_files,
    hits,
    index,
    read_examples,
)
from electra_pipeline.corpus.words import split_words

SHORT = Decontamination(ngram_words=4, min_words=2)
TEXT = st.lists(st.sampled_from(["a", "B", "c.", "—", "我"]), max_size=9).map(" ".join)


def words_of(text: str) -> list[str]:
    words = (
        "".join(c for c in word if unicodedata.category(c)[0] not in "PS")
        for word in split_words(text.lower())
    )
    return [word for word in words if word]


def holds(document: str, example: str, config: Decontamination) -> bool:
    """A plain loop over word sequences."""
    words, wanted = words_of(document), words_of(example)
    n = min(config.ngram_words, len(wanted))
    if n < config.min_words:
        return False
    sequences = {tuple(wanted[start : start + n]) for start in range(len(wanted) - n + 1)}
    return any(tuple(words[start : start + n]) in sequences for start in range(len(words)))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.lists(TEXT, max_size=4)),
    st.lists(TEXT, max_size=6),
)
def test_hits_equal_a_plain_loop(examples: dict[str, list[str]], documents: list[str]) -> None:
    found = hits(index(SHORT, examples), documents)
    for document, tasks in zip(documents, found, strict=True):
        assert tasks == tuple(
            task
            for task, texts in examples.items()
            if any(holds(document, example, SHORT) for example in texts)
        )


QUESTION = "Which of these rivers, in order of their length, flows through the most countries?"


def test_thirteen_words_of_an_example_are_a_hit() -> None:
    words = QUESTION.split()
    found = index(Decontamination(), {"quiz": [QUESTION], "other": ["x y"] * 3})
    for first, last, tasks in [(0, 13, ("quiz",)), (1, 14, ("quiz",)), (0, 12, ()), (2, 14, ())]:
        document = f"It asked: “{' '.join(words[first:last]).upper()}” and so on"
        assert hits(found, [document]) == [tasks]


def test_of_a_short_example_all_words_are_needed() -> None:
    examples = {
        "nine": ["one two three four five six seven eight nine"],
        "seven": ["a b c d e f g"],
    }
    found = index(Decontamination(), examples)
    documents = [
        "zero one two three four five six seven eight nine ten",
        "one two three four five six seven eight",
        "a b c d e f g",
        "",
    ]
    assert hits(found, documents) == [("nine",), (), (), ()]


def test_an_index_goes_to_workers() -> None:
    found = pickle.loads(pickle.dumps(index(Decontamination(), {"quiz": [QUESTION]})))
    assert hits(found, [QUESTION]) == [("quiz",)]


def test_examples_come_from_files(tmp_path: Path) -> None:
    rows = [{"question": QUESTION, "answers": ["yes", None]}, {"question": None, "id": 3}]
    (tmp_path / "quiz.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "lines.txt").write_text("first\nsecond\n")
    config = Decontamination(
        files=(f"{tmp_path}/*.jsonl", f"{tmp_path}/lines.txt"),
        text_columns=("question", "answers"),
    )
    files = example_files(config)
    assert [task for task, _ in files] == ["quiz", "lines"]
    texts = {task: list(of_task) for task, of_task in read_examples(config, files).items()}
    assert texts == {"quiz": [QUESTION, "yes"], "lines": ["first", "second"]}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"query": "x"}, "quiz.jsonl: record 1 has none of the columns text; it has query; set"),
        ({"text": 3}, "quiz.jsonl: record 1: column 'text' holds a int, not text; set text_col"),
    ],
)
def test_records_without_texts_are_refused(
    tmp_path: Path, record: dict[str, object], message: str
) -> None:
    (tmp_path / "quiz.jsonl").write_bytes(orjson.dumps(record))
    config = Decontamination(files=(f"{tmp_path}/quiz.jsonl",))
    with pytest.raises(ValueError, match=message):
        index(config, read_examples(config, example_files(config)))


def test_lengths_must_be_ordered() -> None:
    with pytest.raises(ValueError, match="min_words is 8, more than ngram_words 5; lower it"):
        Decontamination(ngram_words=5)
