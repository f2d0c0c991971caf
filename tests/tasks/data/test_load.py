"""Task files in their published layouts, with their quirks, and invalid files."""

import codecs
import logging
import pickle

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.user_task import TASKS, UserTask, find_task
from electra_pipeline.tasks.data.load import carve, load, sample
from electra_pipeline.tasks.kinds.tagging import TagsPrediction
from electra_pipeline.tasks.kinds.text_classification import TextExample
from electra_pipeline.tasks.task import Columns, HubDataset

QUICK = settings(deadline=None, max_examples=50)


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return str(path)


def user_task(train, validation=None, **values):
    values = {"name": "own", "type": "classification", **values}
    return UserTask(train=str(train), validation=validation, **values).as_task()


# --- GLUE -----------------------------------------------------------------------------------------


def test_cola_has_no_header_and_dev_no_final_newline(tmp_path):
    write(tmp_path / "CoLA/train.tsv", "gj04\t1\t\tIt works.\ngj04\t0\t*\tIt work.\n")
    write(tmp_path / "CoLA/dev.tsv", "cj99\t1\t\tThe end.")
    data = load(TASKS["cola"], str(tmp_path))
    assert [(e.text, e.label) for e in data.train] == [
        ("It works.", "acceptable"),
        ("It work.", "unacceptable"),
    ]
    assert [e.text for e in data.scored["validation"]] == ["The end."]


def test_odd_quotes_do_not_merge_rows_and_a_byte_order_mark_is_no_column(tmp_path):
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    rows = '1\t1\t2\tHe said " no\tShe said yes\r\n0\t3\t4\t"Quoted"\t"open\r\n'
    write(tmp_path / "glue/MRPC/train.tsv", header + rows)
    write(tmp_path / "glue/MRPC/dev.tsv", "\ufeff" + header + rows)
    data = load(TASKS["mrpc"], str(tmp_path))
    assert [(e.text, e.pair, e.label) for e in data.train] == [
        ('He said " no', "She said yes", "equivalent"),
        ('"Quoted"', '"open', "not_equivalent"),
    ]
    assert data.scored["validation"] == data.train


def test_folders_are_found_in_any_case_and_text_keeps_odd_line_separators(tmp_path):
    write(tmp_path / "GLUE/sst-2/Train.tsv", "sentence\tlabel\na\u2028b \t1\nc\x85d\re \t0\n")
    write(tmp_path / "GLUE/sst-2/dev.tsv", "sentence\tlabel\ngood \t1\n")
    data = load(TASKS["sst2"], str(tmp_path))
    assert [e.text for e in data.train] == ["a\u2028b", "c\x85d\re"]


def test_mnli_scores_matched_and_mismatched(tmp_path):
    header = "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
    rows = [
        f"{i}\tp{i}\th{i}\tneutral\t{label}\n" for i, label in enumerate(("entailment", "neutral"))
    ]
    for name in ("train", "dev_matched", "dev_mismatched"):
        write(tmp_path / f"MNLI/{name}.tsv", header + "".join(rows))
    data = load(TASKS["mnli"], str(tmp_path))
    assert list(data.scored) == ["validation", "validation_mismatched"]
    assert data.kind.labels == ("entailment", "neutral", "contradiction")


def test_short_rows_are_dropped_for_qqp_and_refused_for_other_tasks(tmp_path):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    rows = "1\t2\t3\ta?\tb?\t0\n4\t5\t6\ttorn\n1\t2\t3\tc?\td?\t1\n"
    for name in ("train", "dev"):
        write(tmp_path / f"QQP/{name}.tsv", header + rows)
    data = load(TASKS["qqp"], str(tmp_path))
    assert len(data.train) == 2
    assert data.counters["dropped"] == {
        split: {"too_few_columns": 1} for split in ("train", "validation")
    }
    path = write(tmp_path / "own.tsv", "text\tlabel\na\tx\nb\n")
    with pytest.raises(ValueError, match=r"own\.tsv:3: expected 2 columns, got 1"):
        load(user_task(path), None)


