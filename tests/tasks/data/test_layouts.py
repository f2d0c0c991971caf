"""Published layouts of labelled records, and what is left out or refused of them."""

import json
import logging
import os
from collections import Counter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.load import digest, load
from electra_pipeline.tasks.data.records import record_examples
from electra_pipeline.tasks.kinds.tagging import TagsPrediction

NAMES = ["O", "B-PER", "I-PER"]


def load_task(train, **values):
    values = {"name": "own", "type": "classification", "train": train, **values}
    return load(UserTask(**values).as_task(), None)


def lines(path, records):
    path.write_bytes(b"\n".join(map(orjson.dumps, records)))
    return str(path)


def text_records(values, **others):
    return [{"text": f"text {i}", "label": value, **others} for i, value in enumerate(values)]


# --- words with tags in records -------------------------------------------------------------------


def tag_features(kind):
    import datasets

    tag = datasets.ClassLabel(names=NAMES)
    text = datasets.Value("string")
    if kind == "list":
        return datasets.Features({"tokens": [text], "ner_tags": [tag]})
    return datasets.Features({"tokens": datasets.List(text), "ner_tags": datasets.List(tag)})


ROWS = {"tokens": [["Anna", f"w{i}"] for i in range(30)], "ner_tags": [[1, 0]] * 30}
TAGGING = {"type": "tagging", "text_column": "tokens", "label_column": "ner_tags"}


@pytest.mark.parametrize("kind", ["list", "List"])
def test_class_indexes_of_datasets_files_have_their_names(tmp_path, kind):
    import datasets

    rows = datasets.Dataset.from_dict(ROWS, features=tag_features(kind))
    rows.to_parquet(tmp_path / "t.parquet")
    rows.save_to_disk(tmp_path / "saved")
    (saved,) = (tmp_path / "saved").glob("*.arrow")
    for path in (tmp_path / "t.parquet", saved):
        data = load_task(str(path), **TAGGING)
        assert {example.tags for example in data.train} == {("B-PER", "O")}
        assert data.metrics == ("f1", "precision", "recall", "accuracy")


def test_an_index_without_a_name_is_refused(tmp_path):
    import datasets

    features = tag_features("List")
    table = datasets.Dataset.from_dict(ROWS, features=features).data.table
    broken = pa.Table.from_pydict({**ROWS, "ner_tags": [[7, 0]] * 30}, schema=table.schema)
    pq.write_table(broken, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: record 1: the class 7 has no name among O"):
        load_task(str(tmp_path / "t.parquet"), **TAGGING)


def test_numbers_as_tags_need_names(tmp_path):
    path = lines(
        tmp_path / "t.jsonl", [{"tokens": ["a", f"{i}"], "tags": [1, 0]} for i in range(9)]
    )
    with pytest.raises(
        ValueError, match=r"record 1: column 'tags' holds numbers; .*labels: \[O, B"
    ):
        load_task(path, type="tagging")
    data = load_task(path, type="tagging", labels=NAMES)
    assert data.train[0].tags == ("B-PER", "O")
    data = load_task(path, type="tagging", labels=["X", "Y"], label_values=[1, 0])
    assert data.train[0].tags == ("X", "Y")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tokens": "['a']", "tags": ["O"]}, r"column 'tokens' holds \"\['a'\]\", not a list of w"),
        ({"tokens": ["a"], "tags": "O"}, r"column 'tags' holds 'O', not a list of tags"),
        ({"tokens": ["a"], "tags": [None]}, r"a tag in column 'tags' is empty"),
        ({"tokens": ["a"], "tags": [["O"]]}, r"column 'tags' holds \['O'\], not one label"),
        ({"words": ["a"], "ner": ["O"]}, r"no column 'tokens'; it has 'words', 'ner'; set text_c"),
        (
            {"tokens": ["\ud83d"], "tags": ["O"]},
            r"column 'tokens' holds half of a character \(\\ud83d\)",
        ),
    ],
)
def test_other_layouts_are_refused_with_the_record(tmp_path, record, message):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rf"t\.jsonl: record 1: {message}"):
        load_task(str(path), type="tagging")


