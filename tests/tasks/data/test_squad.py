"""Questions in every layout of SQuAD's kind, with and without answers."""

import logging

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.data.squad import is_misplaced, question_examples
from electra_pipeline.tasks.kinds.question_answering import AnswerPrediction

CONTEXT = "The cat sat on the mat."


def read(*questions, labelled=True):
    context = ReadContext(TASKS["squad"], TASKS["squad"].columns, labelled)
    records = [("q.json", {"context": CONTEXT, "question": "Who?", **q}) for q in questions]
    return list(question_examples(context, records)), context.dropped


def load_file(path, **values):
    values = {"name": "own", "type": "question-answering", "train": str(path), **values}
    return load(UserTask(**values).as_task(), None)


def lines(path, records):
    path.write_bytes(b"\n".join(map(orjson.dumps, records)))
    return path


NO_ANSWERS = [
    {"answers": []},
    {"answers": None},
    {"answers": [], "is_impossible": True},
    {"answers": [], "is_impossible": False},
    {"is_impossible": True},
    {"answers": [{"text": "cat", "answer_start": 4}], "is_impossible": True},
    {"answers": [{"text": "cat", "answer_start": 4}], "is_impossible": "True"},
    {"answers": [{"text": "", "answer_start": 0}]},
    {"answers": [{"text": " ", "answer_start": -1}]},
    {"answers": [{"text": None, "answer_start": None}]},
    {"answers": {"text": [], "answer_start": []}},
    {"answers": {"text": [""], "answer_start": [-1]}},
    {"answers": {"text": "", "answer_start": 0}},
    {"answers": [""]},
]


@pytest.mark.parametrize("question", NO_ANSWERS)
def test_answers_without_text_are_unanswerable(question):
    (example,), _ = read(question)
    assert (example.answers, example.start) == ((), -1)


ANSWERED = [
    {"answers": [{"text": "cat", "answer_start": 4}]},
    {"answers": [{"text": "", "answer_start": 0}, {"text": "cat", "answer_start": "4"}]},
    {"answers": {"text": ["cat", "cat"], "answer_start": [4, 4]}, "is_impossible": "false"},
    {"answers": {"text": "cat", "answer_start": 4}},
    {"answers": ["cat"]},
    {"answer": {"text": "cat", "answer_start": 4}},
    {"answers": ["cat"], "detected_answers": [{"text": "cat", "char_spans": [[4, 6]]}]},
]


@pytest.mark.parametrize("question", ANSWERED)
def test_answers_may_be_objects_lists_or_texts(question):
    (example,), _ = read(question)
    assert (example.answers, example.start) == (("cat",), 4)


REFUSED = [
    ({}, r"question 1 \(id 1\): no 'answers'"),
    ({"answers": [{"text": 1823, "answer_start": 4}]}, "invalid answers: expected text, got 1823"),
    (
        {"answers": [{"text": "cat", "answer_start": "x"}]},
        "invalid answer_start: expected a number, got 'x'",
    ),
    ({"answers": {"text": ["a", "b"], "answer_start": [1]}}, r"2 texts and answer_start \[1\]"),
    ({"answers": [], "is_impossible": "maybe"}, "invalid is_impossible: .* got 'maybe'"),
    ({"answers": 7}, r"invalid answers: expected .*, got 7"),
    ({"answers": [], "question": "\ud83d"}, r"question has half of a character \(\\ud83d\)"),
    ({"answers": [], "context": 5}, "invalid context: expected text, got 5"),
    ({"detected_answers": [{"char_spans": []}]}, "invalid detected_answers"),
]


@pytest.mark.parametrize(("question", "message"), REFUSED)
def test_invalid_answers_are_refused_with_their_question(question, message):
    with pytest.raises(ValueError, match=rf"q\.json.*{message}") as caught:
        read(question)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-8"])
def test_offsets_may_count_units_of_another_encoding(encoding, caplog):
    context = "Zürich 😀 liegt am See."
    start = context.index("See")
    units = len(context[:start].encode(encoding)) // (2 if encoding == "utf-16-le" else 1)
    assert units != start
    question = {"context": context, "answers": [{"text": "See", "answer_start": units}]}
    (example,), _ = read(question)
    assert example.start == start and not is_misplaced(example)
    assert "1 answers whose answer_start counts units of" in caplog.text


