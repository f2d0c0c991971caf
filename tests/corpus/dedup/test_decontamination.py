# ruff: noqa: RUF001 - punctuation of other scripts is meant
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.corpus.cleaning.text import clean
from electra_pipeline.corpus.dedup.decontamination import (
    Decontamination,
    Index,
    build_index,
    count_tasks,
    find_sequences,
    read_examples,
    tasks_held,
)
from electra_pipeline.text.words import has_spaced_words, split_words

SHORT = Decontamination(ngram_words=4, min_words=2)
TEXT = st.lists(st.sampled_from(["a", "B", "c.", "—", "我"]), max_size=9).map(" ".join)
UNSPACED_TEXT = st.text("我你，ไม่a", max_size=20)


def words_of(text: str) -> list[str]:
    words = (
        "".join(c for c in word if unicodedata.category(c)[0] not in "PS")
        for word in split_words(text.lower())
    )
    return [word for word in words if word]


def tasks_of(
    index: Index, texts: list[str], max_documents: int | None = None
) -> list[tuple[str, ...]]:
    found = find_sequences(index, texts)
    documents = np.repeat(np.arange(len(texts)), [len(each) for each in found])
    sequences = np.concatenate([np.empty(0, np.int32), *found])
    held = tasks_held(index, documents, sequences, max_documents)
    assert count_tasks(index, held) == {
        task: sum(task in names for names in held.values()) for task in index.tasks
    }
    return [tuple(held.get(number, ())) for number in range(len(texts))]


def sequences_of(text: str, n: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def holds(document: str, example: str, config: Decontamination, documents: list[str]) -> bool:
    """A plain loop over word sequences."""
    unit = 1 if has_spaced_words(example) else 2
    n = min(unit * config.ngram_words, len(words_of(example)))
    if n < config.min_words:
        return False
    most = len(documents) if config.max_documents is None else config.max_documents
    return any(
        sum(shared in sequences_of(other, n) for other in documents) <= most
        for shared in sequences_of(document, n) & sequences_of(example, n)
    )


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.lists(TEXT | UNSPACED_TEXT, max_size=4)),
    st.lists(TEXT | UNSPACED_TEXT, max_size=6),
    st.sampled_from([None, 1, 2, 3]),
)
def test_found_sequences_equal_a_plain_loop(
    examples: dict[str, list[str]], documents: list[str], max_documents: int | None
) -> None:
    config = SHORT.model_copy(update={"max_documents": max_documents})
    found = tasks_of(build_index(config, examples), documents, max_documents)
    for document, tasks in zip(documents, found, strict=True):
        assert tasks == tuple(
            task
            for task, texts in examples.items()
            if any(holds(document, example, config, documents) for example in texts)
        )


QUESTION = "Which of these rivers, in order of their length, flows through the most countries?"


def test_thirteen_words_of_an_example_are_a_hit() -> None:
    words = QUESTION.split()
    found = build_index(Decontamination(), {"quiz": [QUESTION], "other": ["x y"] * 3})
    for first, last, tasks in [(0, 13, ("quiz",)), (1, 14, ("quiz",)), (0, 12, ()), (2, 14, ())]:
        document = f"It asked: “{' '.join(words[first:last]).upper()}” and so on"
        assert tasks_of(found, [document]) == [tasks]


def test_in_scripts_without_spaces_two_characters_make_a_word() -> None:
    thai = "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"
    clusters = split_words(thai)
    found = build_index(Decontamination(), {"long": [thai], "short": ["今天天气很好我们去公园玩"]})
    for length, tasks in ((26, ("long",)), (25, ())):
        for start in (0, 5):
            document = f"เขากล่าวว่า{''.join(clusters[start : start + length])}ครับ"
            assert tasks_of(found, [document]) == [tasks]
    assert tasks_of(found, ["他说：今天，天气很好，我们去公园玩！"]) == [("short",)]
    assert tasks_of(found, ["今天天气很好我们去公园"]) == [()]


def test_short_examples_need_all_words() -> None:
    examples = {
        "nine": ["one two three four five six seven eight nine"],
        "seven": ["a b c d e f g"],
    }
    found = build_index(Decontamination(), examples)
    documents = [
        "zero one two three four five six seven eight nine ten",
        "one two three four five six seven eight",
        "a b c d e f g",
        "",
    ]
    assert tasks_of(found, documents) == [("nine",), (), (), ()]


def test_a_sequence_in_many_documents_is_not_an_example() -> None:
    notice = "All rights reserved; no part of this page may be copied without a written permission."
    found = build_index(Decontamination(), {"quiz": [QUESTION, f"{notice} {QUESTION}"]})
    texts = [f"Page {number}. {notice}" for number in range(11)] + [f"{notice} {QUESTION}"]
    most = Decontamination().max_documents
    assert most == 10
    assert tasks_of(found, texts, most) == [()] * 11 + [("quiz",)]
    assert tasks_of(found, texts[2:], most) == [("quiz",)] * 10  # ten of them have the notice
    assert tasks_of(found, texts) == [("quiz",)] * 12


def test_an_index_can_be_pickled() -> None:
    found = pickle.loads(pickle.dumps(build_index(Decontamination(), {"quiz": [QUESTION]})))
    assert tasks_of(found, [QUESTION]) == [("quiz",)]


def test_examples_come_from_files(tmp_path: Path) -> None:
    rows = [{"question": QUESTION, "answers": ["yes", None]}, {"question": None, "id": 3}]
    (tmp_path / "quiz.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (tmp_path / "lines.txt").write_text("first\nsecond\n")
    config = Decontamination(
        files=(f"{tmp_path}/*.jsonl", f"{tmp_path}/lines.txt"),
        text_columns=("question", "answers"),
    )
    texts = {task: list(of_task) for task, of_task in read_examples(config)}
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
        build_index(config, dict(read_examples(config)))


def test_lengths_must_be_ordered() -> None:
    with pytest.raises(ValueError, match="min_words is 8, more than ngram_words 5; lower it"):
        Decontamination(ngram_words=5)


def test_examples_are_normalized_like_the_corpus() -> None:
    example = " ".join(f"canción{number} co\u00adrazón\u200e" for number in range(10))
    found = build_index(Decontamination(), {"task": [unicodedata.normalize("NFD", example)]})
    [sequences] = find_sequences(found, [clean(f"Before. {example} After.")[0]])
    assert len(sequences) == 8