def test_words_with_tags_in_csv_are_refused_with_the_remedy(tmp_path):
    (tmp_path / "t.csv").write_text("Word,Tag\nEU,B-ORG\n")
    with pytest.raises(ValueError, match=r"t\.csv: words with tags are not read from csv; write"):
        load_task(str(tmp_path / "t.csv"), type="tagging")


# --- records of nothing ---------------------------------------------------------------------------


def test_records_of_nothing_are_dropped_counted_and_told(tmp_path, caplog):
    empty = [
        {"text": "", "label": "x"},
        {"text": None, "label": "x"},
        {"text": "a", "label": None},
        {"text": "b", "label": " "},
    ]
    path = lines(tmp_path / "t.jsonl", [*text_records("xy" * 50), *empty])
    with caplog.at_level(logging.WARNING):
        data = load_task(path, validation=path)
    assert len(data.train) == 100
    assert data.counters["dropped"]["train"] == {"empty_text": 2, "no_label": 2}
    assert "4 of 104 train records are left out (2 empty_text, 2 no_label)" in caplog.text
    caplog.clear()
    path = lines(tmp_path / "t.jsonl", [*text_records("xy" * 50), empty[0]])
    load_task(path, validation=path)
    assert "left out" not in caplog.text  # less than one in a hundred


def test_empty_sentences_and_choices_are_counted(tmp_path):
    records = [
        *({"tokens": ["Anna", f"{i}"], "tags": ["B-PER", "O"]} for i in range(20)),
        {"tokens": [], "tags": []},
        {"tokens": None, "tags": None},
        {"tokens": ["a"], "tags": None},
    ]
    data = load_task(lines(tmp_path / "t.jsonl", records), type="tagging")
    assert data.counters["dropped"]["train"] == {"no_words": 2, "no_tags": 1}
    records = [
        *({"text": f"t{i}", "choices": ["a", "b"], "label": i % 2} for i in range(20)),
        {"text": "t", "choices": ["a", "b"], "label": None},
        {"text": "", "choices": ["", ""], "label": 0},
    ]
    data = load_task(lines(tmp_path / "t.jsonl", records), type="multiple-choice")
    assert data.counters["dropped"]["train"] == {"no_label": 1, "empty_text": 1}


def test_one_text_of_a_pair_may_be_empty(tmp_path):
    records = [{"text": f"t{i}", "pair": "" if i % 2 else None, "label": i % 2} for i in range(20)]
    data = load_task(lines(tmp_path / "t.jsonl", records), pair_column="pair")
    assert {example.pair for example in data.train} == {""} and not data.counters["dropped"]


def test_names_of_choices_are_as_many_as_these(tmp_path):
    for names, message in ((5, "labels 5"), (["A"], r"2 texts with the labels \['A'\]")):
        choices = {"text": ["a", "b"], "label": names}
        path = lines(tmp_path / "t.jsonl", [{"text": "t", "choices": choices, "label": 0}])
        with pytest.raises(ValueError, match=message):
            load_task(path, type="multiple-choice")
    choices["label"] = None
    records = [{"text": f"t{i}", "choices": choices, "label": "B"} for i in range(9)]
    path = lines(tmp_path / "t.jsonl", records)
    assert load_task(path, type="multiple-choice").train[0].gold == 1


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=2)
    | st.sampled_from(["O", "B-X", "A", "1", "\ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "label"]), inner, max_size=2)
    ),
    max_leaves=8,
)
RECORDS = st.dictionaries(
    st.sampled_from(["text", "pair", "label", "tokens", "tags", "choices", "id"]), CELLS
)
OWN = [
    {"type": "classification"},
    {"type": "classification", "labels": ["O", "A"], "pair_column": "pair"},
    {"type": "regression"},
    {"type": "tagging"},
    {"type": "tagging", "labels": ["O", "B-X"], "other_labels": "drop"},
    {"type": "multiple-choice"},
    {"type": "multiple-choice", "choice_columns": ["tokens", "tags"]},
]


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(OWN), RECORDS, st.booleans())
def test_any_record_is_read_counted_or_refused(values, record, labelled):
    task, dropped = UserTask(name="own", train="t", **values).as_task(), Counter()
    records = [("t: record 1", record)]
    try:
        found = list(record_examples(task, records, task.columns, dropped, labelled=labelled))
    except ValueError as error:
        assert str(error).startswith("t: record 1")
    else:
        assert len(found) + min(1, dropped.total()) == 1 and digest(found)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 0], ("0", "1")),
        ([1.0, 0.0], ("0", "1")),
        (["1", " 0 "], ("0", "1")),
        ([True, False], ("False", "True")),
        (["pos ", "\tneg"], ("neg", "pos")),
        ([0.5, 1.5], ("0.5", "1.5")),
    ],
)
def test_labels_of_any_type_are_texts(tmp_path, values, labels):
    path = lines(tmp_path / "t.jsonl", text_records(values * 10))
    assert load_task(path, validation=path).kind.labels == labels