@pytest.mark.parametrize(
    ("given", "start", "text"),
    [
        ([("the", 12)], 15, "the"),
        ([("the", 3)], 15, "the"),
        ([("at", 0)], 5, "at"),
        ([("at", 8)], 9, "at"),
        ([("at", 99)], 20, "at"),
        ([(" cat ", 4)], 4, "cat"),
        ([("sat\non  the", 8)], 8, "sat on the"),
        ([("dog", 0), ("mat", 2)], 19, "mat"),  # training points at one that is there
    ],
)
def test_misplaced_answer_gets_the_nearest_occurrence(given, start, text, caplog):
    (example,), _ = read({"answers": [{"text": t, "answer_start": s} for t, s in given]})
    assert (example.answers[0], example.start) == (text, start)
    assert {t for t, _ in given} <= set(example.answers) and not is_misplaced(example)
    assert "q.json: 1 answers not at answer_start: the nearest occurrence is used" in caplog.text


def test_an_answer_may_be_in_another_normal_form():
    context = "Le caf\u00e9 ferme."
    answers = [{"text": "cafe\u0301", "answer_start": 3}]
    (example,), _ = read({"context": context, "answers": answers})
    assert (example.answers, example.start) == (("caf\u00e9", "cafe\u0301"), 3)


def test_answer_that_is_not_in_the_context_is_misplaced():
    (example,), _ = read({"answers": ["dog"]})
    assert is_misplaced(example) and example.answers == ("dog",)


def test_empty_questions_are_counted():
    examples, dropped = read(
        {"answers": [], "question": " "},
        {"answers": [], "context": "\n"},
        {"answers": [], "context": None},
        {"answers": [], "question": None},
        {"answers": []},
    )
    assert len(examples) == 1
    assert dropped == {"empty_question": 2, "empty_context": 2}


def _without_id(question):
    return {key: value for key, value in question.items() if key != "id"}


def test_columns_that_are_not_read_do_not_matter(tmp_path):
    rows = [
        {"id": str(i), "context": f"cat {i}", "question": "?", "answers": ["cat"]} for i in "ab"
    ]
    table = pa.Table.from_pylist(rows)
    years = pa.array([-(10**12), -(10**12)], pa.timestamp("s"))  # no date of Python's
    pq.write_table(table.append_column("crawled", years), tmp_path / "q.parquet")
    assert load_file(tmp_path / "q.parquet", validation_fraction=0.5).train
    choices = pa.table({"text": ["a", "b"], "choices": [["x", "y"]] * 2, "label": [0, 1]})
    pq.write_table(choices.append_column("crawled", years), tmp_path / "c.parquet")
    assert load_file(tmp_path / "c.parquet", type="multiple-choice", validation_fraction=0.5).train


def test_all_layouts_give_equal_examples(tmp_path, caplog):
    flat = [
        {
            "id": f"q{i}",
            "title": "t",
            "context": f"{CONTEXT} {i // 2}",
            "question": "Who?",
            "answers": {"text": ["cat"] * (i % 2), "answer_start": [4] * (i % 2)},
        }
        for i in range(40)
    ]
    paragraphs = [
        {
            "context": flat[i]["context"],
            "qas": [
                {
                    "id": each["id"],
                    "question": "Who?",
                    "answers": [{"text": t, "answer_start": 4} for t in each["answers"]["text"]],
                }
                for each in flat[i : i + 2]
            ],
        }
        for i in range(0, 40, 2)
    ]
    mrqa = [
        {
            "context": each["context"],
            "qas": [
                {"qid": q["id"], "question": "Who?", "answers": [a["text"] for a in q["answers"]]}
                for q in each["qas"]
            ],
        }
        for each in paragraphs
    ]
    pq.write_table(pa.Table.from_pylist(flat), tmp_path / "hub.parquet")
    (tmp_path / "squad.json").write_bytes(orjson.dumps({"data": [{"paragraphs": paragraphs}]}))
    (tmp_path / "list.json").write_bytes(b"\xef\xbb\xbf" + orjson.dumps(flat))
    (tmp_path / "rows.json").write_bytes(orjson.dumps({"version": 1, "data": flat}))
    cmrc = [  # CMRC 2018, as it was first published
        {
            "context_id": f"DEV_{number}",
            "context_text": each["context"],
            "qas": [
                {
                    "query_id": q["id"],
                    "query_text": q["question"],
                    "answers": [a["text"] for a in q["answers"]],
                }
                for q in each["qas"]
            ],
        }
        for number, each in enumerate(paragraphs)
    ]
    (tmp_path / "cmrc.json").write_bytes(orjson.dumps(cmrc))
    paths = [
        *(
            tmp_path / name
            for name in ("hub.parquet", "squad.json", "list.json", "rows.json", "cmrc.json")
        ),
        lines(tmp_path / "flat.jsonl", flat),
        lines(tmp_path / "articles.jsonl", [{"title": "t", "paragraphs": [p]} for p in paragraphs]),
        lines(tmp_path / "mrqa.jsonl", [{"header": {"dataset": "x"}}, *mrqa]),
        lines(tmp_path / "klue.jsonl", [{"guid": q["id"], **_without_id(q)} for q in flat]),
    ]
    with caplog.at_level(logging.WARNING):
        digests = [load_file(path).digests for path in paths]
    assert all(each == digests[0] for each in digests)


