"""Metrics on examples with known scores; tests against other libraries are in official_scorers."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.published import CHUNK_METRICS
from electra_pipeline.tasks.kinds.answer_texts import (
    answer_character_f1,
    answer_exact,
    answer_f1,
    normalize_answer,
)
from electra_pipeline.tasks.kinds.metrics import METRICS, best_threshold
from tests.tasks.kinds.scores import (
    classification_scores,
    question_scores,
    tagging_scores,
)

QUICK = settings(deadline=None, max_examples=50)


def test_published_tasks_of_chunks_have_all_metrics_of_tagging():
    assert tuple(METRICS["tagging"]) == CHUNK_METRICS


def test_macro_f1_is_the_mean_over_classes():
    scores = classification_scores([0, 0, 1, 2], [0, 1, 1, 1], ("macro_f1",))
    assert scores["macro_f1"] == pytest.approx(statistics.fmean([2 / 3, 0.5, 0.0]))


def test_bioes_and_iob_tags_give_the_same_chunks_as_bio():
    guess = [["B-A", "I-A", "O", "B-B"]]
    for gold in (
        ["B-A", "E-A", "O", "S-B"],
        ["I-A", "I-A", "O", "I-B"],
        ["B-A", "I-A", "O", "B-B"],
    ):
        assert tagging_scores([gold], guess, ("f1",)) == {"f1": 1.0}
    assert tagging_scores([["B-A", "B-A", "O", "S-B"]], guess, ("f1",))["f1"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("expected", "predicted", "exact", "f1"),
    [
        ("The Cat!", "cat", 1.0, 1.0),
        ("a an the", "", 1.0, 1.0),
        ("blue cat", "cat", 0.0, 2 / 3),
        ("cat cat dog", "cat", 0.0, 0.5),
        ("Cat-dog", "catdog", 1.0, 1.0),
        ("dog", "", 0.0, 0.0),
    ],
)
def test_answers_compare_as_in_the_official_script(expected, predicted, exact, f1):
    assert answer_exact(expected, predicted) == exact
    assert answer_f1(expected, predicted) == pytest.approx(f1)


@QUICK
@given(st.text(max_size=40))
def test_case_spaces_and_english_articles_do_not_matter(text):
    assert answer_exact(text, f"  {text} ") == 1.0
    assert normalize_answer(f"the {text}") == normalize_answer(text)


def test_questions_take_the_best_accepted_answer_and_withdraw_by_margin():
    expected = [["red", "dark red"], [], ["x"]]
    scores = question_scores(
        expected, ["dark red", "wrong", "x"], [-1.0, 2.0, 1.0], ("exact_match",)
    )
    assert scores["exact_match"] == pytest.approx(2 / 3)  # the third was withdrawn wrongly
    best = question_scores(
        expected, ["dark red", "wrong", "x"], [-1.0, 2.0, 1.0], ("best_exact_match",)
    )
    assert best["best_exact_match"] == 1.0


UNIT = st.floats(0, 1)
QUESTIONS = st.lists(st.tuples(UNIT, UNIT, st.integers(-3, 3)), min_size=1, max_size=20)


@QUICK
@given(QUESTIONS)
def test_best_threshold_equals_trying_all(questions):
    kept, withdrawn, margins = np.array(questions, dtype=np.float64).T

    def mean(limit):
        return np.where(margins > limit, withdrawn, kept).mean()

    best = max(mean(limit) for limit in range(-5, 5))
    assert mean(best_threshold(questions)) == pytest.approx(best)


@pytest.mark.parametrize(
    ("expected", "predicted", "value"),
    [
        ("北京大学", "北京", 2 / 3),  # MLQA's: each character is a word
        ("《北京》", "北京。", 1.0),
        ("iPhone 手机", "iphone手机", 1.0),
        ("ตลาดนัด", "ตลาด", 8 / 11),
        ("東京タワー", "とうきょう", 0.0),
        ("the red cat", "red cat", 4 / 5),  # words, and no article is left out
        ("“Zürich”", "zürich", 1.0),
        ("", "", 1.0),
        ("", "猫", 0.0),
    ],
)
def test_characters_of_answers_without_spaces(expected, predicted, value):
    assert answer_character_f1(expected, predicted) == pytest.approx(value)
    names = ("character_f1", "best_character_f1")
    scores = question_scores([[expected]], [predicted], [-math.inf], names)
    assert scores["character_f1"] == pytest.approx(value)
    assert scores["best_character_f1"] >= scores["character_f1"]


@pytest.mark.parametrize(
    ("expected", "predicted", "value"),
    [
        ("서울특별시", "서울", 4 / 7),  # evaluate-v1.0.py of KorQuAD
        ("《태백산맥》", "태백 산맥", 1.0),
        ("1989년 2월", "1989", 8 / 11),
        ("\u2018Seoul\u2019 (서울)", "seoul서울", 1.0),
        ("", "", 1.0),
    ],
)
def test_korean_answers_are_scored_by_character(expected, predicted, value):
    names = ("korquad_f1",)
    scores = question_scores([[expected]], [predicted], [-math.inf], names)
    assert scores["korquad_f1"] == pytest.approx(value)


def test_official_f1_counts_words_in_every_script():
    assert answer_f1("北京大学", "北京") == 0.0