def test_missing_validation_file_is_replaced_by_a_counted_part_of_train(tmp_path, caplog):
    rows = "".join(f"{i}\tp{i}\th{i}\t{'not_' * (i % 2)}entailment\n" for i in range(100))
    write(tmp_path / "RTE/train.tsv", "index\tsentence1\tsentence2\tlabel\n" + rows)
    with caplog.at_level(logging.INFO):
        data = load(TASKS["rte"], str(tmp_path))
    sizes = data.counters["examples"]
    assert sizes["train"] + sizes["validation"] == 100
    assert 3 <= sizes["validation"] <= 20
    assert data.counters["validation_from_train_fraction"] == 0.1
    assert "validation is a part of train" in caplog.text
    again = load(TASKS["rte"], str(tmp_path))
    assert again.digests == data.digests


def test_stsb_numbers_must_be_finite(tmp_path):
    header = "index\tsentence1\tsentence2\tscore\n"
    write(tmp_path / "STS-B/train.tsv", header + "0\ta\tb\t5.000\n1\tc\td\t0.5\n")
    write(tmp_path / "STS-B/dev.tsv", header + "0\ta\tb\tnan\n")
    with pytest.raises(
        ValueError,
        match=r"dev\.tsv:2: invalid column 'score': .* finite .* got 'nan'",
    ):
        load(TASKS["stsb"], str(tmp_path))
    write(tmp_path / "STS-B/dev.tsv", header + "0\ta\tb\t2.5\n")
    data = load(TASKS["stsb"], str(tmp_path))
    assert data.kind.mean == pytest.approx(2.75)


def test_test_files_and_diagnostics_are_predicted_and_not_scored(tmp_path):
    header = "index\tsentence1\tsentence2\tlabel1\tgold_label\n"
    rows = "".join(f"{i}\tp{i}\th{i}\tx\t{c}\n" for i, c in enumerate(("entailment", "neutral")))
    for name in ("train", "dev_matched", "dev_mismatched"):
        write(tmp_path / f"glue/MNLI/{name}.tsv", header + rows)
    without = "index\tsentence1\tsentence2\n7\ta\tb\n9\tc\td\n"
    write(tmp_path / "glue/MNLI/test_matched.tsv", without)
    before = load(TASKS["mnli"], str(tmp_path))
    assert list(before.unlabelled) == ["test_matched"]  # the others are optional
    write(tmp_path / "glue/diagnostic/diagnostic.tsv", without)
    data = load(TASKS["mnli"], str(tmp_path))
    assert list(data.unlabelled) == ["test_matched", "ax"]
    assert [(e.id, e.text, e.pair, e.label) for e in data.unlabelled["ax"]] == [
        ("7", "a", "b", None),
        ("9", "c", "d", None),
    ]
    assert list(data.scored) == ["validation", "validation_mismatched"]
    assert data.counters["examples"]["ax"] == 2
    assert data.digests != before.digests  # what is predicted is part of a trial's identity


def test_the_test_file_of_cola_has_a_header_where_train_has_none(tmp_path, tokenizer):
    for name in ("train", "dev"):
        write(tmp_path / f"CoLA/{name}.tsv", "gj04\t1\t\tIt works.\ngj04\t0\t*\tIt work.\n")
    write(tmp_path / "CoLA/test.tsv", "index\tsentence\n0\tBill whistled.\n")
    data = load(TASKS["cola"], str(tmp_path))
    assert [(e.id, e.text) for e in data.unlabelled["test"]] == [("0", "Bill whistled.")]
    (feature,) = data.kind.encode(tokenizer, data.unlabelled["test"], 16, training=False).features
    assert data.kind.decode(data.unlabelled["test"], [feature], [[0.0, 1.0]])


# --- CoNLL columns --------------------------------------------------------------------------------