def test_numbers_in_one_split_and_texts_in_another_are_alike(tmp_path):
    train = lines(tmp_path / "t.jsonl", text_records([1, 0] * 10))
    (tmp_path / "v.csv").write_text("text,label\na,1\nb,0\n")
    data = load_task(train, validation=str(tmp_path / "v.csv"))
    assert [example.label for example in data.scored["validation"]] == ["1", "0"]


def test_names_stand_for_numbers_in_the_order_of_the_list(tmp_path):
    path = lines(tmp_path / "t.jsonl", text_records([1, 0] * 10))
    data = load_task(path, validation=path, labels=["pos", "neg"])
    assert data.kind.labels == ("pos", "neg")
    assert [example.label for example in data.train[:2]] == ["neg", "pos"]
    path = lines(tmp_path / "t.jsonl", text_records([2, 0] * 10))
    with pytest.raises(ValueError, match=r"record 1: label '2' is none of pos, neg"):
        load_task(path, validation=path, labels=["pos", "neg"])


def test_labels_that_yaml_makes_booleans_are_explained():
    with pytest.raises(ValueError, match="False is what YAML makes of no, off, yes or on; quote"):
        load_task("t.csv", labels=[False, True])


def test_a_list_is_a_label_where_it_has_one(tmp_path):
    path = lines(tmp_path / "t.jsonl", text_records([["x"], ["y"], []]))  # doccano's export
    assert [e.label for e in load_task(path, validation=path).train] == ["x", "y"]
    path = lines(tmp_path / "t.jsonl", text_records([["x", "y"], ["y"]]))
    with pytest.raises(ValueError, match=r"record 1: column 'label' holds \['x', 'y'\], not one l"):
        load_task(path, validation=path)


def test_dots_lead_into_objects(tmp_path):
    records = [{"q": {"stem": f"a {i}"}, "labels": {"label": i / 2, "other": 1}} for i in range(9)]
    path = lines(tmp_path / "t.jsonl", records)
    values = {"type": "regression", "text_column": "q.stem", "label_column": "labels.label"}
    data = load_task(path, validation=path, test=path, **values)
    assert [e.label for e in data.train] == [repr(i / 2) for i in range(9)]
    assert len(data.scored["test"]) == 9
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "t.parquet")
    parquet = str(tmp_path / "t.parquet")
    assert load_task(parquet, validation=parquet, **values).train == data.train
    values["label_column"] = "labels.score"
    with pytest.raises(
        ValueError, match=r"no column 'labels.score'; 'labels' has 'label', 'other'"
    ):
        load_task(path, **values)


def test_choices_are_listed_as_objects_in_the_files_of_arc(tmp_path):
    choices = [{"text": "old", "label": "A"}, {"text": "new", "label": "B"}]
    records = [
        {"question": {"stem": f"Which? {i}", "choices": choices}, "answerKey": "AB"[i % 2]}
        for i in range(9)
    ]
    columns = {"text_column": "question.stem", "label_column": "answerKey"}
    path = lines(tmp_path / "t.jsonl", records)
    values = {"type": "multiple-choice", "choice_columns": ["question.choices"], **columns}
    first, second, *_ = load_task(path, validation=path, **values).train
    assert (first.choices, first.gold, second.gold) == (("old", "new"), 0, 1)


