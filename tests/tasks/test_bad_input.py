"""Invalid task data is refused, dropped or counted before training."""

import logging
import random

import orjson
import pytest

from electra_pipeline.tasks.catalog.user_task import TASKS, UserTask
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample, MultipleChoice
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering, QuestionExample
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification, TextExample


def task_of(tmp_path, train, validation=None, *, suffix="csv", **values):
    for split, content in (("train", train), ("validation", validation)):
        if content is not None:
            path = tmp_path / f"{split}.{suffix}"
            path.write_text(content)
            values[split] = str(path)
    return UserTask(**{"name": "own", "type": "classification", **values}).as_task()


def cola(tmp_path, num_rows):
    rows = "".join(f"x\t{i % 2}\t\tSentence {i}.\n" for i in range(num_rows))
    for name in ("train", "dev"):
        (tmp_path / "CoLA").mkdir(exist_ok=True)
        (tmp_path / f"CoLA/{name}.tsv").write_text(rows if name == "train" else rows[:500])
    return load(TASKS["cola"], str(tmp_path))


# --- numbers of rows ------------------------------------------------------------------------------


def test_fewer_rows_than_published_are_logged_and_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = cola(tmp_path, 100)
    assert "100 train examples, but the published cola has 8551" in caplog.text
    assert data.counters["fewer_rows_than_published"]["train"] == {"published": 8551, "found": 100}


def test_published_number_of_rows_is_accepted_and_more_are_refused(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = cola(tmp_path, 8551)
    assert "train" not in data.counters["fewer_rows_than_published"]
    assert "8551" not in caplog.text
    with pytest.raises(ValueError, match=r"8552 train examples, but the published cola has 8551"):
        cola(tmp_path, 8552)


# --- columns and labels ---------------------------------------------------------------------------


def pairs(num_rows):
    return "one,two,label\n" + "".join(
        f"first {i},second {i},{'xyz'[i % 3]}\n" for i in range(num_rows)
    )


@pytest.mark.parametrize("column", ["text_column", "pair_column"])
def test_a_text_column_swapped_with_the_labels_is_named(tmp_path, column):
    columns = {"text_column": "one", "pair_column": "two", "label_column": "label"}
    columns["label_column"], columns[column] = columns[column], columns["label_column"]
    with pytest.raises(ValueError, match=rf"60 different labels .*the {column} has 3: are the two"):
        load(task_of(tmp_path, pairs(60), **columns), None)


def test_words_swapped_with_tags_are_refused(tmp_path):
    words = [f"word{i} {'XY'[i % 2]}" for i in range(60)]
    columns = {"text_column": 1, "label_column": 0}
    task = task_of(tmp_path, "\n".join(words), type="tagging", suffix="txt", **columns)
    with pytest.raises(ValueError, match=r"60 different tags on 2 different words.*look swapped"):
        load(task, None)


def test_numbers_swapped_with_texts_are_refused(tmp_path):
    columns = {"text_column": "score", "label_column": "text"}
    task = task_of(tmp_path, "text,score\nhello,1.5\n", type="regression", **columns)
    with pytest.raises(ValueError, match=r"expected a finite number .*got 'hello'.*label_column"):
        load(task, None)


def test_tags_that_train_does_not_have_are_counted_and_scored(tmp_path, caplog):
    train, dev = "a B-X\nb O\n\nc O\n", "a B-NEW\nb I-NEW\nc O\n"
    task = task_of(tmp_path, train, dev, type="tagging", suffix="txt")
    with caplog.at_level(logging.WARNING):
        data = load(task, None)
    assert data.counters["unreachable"] == {"validation": {"tags_not_in_train": 2}}
    assert "tags_not_in_train" in caplog.text


def test_an_empty_validation_file_is_refused(tmp_path):
    task = task_of(tmp_path, "text,label\na,x\nb,y\n", "text,label\n")
    with pytest.raises(ValueError, match=r"validation\.csv: no validation example \(it is empty\)"):
        load(task, None)


def test_lines_of_a_plain_text_file_take_their_class_from_its_name(tmp_path):
    for label, lines in (("neg", "bad\nworse\n"), ("pos", "good\nbetter\n")):
        (tmp_path / f"polarity.{label}").write_text(lines)
    values = {"name": "own", "type": "classification", "format": "text", "labels": ("neg", "pos")}
    pattern = str(tmp_path / "polarity.*")
    data = load(UserTask(train=pattern, validation=pattern, **values).as_task(), None)
    assert [(e.text, e.label) for e in data.train][1:3] == [("worse", "neg"), ("good", "pos")]
    (tmp_path / "other.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"must contain exactly one of the labels neg, pos"):
        load(UserTask(train=str(tmp_path / "other.txt"), **values).as_task(), None)


def test_answers_that_their_context_does_not_have_are_counted(tmp_path, caplog):
    def squad(path, answer):
        answers = [{"text": answer, "answer_start": 4}]
        questions = [{"id": f"{answer}{i}", "question": "?", "answers": answers} for i in range(2)]
        content = {"data": [{"paragraphs": [{"context": "The cat.", "qas": questions}]}]}
        path.write_bytes(orjson.dumps(content))
        return str(path)

    train, dev = squad(tmp_path / "train.json", "cat"), squad(tmp_path / "dev.json", "dog")
    task = UserTask(name="own", type="question-answering", train=train, validation=dev).as_task()
    with caplog.at_level(logging.WARNING):
        data = load(task, None)
    assert data.counters["unreachable"] == {"validation": {"answers_not_in_context": 2}}
    assert len(data.scored["validation"]) == 2  # they count, as they do in the official script
    assert "answers_not_in_context" in caplog.text


# --- sizes ----------------------------------------------------------------------------------------

LONG = 100_000


def long_text():
    rng = random.Random(0)
    words = ("red", "dog", "zz", "house", "\u4e2d\u6587")
    text = ""
    while len(text) < LONG:
        text += " ".join(rng.choices(words, k=1000)) + " "
    return text[:LONG]


@pytest.mark.parametrize("text", [long_text(), "z" * LONG], ids=["words", "one"])
def test_inputs_of_100000_characters_are_cut_or_windowed_and_counted(tokenizer, text):
    encoded = Classification(("x", "y")).encode(
        tokenizer, [TextExample("0", text, text, "x")], 64, training=True
    )
    is_one_token = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) == 1
    assert len(encoded.truncated) == (not is_one_token)
    assert len(encoded.features[0].input_ids) <= 64
    encoded = MultipleChoice().encode(
        tokenizer, [ChoiceExample("0", text, (text, "dog"), 0)], 64, training=True
    )
    assert len(encoded.truncated) == (not is_one_token)
    assert len(encoded.features[0].input_ids) <= 64
    tagged = TaggedExample("0", (text, *text.split()), ("x",) * (1 + len(text.split())))
    features = Tagging(("x", "y")).encode(tokenizer, [tagged], 64, training=True).features
    assert sum((feature.target >= 0).sum() for feature in features) == len(tagged.words)
    question = QuestionExample("0", "which one?", text, (text[:3],), 0)
    features = QuestionAnswering(False).encode(tokenizer, [question], 64, training=True).features
    assert max(len(feature.input_ids) for feature in features) <= 64
    # linear: each window moves on by half of its room at least
    num_tokens = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    assert len(features) <= 1 + num_tokens / 20
