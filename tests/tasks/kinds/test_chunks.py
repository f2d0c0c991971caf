"""Notations of chunk tags: understood alike, or refused before training."""

import pytest

from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.kinds.chunks import are_chunks, conll_tag, odd_tags
from tests.tasks.kinds.scores import tagging_scores

CHUNKS = {  # the same sentence in each notation
    "IOB2": ["B-PER", "I-PER", "O", "B-ORG"],
    "IOB1": ["I-PER", "I-PER", "O", "I-ORG"],
    "BIOES": ["B-PER", "E-PER", "O", "S-ORG"],
    "BILOU": ["B-PER", "L-PER", "O", "U-ORG"],
    "underscores": ["B_PER", "I_PER", "O", "B_ORG"],
    "suffixes": ["PER-B", "PER-I", "O", "ORG-B"],
    "suffixes with underscores": ["PER_B", "PER_I", "O", "ORG_B"],
    "lower case": ["b-per", "i-per", "o", "b-org"],
    "lower case with underscores": ["b_per", "i_per", "_", "b_org"],
    "colons": ["B:PER", "I:PER", "O", "B:ORG"],
    "hyphen outside": ["B-PER", "I-PER", "-", "B-ORG"],
    "types with hyphens": ["B-PER-x", "I-PER-x", "_", "B-ORG-I"],
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_score_alike_in_every_notation(name):
    first, second, outside, _ = tags = CHUNKS[name]
    assert are_chunks(tags) and not odd_tags(tags)
    expected, guess = [tags], [[first, second, outside, outside]]
    scores = tagging_scores(expected, guess, ("f1", "precision", "recall", "accuracy"))
    assert scores == {"f1": pytest.approx(2 / 3), "precision": 1.0, "recall": 0.5, "accuracy": 0.75}


def test_chunks_of_one_type_need_no_type():
    tags = ["B", "I", "O", "B"]
    assert are_chunks(tags)
    assert tagging_scores([tags], [["B", "I", "O", "O"]], ["f1"])["f1"] == pytest.approx(2 / 3)
    assert are_chunks(["B-", "I-", "O"]) and are_chunks(["B", "O"]) and are_chunks(["B_X", "O"])
    assert not are_chunks(["B_X", "S_X"])
    words = ["B", "M", "E", "S"]  # of Chinese word segmentation
    assert are_chunks(words) and tagging_scores([words], [words], ["f1"])["f1"] == 1.0


WORDS = {
    "universal": ["NOUN", "PROPN", "ADJ", "_"],
    "Penn": ["NN", "NNP", "#", "-LRB-", "PRP$", "O"],
    "ISST": ["S", "V", "E", "B", "I", "A", "R"],
    "PADT": ["N---------", "I---------", "S---------", "VP-A-3MS--"],
    "types alone": ["PER", "ORG", "O"],
    "Brown": ["BE-HL", "IN-TL", "NP-S"],
    "with places": ["NN_S", "NN_P", "VB", "JJ"],
}


@pytest.mark.parametrize("name", WORDS)
def test_tags_of_words_are_no_chunks(name):
    assert not are_chunks(WORDS[name]) and not odd_tags(WORDS[name])


MIXED = {
    "two separators": (["B-X", "B_X", "O"], ["B_X"]),
    "a zero for outside": (["B-X", "I-X", "0"], ["0"]),
    "two outsides": (["B-X", "O", "_"], ["_"]),
    "a type alone": (["B_X", "I_X", "X", "O"], ["X"]),
    "brackets": (["(PER*", "*)", "*", "(ORG*)"], ["(PER*", "*)", "(ORG*)"]),
    "two cases": (["B-X", "i-X", "O"], ["i-X"]),
}


@pytest.mark.parametrize("name", MIXED)
def test_tags_unlike_the_others_are_named(name):
    tags, odd = MIXED[name]
    assert not are_chunks(tags) and odd_tags(tags) == odd


def test_unreadable_tags_are_unchanged():
    assert conll_tag("NOUN") == "NOUN" and conll_tag("O") == "O"


# --- which metrics a task has ---------------------------------------------------------------------


def load_tags(tmp_path, tags, validation=None, **values):
    def write(name, tags):
        lines = [f"w{i} {tag}\n" + "\n" * (i % 2) for i, tag in enumerate(tags * 10)]
        (tmp_path / name).write_text("".join(lines))
        return str(tmp_path / name)

    paths = {"train": write("t.txt", tags), "validation": write("v.txt", validation or tags)}
    return load(UserTask(name="own", type="tagging", **paths, **values).as_task(), None)


def test_tags_of_words_have_accuracy_and_chunks_have_f1(tmp_path):
    assert load_tags(tmp_path, ["NOUN", "VERB"]).metrics == ("accuracy",)
    assert load_tags(tmp_path, ["B_X", "I_X", "O"]).metrics[0] == "f1"
    given = ("recall", "accuracy")
    assert load_tags(tmp_path, ["B-X", "O"], metrics=given).metrics == given


def test_a_metric_that_the_tags_do_not_have_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"the metrics f1 need chunk tags.*'NOUN', 'VERB'.*set"):
        load_tags(tmp_path, ["NOUN", "VERB"], metrics=["accuracy", "f1"])
    with pytest.raises(ValueError, match=r"the tags 'B_X' are neither O nor B-.*set metrics to"):
        load_tags(tmp_path, ["B-X", "B_X", "O"])
    data = load_tags(tmp_path, ["B-X", "B_X", "O"], metrics=["accuracy"])
    assert data.metrics == ("accuracy",)


def test_a_tag_to_score_must_be_a_chunk_as_those_of_train_are(tmp_path):
    assert load_tags(tmp_path, ["B-X", "O"], ["B-NEW", "O"]).counters["unreachable"]
    for odd in ("NEW", "B_X", "_"):
        with pytest.raises(ValueError, match=rf"v\.txt: sentence 0: invalid tag '{odd}': expected"):
            load_tags(tmp_path, ["B-X", "O"], [odd, "O"])
    load_tags(tmp_path, ["B-X", "O"], ["NEW", "O"], metrics=["accuracy"])