def test_columns_by_space_or_tab_with_document_marks_and_hash_words(tmp_path):
    write(
        tmp_path / "conll2003/eng.train",
        "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\n# # I-NP O\n\n\nParis NNP B-NP I-LOC\n",
    )
    write(tmp_path / "conll2003/eng.testa", "Rome NNP B-NP I-LOC\n")
    data = load(TASKS["conll2003"], str(tmp_path))
    assert [(e.words, e.tags) for e in data.train] == [
        (("U.N.", "#"), ("I-ORG", "O")),
        (("Paris",), ("I-LOC",)),
    ]
    write(tmp_path / "WNUT17/wnut17train.conll", "New York\tB-location\n#\tO\n\t\nbar\tO\n\t\n")
    write(tmp_path / "WNUT17/emerging.dev.conll", "x\ufeff\tB-location\n\n\ufeff")
    data = load(TASKS["wnut17"], str(tmp_path))
    assert [e.words for e in data.train] == [("New York", "#"), ("bar",)]
    assert [e.words for e in data.scored["validation"]] == [("x",)]


def test_conll2002_is_read_in_either_of_its_encodings(tmp_path):
    write(tmp_path / "conll2002/esp.train", "España NC B-LOC\n. Fp O\n", "iso-8859-1")
    write(tmp_path / "conll2002/esp.testa", "España NC B-LOC\n", "utf-8")
    data = load(TASKS["conll2002-es"], str(tmp_path))
    assert data.train[0].words[0] == data.scored["validation"][0].words[0] == "España"


def test_bioes_tags_are_kept_and_unseen_tags_can_be_scored(tmp_path):
    train = write(tmp_path / "train.txt", "a B-X\nb E-X\nc S-X\n\nd O\n")
    dev = write(tmp_path / "dev.txt", "a S-NEW\nd O\n")
    data = load(user_task(train, dev, type="tagging"), None)
    assert data.kind.labels == ("B-X", "E-X", "O", "S-X")
    scores = data.kind.score(
        data.scored["validation"], [TagsPrediction(("O", "O"))], ("accuracy", "f1")
    )
    assert scores == {"accuracy": 0.5, "f1": 0.0}


def test_part_of_speech_tags_have_accuracy_only(tmp_path):
    rows = [
        "# text = vámonos ya",
        "1-2\tvámonos" + "\t_" * 8,
        "1\tvamos\tir\tVERB" + "\t_" * 6,
        "2\tnos\tnosotros\tPRON" + "\t_" * 6,
        "",
        "1\tya\tya\tADV" + "\t_" * 6,
        "",
    ]
    train = write(tmp_path / "es.conllu", "\n".join(rows))
    data = load(user_task(train, train, type="tagging", text_column=1, label_column=3), None)
    assert [e.words for e in data.train] == [("vamos", "nos"), ("ya",)]
    assert data.metrics == ("accuracy",)


def test_tagged_records_hold_lists(tmp_path):
    records = [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}, {"tokens": ["a"], "tags": []}]
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, records[:1])))
    assert load(user_task(path, str(path), type="tagging"), None).train[0].tags == ("O", "B-X")
    path.write_bytes(b"\n".join(map(orjson.dumps, records)))
    with pytest.raises(ValueError, match=r"train\.jsonl: record 2: 1 words but 0 tags"):
        load(user_task(path, str(path), type="tagging"), None)


# --- SQuAD ----------------------------------------------------------------------------------------


def squad(path, questions):
    paragraph = {"context": "The cat sat on the mat.", "qas": questions}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"version": "2", "data": [{"paragraphs": [paragraph]}]}))