def test_given_format_takes_precedence_over_the_file_name(tmp_path):
    rows = [{"id": i, "context": f"cat {i}", "question": "?", "answers": ["cat"]} for i in range(9)]
    for name in ("rows.json", "rows", "rows.txt"):
        assert load_file(lines(tmp_path / name, rows), format="jsonl").train[0].answers == ("cat",)
        (tmp_path / name).write_bytes(orjson.dumps({"data": rows}))
        assert load_file(tmp_path / name, format="json").train
    assert load_file(tmp_path / "rows").train and load_file(tmp_path / "rows.txt").train


def test_files_without_questions_are_refused(tmp_path):
    path = lines(tmp_path / "flat.json", [{"id": 1}, {"id": 2}])
    with pytest.raises(ValueError, match=r"flat\.json: broken JSON .* set format to jsonl"):
        load_file(path)
    path = tmp_path / "q.csv"
    path.write_text("id,question\n1,Who?\n")
    with pytest.raises(ValueError, match=r"q\.csv: questions are read from SQuAD's json, jsonl"):
        load_file(path)


def test_a_test_file_without_answers_is_predicted(tmp_path):
    questions = [
        {"id": f"q{i}", "context": f"{CONTEXT} {i}", "question": "Who?", "answers": ["cat"]}
        for i in range(20)
    ]
    train = lines(tmp_path / "train.jsonl", questions)
    bare = [{key: q[key] for key in ("id", "context", "question")} for q in questions]
    data = load_file(train, test=str(lines(tmp_path / "test.jsonl", bare)))
    assert [e.id for e in data.unlabelled["test"]] == [q["id"] for q in questions]
    data = load_file(train, test=str(train))
    assert len(data.scored["test"]) == 20 and not data.unlabelled


@pytest.mark.parametrize(
    ("answer", "metric"),
    [("猫が寝る", "character_f1"), ("แมวนอน", "character_f1"), ("cat 7", "f1"), ("고양이", "f1")],
)
def test_f1_is_of_characters_where_words_have_no_spaces(tmp_path, answer, metric):
    record = {"context": f"x {answer} y", "question": "?", "answers": [answer]}
    records = [{**record, "context": f"{record['context']} {i}"} for i in range(20)]
    data = load_file(lines(tmp_path / "train.jsonl", records))
    assert data.metrics == ("exact_match", metric)
    shown = data.kind.row(data.train[0], AnswerPrediction(answer[:1], -1.0))
    assert (shown["score"] > 0) == (metric == "character_f1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("data", "paragraphs", "qas", "context", "question", "answers", "text", "id"),
                    *("answer_start", "is_impossible", "detected_answers", "char_spans", "header"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(JSON)
def test_any_json_is_read_or_refused(value):
    context = ReadContext(TASKS["squad"], TASKS["squad"].columns, labelled=True)
    try:
        list(question_examples(context, [("q.json", value)]))
    except ValueError as error:
        assert str(error).startswith("q.json")
