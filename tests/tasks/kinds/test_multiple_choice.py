"""Multiple choice: records of every form, model inputs, the loss and its padding."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.user_task import TASKS, UserTask
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.kinds.batches import collate
from electra_pipeline.tasks.kinds.kind import Feature
from electra_pipeline.tasks.kinds.multiple_choice import ChoiceExample, MultipleChoice

QUICK = settings(deadline=None, max_examples=30)


def user_task(train, **values):
    values = {"name": "own", "type": "multiple-choice", "validation": str(train), **values}
    return UserTask(train=str(train), **values).as_task()


def jsonl(path, records):
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    return path


def loaded(task):
    return [(e.text, e.choices, e.gold) for e in load(task, None).train]


def test_all_layouts_of_choices_give_equal_examples(tmp_path):
    expected = [("q?", ("a", "b", "c"), 1), ("r?", ("d", "e"), 0)]
    prompts = jsonl(
        tmp_path / "prompts.jsonl",
        [{"query": q, "choices": c, "gold": g} for q, c, g in expected],
    )
    columns = {"text_column": "query", "label_column": "gold"}
    assert loaded(user_task(prompts, **columns)) == expected
    named = [
        {"question": "q?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}}
        | {"answerKey": "2"},
        {"question": "r?", "choices": {"text": ["d", "e"], "label": ["A", "B"]}}
        | {"answerKey": "A"},
    ]
    pq.write_table(pa.Table.from_pylist(named), tmp_path / "arc.parquet")
    columns = {"text_column": "question", "label_column": "answerKey"}
    for path in (tmp_path / "arc.parquet", jsonl(tmp_path / "arc.jsonl", named)):
        assert loaded(user_task(path, **columns)) == expected
    table = tmp_path / "piqa.csv"
    table.write_text('goal,sol1,sol2,label\nr?,d,e,0\n"a, b?",c,d,B\n')
    task = user_task(table, text_column="goal", choice_columns=("sol1", "sol2"))
    assert loaded(task) == [("r?", ("d", "e"), 0), ("a, b?", ("c", "d"), 1)]


def test_swag_in_its_published_layout_begins_each_ending_and_predicts_its_test_file(tmp_path):
    header = (
        ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3"
    )
    row = "0,v,1,x,She sits.,Then she,gold,stands.,sings.,eats.,runs."
    folder = tmp_path / "swag"
    folder.mkdir()
    for name in ("train", "val"):
        (folder / f"{name}.csv").write_text(f"{header},label\n{row},2\n{row},0\n")
    (folder / "test.csv").write_text(f"{header}\n{row}\n")
    data = load(TASKS["swag"], str(tmp_path))
    assert data.train[0].text == "She sits."
    assert data.train[0].choices[2] == "Then she eats." and data.train[0].gold == 2
    assert [e.gold for e in data.unlabelled["test"]] == [None]


BAD = {
    "expected one of the choices 0, 1": {"text": "q", "choices": ["a", "b"], "label": 2},
    "1 choices; at least two": {"text": "q", "choices": ["a"], "label": 0},
    "expected a list of texts": {"text": "q", "choices": "a", "label": 0},
    "no column 'label'": {"text": "q", "choices": ["a", "b"]},
}


@pytest.mark.parametrize("reason", BAD)
def test_invalid_records_are_refused_with_their_position(tmp_path, reason):
    good = {"text": "q", "choices": ["a", "b"], "label": 0}
    path = jsonl(tmp_path / "t.jsonl", [good, BAD[reason]])
    with pytest.raises(ValueError, match=rf"t\.jsonl: record 2.*{reason}"):
        load(user_task(path), None)


def test_a_column_with_two_meanings_is_refused():
    with pytest.raises(ValueError, match="'a' is named twice"):
        UserTask(name="x", type="classification", train="t.csv", text_column="a", label_column="a")
    with pytest.raises(ValueError, match="choice_columns are not for classification"):
        UserTask(name="x", type="classification", train="t.csv", choice_columns=("a",))


# --- model inputs ---------------------------------------------------------------------------------

TEXT = st.lists(st.sampled_from(["red", "dog", "zz", "house"]), min_size=1, max_size=30).map(
    " ".join
)
EXAMPLES = st.lists(
    st.tuples(TEXT, st.lists(TEXT, min_size=2, max_size=5)).map(
        lambda pair: ChoiceExample("0", pair[0], tuple(pair[1]), 0)
    ),
    min_size=1,
    max_size=4,
)


@QUICK
@given(EXAMPLES)
def test_each_choice_is_encoded_as_the_tokenizer_encodes_a_pair(tokenizer, examples):
    encoded = MultipleChoice().encode(tokenizer, examples, 16, training=True)
    inputs, targets = collate(encoded.features, pad_id=0)
    shape = inputs["input_ids"].shape
    assert shape[:2] == (len(examples), max(len(e.choices) for e in examples)) and shape[2] <= 16
    assert targets.tolist() == [[0, len(e.choices)] for e in examples]
    num_cut = 0
    for row, example in enumerate(examples):
        pairs = [tokenizer(example.text, choice) for choice in example.choices]
        fits = max(len(pair["input_ids"]) for pair in pairs) <= 16
        num_cut += not fits
        for column, pair in enumerate(pairs):
            size = int(inputs["attention_mask"][row, column].sum())
            ids = inputs["input_ids"][row, column, :size].tolist()
            assert ids[0] == 2 and ids.count(3) == 2 and ids[-1] == 3  # [CLS], two [SEP]
            if fits:
                assert ids == pair["input_ids"]
                types = inputs["token_type_ids"][row, column, :size].tolist()
                assert types == pair["token_type_ids"]
    assert len(encoded.truncated) == num_cut


def test_long_text_is_cut_equally_for_all_choices(tokenizer):
    example = ChoiceExample("0", "red " * 30, ("dog", "dog cat bird"), 0)
    encoded = MultipleChoice().encode(tokenizer, [example], 16, training=True)
    (feature,) = encoded.features
    columns = [tokenizer.convert_ids_to_tokens(c[c >= 0].tolist()) for c in feature.input_ids.T]
    assert [tokens.count("red") for tokens in columns] == [10, 10]
    assert encoded.truncated == {0: 3 * (30 - 10)}  # characters
    assert columns[1][-4:] == ["dog", "cat", "bird", "[SEP]"]


def test_a_model_without_token_types_is_given_none() -> None:
    target = np.array([0, 2])
    features = [Feature(np.full((size, 2), 5, np.int32), size, target, 0) for size in (3, 5)]
    inputs, _ = collate(features, pad_id=0)
    assert inputs.keys() == {"input_ids", "attention_mask"}


def test_choices_of_other_examples_in_the_batch_change_nothing(tokenizer):
    from transformers import AutoModelForMultipleChoice, ElectraConfig

    torch.manual_seed(0)
    model = AutoModelForMultipleChoice.from_config(
        ElectraConfig(
            vocab_size=len(tokenizer),
            embedding_size=16,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        )
    ).eval()
    kind = MultipleChoice()
    examples = [
        ChoiceExample("0", "red", ("dog", "cat"), 1),
        ChoiceExample("1", "blue house", ("a", "b c d", "dog", "tree"), 3),
    ]
    features = kind.encode(tokenizer, examples, 32, training=True).features
    total = torch.zeros(())
    alone = []
    for feature in features:
        inputs, _ = collate([feature], pad_id=0)
        logits = model(**inputs).logits
        total += F.cross_entropy(logits, torch.tensor(feature.target[:1]), reduction="sum")
        alone.append(logits[0].detach())
    inputs, targets = collate(features, pad_id=0)
    logits = model(**inputs).logits
    loss, count = kind.loss(logits, targets)
    loss.backward()
    assert count == 2
    torch.testing.assert_close(loss.detach(), total.detach())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    found = kind.decode(examples, features, logits.detach().numpy())
    for choice, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(choice.probabilities, expected.softmax(0).numpy(), rtol=1e-4)
        assert choice.index == int(expected.argmax())


def test_the_majority_guess_is_the_position_that_is_right_most_often():
    train = [ChoiceExample("0", "q", ("a", "b", "c"), gold) for gold in (2, 2, 0)]
    scored = [ChoiceExample("0", "q", ("a", "b"), 1), ChoiceExample("1", "q", ("a",) * 4, 0)]
    kind = MultipleChoice()
    guesses = kind.majority(train, scored)
    assert [guess.index for guess in guesses] == [1, 2]
    assert kind.score(scored, guesses, ("accuracy",)) == {"accuracy": 0.5}