def test_squad_reads_answers_and_questions_without_one(tmp_path):
    answers = [{"text": "cat", "answer_start": 4}, {"text": "cat", "answer_start": 4}]
    questions = [
        {"id": "1", "question": " Who?", "answers": answers},
        {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    for name in ("train-v2.0.json", "dev-v2.0.json"):
        squad(tmp_path / "squad" / name, questions)
    data = load(TASKS["squad_v2"], str(tmp_path))
    assert [(e.question, e.answers, e.start) for e in data.train] == [
        ("Who?", ("cat",), 4),
        ("Why?", (), -1),
    ]
    assert data.kind.has_unanswerable


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("v1.1-split-train.json", "v2.0-split-train.json"), "v1.1-split-train.json"),
        (("train-v1.1.json", "mine-v1.1-train.json"), "train-v1.1.json"),
    ],
)
def test_renamed_subset_of_squad_is_found(tmp_path, names, chosen):
    for name in names:
        answers = [{"text": "cat", "answer_start": 4}]
        squad(tmp_path / "squad" / name, [{"id": name, "question": "?", "answers": answers}] * 2)
    squad(tmp_path / "squad/dev-v1.1.json", [{"id": "d", "question": "?", "answers": answers}])
    data = load(TASKS["squad"], str(tmp_path))
    assert {example.id for example in data.train} == {chosen}


def test_misplaced_answers_are_not_trained_on_and_are_counted(tmp_path, caplog):
    questions = [
        {"id": "ok", "question": "?", "answers": [{"text": "cat", "answer_start": 4}]},
        {"id": "bad", "question": "?", "answers": [{"text": "dog", "answer_start": 5}]},
    ]
    squad(tmp_path / "squad/train-v1.1.json", questions)
    squad(tmp_path / "squad/dev-v1.1.json", questions)
    data = load(TASKS["squad"], str(tmp_path))
    assert [e.id for e in data.train] == ["ok"]
    assert len(data.scored["validation"]) == 2
    assert data.counters["dropped"] == {"train": {"answer_not_in_context": 1}}
    assert "question bad" in caplog.text


def test_other_json_is_refused_with_the_expected_format(tmp_path):
    write(tmp_path / "squad/train-v1.1.json", '{"data": [{"title": "x"}]}')
    with pytest.raises(ValueError, match=r"train-v1\.1\.json: not in SQuAD's .*'paragraphs'"):
        load(TASKS["squad"], str(tmp_path))


# --- tasks of the user's own ----------------------------------------------------------------------


def test_labels_come_from_train_and_every_format_reads_alike(tmp_path):
    table = pa.table({"text": ["a", "b"], "label": ["y", "x"]})
    pq.write_table(table, tmp_path / "t.parquet")
    paths = [
        write(tmp_path / "t.csv", 'text,label\r\n"a",y\r\nb,x\r\n'),
        write(tmp_path / "t.tsv", "text\tlabel\na\ty\nb\tx\n"),
        write(tmp_path / "t.jsonl", '{"text": "a", "label": "y"}\n{"text": "b", "label": "x"}\n'),
        write(tmp_path / "t.json", '[{"text": "a", "label": "y"}, {"text": "b", "label": "x"}]'),
        str(tmp_path / "t.parquet"),
    ]
    loaded = [load(user_task(path, path), None) for path in paths]
    assert {data.kind.labels for data in loaded} == {("x", "y")}
    assert len({tuple(data.digests.items()) for data in loaded}) == 1


def test_other_labels_are_refused_or_dropped_and_counted(tmp_path, caplog):
    path = write(tmp_path / "t.csv", "category,text\nfresh,a\nrotten,b\nplot,c\n")
    values = {"label_column": "category", "labels": ("fresh", "rotten")}
    with pytest.raises(
        ValueError,
        match=r"t\.csv: record 3: invalid label: .* fresh, rotten, got 'plot'",
    ):
        load(user_task(path, path, **values), None)
    data = load(user_task(path, path, other_labels="drop", **values), None)
    assert data.counters["dropped"]["train"] == {"other_label": 1}
    assert "were dropped" not in caplog.text  # as was asked for
    assert [e.label for e in data.train] == ["fresh", "rotten"]