def test_missing_values_of_pandas_are_missing(tmp_path):
    table = {"text": ["a", None, "c", "d"], "label": [0.0, 1.0, float("nan"), 1.0]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    for kind in ("classification", "regression"):
        path = str(tmp_path / "t.parquet")
        data = load_task(path, validation=path, type=kind)
        assert data.counters["dropped"]["train"] == {"empty_text": 1, "no_label": 1}


def test_pairs_on_which_nobody_agreed_have_no_label(tmp_path):
    records = [
        {"sentence1": f"a {i}", "gold_label": ["entailment", "neutral", "-", " - "][i % 4]}
        for i in range(12)
    ]
    path = lines(tmp_path / "t.jsonl", records)
    values = {"text_column": "sentence1", "label_column": "gold_label"}
    data = load_task(path, validation=path, **values)
    assert data.kind.labels == ("entailment", "neutral")
    assert data.counters["dropped"]["train"] == {"no_label": 6}
    signs = lines(tmp_path / "s.jsonl", text_records(["+", "-"] * 6))
    assert load_task(signs).kind.labels == ("+", "-")


@pytest.mark.parametrize(
    "labels",
    [
        ["Pos", "pos"],
        ["sci fi", "sci  fi"],
        ["caf\u00e9", "cafe\u0301"],
        ["x", "x\u200b"],
        ["1", "1.0"],
    ],
)
def test_labels_that_look_alike_are_told(tmp_path, labels, caplog):
    path = lines(tmp_path / "t.jsonl", text_records([*labels, "other"] * 6))
    assert len(load_task(path).kind.labels) == 3
    assert caplog.text.count("though they look alike") == 1


def test_a_class_of_rows_without_label_is_told(tmp_path, caplog):
    load_task(lines(tmp_path / "s.jsonl", text_records([-1, 0, 1] * 6)))
    assert "-1" not in caplog.text
    load_task(lines(tmp_path / "t.jsonl", text_records([-1, 0, 1, 2] * 6)))
    assert "one of the classes is -1, which `datasets` gives rows without a label" in caplog.text


def test_scoring_on_train_is_told(tmp_path, caplog):
    train = lines(tmp_path / "t.jsonl", text_records(["x", "y"] * 6))
    load_task(train, validation=train)
    assert "t.jsonl: 12 of its 12 examples are in train as well" in caplog.text


@pytest.mark.parametrize("label", ["4,5", "1_000", "50%", "nan", "inf"])
def test_what_is_no_number_is_refused(tmp_path, label):
    path = lines(tmp_path / "t.jsonl", text_records(["1", label]))
    with pytest.raises(
        ValueError, match=rf"record 2: .*'{label}', not a finite number such as 4.5"
    ):
        load_task(path, type="regression")


@pytest.mark.parametrize("name", ["t.ann", "t.spacy"])
def test_annotations_by_offsets_are_refused_with_the_remedy(tmp_path, name):
    (tmp_path / name).write_text("T1\tPerson 0 4\tJohn\nT2\tPlace 10 16\tLondon\n")
    with pytest.raises(ValueError, match=rf"{name}: annotations by offsets .* \(CoNLL\)"):
        load_task(str(tmp_path / name), type="tagging")
    path = lines(tmp_path / "t.jsonl", [{"text": "John ran", "label": [[0, 4, "PER"]]}])
    with pytest.raises(ValueError, match=r"not a list of words; .* export words with tags \(CoNLL"):
        load_task(path, type="tagging", text_column="text", label_column="label")


# --- columns without a header ---------------------------------------------------------------------


def test_columns_are_counted_in_csv_and_tsv_without_a_header(tmp_path):
    rows = [(f"{i % 2}", f"Title {i}", f"Text, {i}") for i in range(20)]
    (tmp_path / "t.csv").write_text("".join(f'"{a}","{b}","{c}"\n' for a, b, c in rows))
    (tmp_path / "t.tsv").write_text("".join(f"{a}\t{b}\t{c}\n" for a, b, c in rows))
    for name in ("t.csv", "t.tsv"):
        path = str(tmp_path / name)
        for columns in ((2, 0), (-1, -3), (2, -3)):
            names = dict(zip(("text_column", "label_column"), columns, strict=True))
            data = load_task(path, validation=path, **names)
            assert [(e.text, e.label) for e in data.train] == [(c, a) for a, _, c in rows]
    with pytest.raises(
        ValueError, match=r"no column 2; it has .*without a header row, all of them"
    ):
        load_task(str(tmp_path / "t.csv"), text_column=2)
    (tmp_path / "t.csv").write_text('1,a\n2,"b",c\n')
    with pytest.raises(ValueError, match=r"t\.csv: line 2: 3 fields, the first line has 2"):
        load_task(str(tmp_path / "t.csv"), text_column=1, label_column=0)


# --- one folder a class ---------------------------------------------------------------------------


def write_reviews(folder, *, num_files=10, text="A film.\nIts second line."):
    for label in ("neg", "pos"):
        (folder / label).mkdir(parents=True)
        for number in range(num_files):
            (folder / label / f"{number}_7.txt").write_text(f"{text} {label} {number}\n")
        (folder / label / ".DS_Store").write_text("x")
    (folder / "labeledBow.feat").write_text("0 1:3\n")
    return folder


def test_a_folder_a_class_with_a_document_a_file(tmp_path, caplog):
    train, test = write_reviews(tmp_path / "train"), write_reviews(tmp_path / "test", num_files=2)
    (train / "unsup").mkdir()
    (train / "unsup/0_0.txt").write_text("No class.")
    for values in ({"labels": ["pos", "neg"]}, {}):
        data = load_task(str(train), validation=str(test), **values)
        assert [e.label for e in data.train] == ["neg"] * 10 + ["pos"] * 10
        assert data.train[0].text == "A film.\nIts second line. neg 0"
        assert data.scored["validation"][-1].id == "pos/1_7.txt"
        assert data.counters["dropped"]["train"] == {"folder_unsup": 1}
    for pattern in ("*/*.txt", "[np]*/*_7.txt"):
        assert len(load_task(f"{train}/{pattern}", validation=str(test)).train) == 20


def test_names_that_repeat_the_class_of_the_folder_do_not_part_texts(tmp_path):
    for label in ("neg", "pos"):
        (tmp_path / label).mkdir()
        for number in range(9):
            (tmp_path / label / f"{label}_{number}.txt").write_text(f"A film\n{label} {number}")
    pattern = f"{tmp_path}/*/*.txt"
    data = load_task(pattern, validation=pattern, labels=["neg", "pos"])
    assert len(data.train) == 18 and data.train[0].text == "A film\nneg 0"
    (tmp_path / "texts.neg.txt").write_text("one\ntwo\n")
    (tmp_path / "texts.pos.txt").write_text("three\nfour\n")
    data = load_task(f"{tmp_path}/texts.*", validation=pattern, labels=["neg", "pos"])
    assert [(e.text, e.label) for e in data.train][:2] == [("one", "neg"), ("two", "neg")]


def test_a_folder_a_class_with_a_file_of_texts(tmp_path):
    folder = write_reviews(tmp_path / "train", num_files=1, text="one\n\ntwo\nthree")
    data = load_task(str(folder), validation=str(folder))
    assert [e.text for e in data.train][:3] == ["one", "two", "three neg 0"]


def test_a_class_too_many_is_refused_or_dropped(tmp_path):
    folder = write_reviews(tmp_path / "train")
    (folder / "neutral").mkdir()
    (folder / "neutral/1.txt").write_text("So so.")
    with pytest.raises(ValueError, match=r"neutral/1\.txt: label 'neutral' is none of neg, pos"):
        load_task(str(folder), validation=str(folder), labels=["neg", "pos"])
    values = {"labels": ["neg", "pos"], "other_labels": "drop"}
    data = load_task(str(folder), validation=str(folder), **values)
    assert data.counters["dropped"]["train"] == {"other_label": 1}


def test_folders_of_splits_are_no_classes(tmp_path):
    write_reviews(tmp_path / "aclImdb/train")
    with pytest.raises(ValueError, match="train holds folders, such as neg; give the folder whose"):
        load_task(str(tmp_path / "aclImdb"))
    for split in ("train", "test"):
        (tmp_path / "own" / split).mkdir(parents=True)
        (tmp_path / "own" / split / "1.txt").write_text("A film.")
    with pytest.raises(ValueError, match="own: its folders are splits, not classes; give one"):
        load_task(str(tmp_path / "own"))
    (tmp_path / "own/train/t.csv").write_text("text,label\n")
    with pytest.raises(ValueError, match="own: a folder"):
        load_task(str(tmp_path / "own"))


def test_folders_on_other_filesystems_and_with_odd_names(tmp_path):
    import fsspec

    folder = write_reviews(tmp_path / "train [v1]? #2")
    (folder / "neg" / os.fsdecode(b"caf\xe9.txt")).write_text("Latin")
    data = load_task(str(folder), validation=str(folder))
    assert len(data.train) == 21 and data.digests
    filesystem = fsspec.filesystem("memory")
    for path in folder.glob("*/*_7.txt"):
        filesystem.pipe_file(f"/reviews/{path.parent.name}/{path.name}", path.read_bytes())
    data = load_task("memory://reviews", validation="memory://reviews")
    assert len(data.train) == 20 and data.kind.labels == ("neg", "pos")


def test_a_folder_without_folders_of_files_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/t.csv").write_text("text,label\n")
    with pytest.raises(ValueError, match=r"train: a folder; name its files"):
        load_task(str(tmp_path / "train"))


# --- several files, and a test split --------------------------------------------------------------


def test_a_split_may_be_several_files_and_test_is_scored(tmp_path):
    paths = [lines(tmp_path / f"{n}.jsonl", text_records("xy" * 5, n=n)) for n in range(3)]
    data = load_task(paths[:2], validation=paths[2], test={"url": paths[2]})
    assert len(data.train) == 20
    assert list(data.scored) == ["validation", "test"]
    with pytest.raises(ValueError, match="at least 1 item"):
        load_task([])


@pytest.mark.parametrize("label", [None, "", -1, "absent"])
def test_a_test_file_without_labels_is_predicted(tmp_path, label, caplog):
    train = lines(tmp_path / "train.jsonl", text_records("xy" * 20))
    records = text_records([label] * 5)
    if label == "absent":
        records = [{"text": each["text"]} for each in records]
    data = load_task(train, test=lines(tmp_path / "test.jsonl", records))
    assert list(data.scored) == ["validation"] and len(data.unlabelled["test"]) == 5
    assert "it is predicted, not scored" in caplog.text


def test_a_label_of_minus_one_is_one_among_others(tmp_path):
    train = lines(tmp_path / "train.jsonl", text_records([-1, 0, 1] * 20))
    data = load_task(train, test=train)
    assert data.kind.labels == ("-1", "0", "1") and len(data.scored["test"]) == 60


def test_words_without_tags_are_predicted(tmp_path):
    (tmp_path / "train.txt").write_text("".join(f"Anna B-PER\nw{i} O\n\n" for i in range(30)))
    (tmp_path / "test.txt").write_text("Anna\nsings\n")
    train, test = (str(tmp_path / f"{split}.txt") for split in ("train", "test"))
    data = load_task(train, test=test, type="tagging")
    (example,) = data.unlabelled["test"]
    assert example.words == ("Anna", "sings")
    assert data.kind.row(example, TagsPrediction(("B-PER", "O")))["prediction"] == ["B-PER", "O"]