def test_a_file_in_another_encoding_is_read_when_it_is_named(tmp_path):
    path = write(tmp_path / "t.csv", "text,label\ncafé,x\nb,y\n", "iso-8859-1")
    with pytest.raises(ValueError, match=r"t\.csv: line 2.*encoding"):
        load(user_task(path, path), None)
    assert load(user_task(path, path, encoding="iso-8859-1"), None).train[0].text == "café"


BAD_FILES = {
    "a,b\n1,2\n": r"no column 'text'; it has 'a', 'b'",
    "text,label\na,\n": r"no train example \(1 no_label\)",
    "text,label\n": r"no train example \(it is empty\)",
    "text,label\na,x\nb,x\n": r"all training examples have the label 'x'",
    "text,label\n" + "".join(f"a,{i}\n" for i in range(50)): r"50 different labels in 50 rows",
}


@pytest.mark.parametrize("content", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    with pytest.raises(ValueError, match=rf"t\.csv.*{BAD_FILES[content]}") as caught:
        load(user_task(path, path), None)
    assert "\n" not in str(caught.value)


def test_a_validation_label_that_train_does_not_have_is_refused(tmp_path):
    train = write(tmp_path / "train.csv", "text,label\na,x\nb,y\n")
    dev = write(tmp_path / "dev.csv", "text,label\na,x\nb,z\n")
    with pytest.raises(ValueError, match=r"dev\.csv: record 2: invalid label: .* x, y, got 'z'"):
        load(user_task(train, dev), None)


def test_mixed_tag_schemes_are_refused(tmp_path):
    path = write(tmp_path / "t.txt", "a B-X\nb B_X\nc O\n")
    with pytest.raises(ValueError, match=r"t\.txt: the tags 'B_X' are neither O nor B-"):
        load(user_task(path, path, type="tagging"), None)


def test_short_lines_of_columns_are_refused(tmp_path):
    path = write(tmp_path / "t.txt", "a B-X\nb\n")
    with pytest.raises(ValueError, match=r"t\.txt:2: 'b' has 1 columns; expected 2 or more"):
        load(user_task(path, path, type="tagging"), None)


@pytest.mark.parametrize("name", TASKS)
def test_missing_task_files_are_named_with_the_remedy(tmp_path, name):
    with pytest.raises(ValueError, match=rf"finetune\.data: {name} needs .*set data to null"):
        load(find_task(name), str(tmp_path))
    with pytest.raises(ValueError, match=r"finetune\.data: no folder"):
        load(find_task(name), str(tmp_path / "absent"))


def test_missing_user_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.csv: no such file"):
        load(user_task(tmp_path / "absent.csv"), None)


def test_a_folder_on_another_filesystem_reads_alike(tmp_path):
    import fsspec

    content = "gj04\t1\t\tIt works.\ngj04\t0\t*\tIt work.\n"
    for name in ("train", "dev"):
        write(tmp_path / f"CoLA/{name}.tsv", content)
        with fsspec.open(f"memory://tasks/CoLA/{name}.tsv", "wb") as file:
            file.write(codecs.BOM_UTF8 + content.encode())
    remote = load(TASKS["cola"], "memory://tasks")
    assert remote.digests == load(TASKS["cola"], str(tmp_path)).digests


# --- the Hub --------------------------------------------------------------------------------------


def hub_task(name, path, **columns):
    dataset = HubDataset(path=str(path), columns=Columns(**columns), splits={"train": "train"})
    return TASKS[name].model_copy(update={"hub": dataset})


def test_class_indexes_of_the_hub_become_names(tmp_path):
    import datasets

    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["unacceptable", "acceptable"]),
        }
    )
    rows = {"sentence": [f"s{i}" for i in range(40)], "label": [i % 2 for i in range(40)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    data = load(hub_task("cola", tmp_path, text="sentence"), None)
    assert {e.label for e in data.train} == {"unacceptable", "acceptable"}
    assert sum(data.counters["examples"].values()) == 40


def test_tags_and_questions_of_the_hub_read_as_from_files(tmp_path):
    import datasets

    tag = datasets.ClassLabel(names=["O", "B-X"])
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(tag)}
    )
    rows = {"tokens": [["a", f"b{i}"] for i in range(30)], "ner_tags": [[0, 1]] * 30}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "ner/train.parquet")
    data = load(hub_task("wnut17", tmp_path / "ner", text="tokens", label="ner_tags"), None)
    assert data.train[0].tags == ("O", "B-X")

    rows = {
        "id": [str(i) for i in range(30)],
        "question": ["?"] * 30,
        "context": [f"cat {i}" for i in range(30)],
        "answers": [{"text": ["cat"], "answer_start": [0]}] * 30,
    }
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "qa/train.parquet")
    data = load(hub_task("squad", tmp_path / "qa"), None)
    assert data.train[0].answers == ("cat",) and data.train[0].start == 0


def test_splits_of_the_hub_without_labels_are_predicted(tmp_path):
    import datasets

    names = datasets.ClassLabel(names=["unacceptable", "acceptable"])
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": names, "idx": datasets.Value("int32")}
    )
    for split, label in (("train", None), ("test", -1)):
        rows = {
            "sentence": [f"{split} {i}" for i in range(30)],
            "label": [i % 2 if label is None else label for i in range(30)],
            "idx": list(range(100, 130)),
        }
        file = tmp_path / f"{split}.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    task = hub_task("cola", tmp_path, text="sentence")
    missing = {"test": (None, "test"), "other": (None, "absent")}
    hub = task.hub.model_copy(update={"unlabelled": missing})
    data = load(task.model_copy(update={"hub": hub}), None)
    assert {e.label for e in data.unlabelled["test"]} == {None}
    assert [e.id for e in data.unlabelled["test"]][:2] == ["100", "101"]
    assert "other" not in data.unlabelled  # told in the log, and nothing is lost


def test_choices_of_the_hub_read_as_from_files(tmp_path):
    import datasets

    text = datasets.Value("string")
    features = datasets.Features(
        {
            "question": text,
            "choices": datasets.Sequence({"text": text, "label": text}),
            "answerKey": text,
        }
    )
    rows = {
        "question": [f"q{i}?" for i in range(30)],
        "choices": [{"text": ["a", "b", "c"], "label": ["1", "2", "3"]}] * 30,
        "answerKey": ["3"] * 30,
    }
    file = tmp_path / "arc/train.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    columns = {"text": "question", "label": "answerKey"}
    data = load(hub_task("arc_easy", tmp_path / "arc", **columns), None)
    assert data.train[0].choices == ("a", "b", "c") and data.train[0].gold == 2

    endings = ("ending0", "ending1")
    label = datasets.ClassLabel(names=["0", "1", "2", "3"])
    columns = ("sent1", "sent2", *endings)
    features = datasets.Features({**dict.fromkeys(columns, text), "label": label})
    rows = {c: [f"{c} {i}" for i in range(30)] for c in columns} | {"label": [1] * 30}
    file = tmp_path / "swag/train.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    task = hub_task("swag", tmp_path / "swag", text="sent1", pair="sent2", choices=endings)
    example = load(task, None).train[0]
    assert example.choices[1].startswith("sent2") and "ending1" in example.choices[1]
    assert example.gold == 1


def test_an_unreachable_hub_is_one_line_with_the_remedy():
    with pytest.raises(
        ValueError, match=r"nyu-mll/glue.*cannot load cola.*set finetune\.data"
    ) as c:
        load(TASKS["cola"], None)
    assert "\n" not in str(c.value)


# --- splitting ------------------------------------------------------------------------------------

EXAMPLES = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(
    lambda numbers: [TextExample(str(i), f"text {n}", None, "x") for i, n in enumerate(numbers)]
)


@QUICK
@given(EXAMPLES, st.floats(0.01, 0.99))
def test_carve_keeps_all_examples_and_equal_content_together(examples, fraction):
    train, validation = carve(examples, fraction)
    assert sorted([*train, *validation], key=lambda e: int(e.id)) == examples
    assert not {e.content for e in train} & {e.content for e in validation}
    if len({e.content for e in examples}) > 1:
        assert train and validation


@QUICK
@given(EXAMPLES, st.integers(1, 30))
def test_sample_keeps_the_order_and_depends_on_content_only(examples, size):
    chosen = sample(examples, size)
    assert len(chosen) == min(size, len(examples))
    assert [int(e.id) for e in chosen] == sorted(int(e.id) for e in chosen)
    assert set(sample(chosen, size - 1)) <= set(chosen)


def test_max_examples_is_counted(tmp_path):
    rows = "".join(f"t{i},{'xy'[i % 2]}\n" for i in range(40))
    path = write(tmp_path / "t.csv", "text,label\n" + rows)
    data = load(user_task(path, path, max_examples=10), None)
    assert len(data.train) == 10
    assert data.counters["dropped"]["train"] == {"over_max_examples": 30}


def test_tasks_can_be_pickled():
    for task in TASKS.values():
        assert pickle.loads(pickle.dumps(task)) == task


# --- real files -----------------------------------------------------------------------------------

REAL_SIZES = {
    "cola": {"train": 8551, "validation": 1043, "test": 1063},
    "sst2": {"train": 67349, "validation": 872, "test": 1821},
    "mrpc": {"train": 3668, "validation": 408, "test": 1725},
    "stsb": {"train": 5749, "validation": 1500, "test": 1379},
    "rte": {"train+validation": 2490, "test": 3000},
    "conll2000": {"train+validation": 8936, "test": 2012},
    "conll2002-es": {"train": 8323, "validation": 1915},
    "wnut17": {"train": 3394, "validation": 1009, "test": 1287},
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL_SIZES)
def test_real_tasks_have_their_published_sizes(data_directory, name):
    counters = load(TASKS[name], str(data_directory / "tasks")).counters
    sizes = dict(counters["examples"])
    if "train+validation" in REAL_SIZES[name]:
        sizes["train+validation"] = sizes.pop("train") + sizes.pop("validation")
    assert sizes == REAL_SIZES[name]
    assert counters["dropped"] == {}
    assert counters["fewer_rows_than_published"] == {}


@pytest.mark.data
@pytest.mark.parametrize(("name", "size"), [("arc_easy", 2376), ("piqa", 1838)])
def test_real_choices_are_all_read(data_directory, name, size):
    train = data_directory / f"tasks/multiple-choice/{name}.jsonl"
    task = user_task(train, type="multiple-choice", text_column="query", label_column="gold")
    assert sum(load(task, None).counters["examples"].values()) == size


@pytest.mark.data
def test_real_diagnostics_are_predicted_by_the_model_of_mnli(data_directory, tmp_path):
    row = "index\tsentence1\tsentence2\tgold_label\n0\ta\tb\tneutral\n1\tc\td\tentailment\n"
    for name in ("train", "dev_matched", "dev_mismatched"):
        write(tmp_path / f"MNLI/{name}.tsv", row)
    (tmp_path / "diagnostic").symlink_to(data_directory / "tasks/glue/diagnostic")
    assert len(load(TASKS["mnli"], str(tmp_path)).unlabelled["ax"]) == 1104


@pytest.mark.data
@pytest.mark.parametrize(("version", "size"), [("1.1", 9236), ("2.0", 9706)])
def test_real_questions_are_all_read(data_directory, version, size):
    train = data_directory / f"tasks/squad/v{version}-split-train.json"
    data = load(user_task(train, type="question-answering"), None)
    assert sum(data.counters["examples"].values()) == size
    assert data.kind.has_unanswerable == (version == "2.0")
