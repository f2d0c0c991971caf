"""Scores equal those of the official scripts, whose rules are repeated here."""

import collections
import re
import string
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as seqeval_f1_score
from seqeval.metrics import precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from electra_pipeline.tasks.kinds.chunks import chunks
from tests.tasks.kinds.scores import (
    classification_scores,
    question_scores,
    regression_scores,
    tagging_scores,
)

QUICK = settings(deadline=None, max_examples=50)
LABELS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


@QUICK
@given(LABELS)
def test_matthews_and_f1_are_those_of_glues_script(pairs):
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    scores = classification_scores(expected, predicted, ("matthews", "f1", "accuracy"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not defined; it is 0 then
        assert scores["matthews"] == matthews_corrcoef(expected, predicted)
        assert scores["f1"] == f1_score(expected, predicted)
    assert scores["accuracy"] == float((np.array(expected) == np.array(predicted)).mean())


CLASSES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40)


@QUICK
@given(CLASSES)
def test_scores_of_many_classes_are_those_of_scikit_learn(pairs):
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    scores = classification_scores(expected, predicted, ("matthews", "macro_f1", "accuracy"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of undefined values, which are 0
        oracle = matthews_corrcoef(expected, predicted)
        assert scores["matthews"] == pytest.approx(oracle, abs=1e-12)
        oracle = f1_score(expected, predicted, average="macro")
        assert scores["macro_f1"] == pytest.approx(oracle, abs=1e-12)
    assert scores["accuracy"] == accuracy_score(expected, predicted)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_constant_prediction_has_no_correlation(constant):
    expected = [0, 1, 1, 0]
    assert classification_scores(expected, [constant] * 4, ("matthews",)) == {"matthews": 0.0}
    scores = regression_scores([1.0, 2.0, 3.0], [0.5] * 3, ("pearson", "spearman"))
    assert scores == {"pearson": 0.0, "spearman": 0.0}  # where scipy has nan


VALUES = st.floats(0, 5, allow_nan=False).map(lambda value: round(value, 3))


@QUICK
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=30))
def test_correlations_are_those_of_scipy(pairs):
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    if len(set(expected)) < 2 or len(set(predicted)) < 2:
        return
    scores = regression_scores(expected, predicted, ("pearson", "spearman"))
    assert scores["pearson"] == pytest.approx(pearsonr(expected, predicted)[0], abs=1e-12)
    assert scores["spearman"] == pytest.approx(spearmanr(expected, predicted)[0], abs=1e-12)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("value", [0.1, -2.7, 1e6 / 3])
def test_two_constants_have_no_correlation(size, value):
    constants = [value] * size, [3 * value] * size
    scores = regression_scores(*constants, ("pearson", "spearman"))
    assert scores == {"pearson": 0.0, "spearman": 0.0}


# --- conlleval (Tjong Kim Sang 2000), the rules of startOfChunk and endOfChunk --------------------


def _split(tag):
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def _ends(previous, kind, tag, next_kind):
    return (
        (previous, tag) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I")}
        or (previous, tag) in {("E", "O"), ("E", "B"), ("S", "B"), ("S", "I"), ("S", "O")}
        or (previous, tag) in {("S", "E"), ("S", "S"), ("B", "S"), ("I", "S"), ("E", "S")}
        or (previous != "O" and kind != next_kind)
    )


def _starts(previous, kind, tag, next_kind):
    return (
        tag in ("B", "S")
        or (previous, tag) in {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I")}
        or (previous == "O" and tag in ("I", "E"))
        or (tag != "O" and kind != next_kind)
    )


def conlleval(expected, predicted):
    """Precision, recall and F1 in percent, as the script prints them, over one long sequence."""

    def chunks(sentences):
        found, start = set(), None
        previous, kind = "O", ""
        sequence = [tag for sentence in sentences for tag in [*sentence, "O"]]
        for position, tag in enumerate(sequence):
            prefix, name = _split(tag)
            if start is not None and _ends(previous, kind, prefix, name):
                found.add((start, position, kind))
                start = None
            if _starts(previous, kind, prefix, name):
                start = position
            previous, kind = prefix, name
        return found

    gold, guess = chunks(expected), chunks(predicted)
    right = len(gold & guess)
    precision = 100 * right / len(guess) if guess else 0.0
    recall = 100 * right / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return [f"{value:.2f}" for value in (precision, recall, f1)]


TAG = st.sampled_from(["O", *(f"{p}-{k}" for p in "BIES" for k in ("A", "B"))])
SENTENCE = st.integers(1, 8).flatmap(
    lambda size: st.tuples(*[st.lists(TAG, min_size=size, max_size=size)] * 2)
)


@settings(deadline=None, max_examples=100)
@given(st.lists(SENTENCE, min_size=1, max_size=5))
def test_entities_are_counted_as_conlleval_prints_them(pairs):
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    names = ("precision", "recall", "f1")
    scores = tagging_scores(expected, predicted, names)
    assert [f"{100 * scores[name]:.2f}" for name in names] == conlleval(expected, predicted)


@settings(deadline=None, max_examples=100)
@given(st.lists(SENTENCE, min_size=1, max_size=5))
def test_chunks_and_their_scores_are_those_of_seqeval(pairs):
    expected, predicted = [e for e, _ in pairs], [p for _, p in pairs]
    for tags in expected:
        assert chunks(tags) == get_entities(tags)
    scores = tagging_scores(expected, predicted, ("precision", "recall", "f1"))
    oracles = (precision_score, recall_score, seqeval_f1_score)
    values = [oracle(expected, predicted, zero_division=0) for oracle in oracles]
    assert list(scores.values()) == pytest.approx(values, abs=1e-12)


# --- SQuAD's evaluate-v2.0.py ---------------------------------------------------------------------


def _normalized(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split())


def _f1(gold, guess):
    gold_tokens, guess_tokens = _normalized(gold).split(), _normalized(guess).split()
    same = sum((collections.Counter(gold_tokens) & collections.Counter(guess_tokens)).values())
    if not gold_tokens or not guess_tokens:
        return int(gold_tokens == guess_tokens)
    if same == 0:
        return 0
    precision, recall = same / len(guess_tokens), same / len(gold_tokens)
    return 2 * precision * recall / (precision + recall)


def _raw(answers, guess):
    accepted = [answer for answer in answers if _normalized(answer)] or [""]
    exact = max(int(_normalized(answer) == _normalized(guess)) for answer in accepted)
    return {"exact_match": exact, "f1": max(_f1(answer, guess) for answer in accepted)}


def _with_threshold(questions, metric, limit):
    total = 0.0
    for answers, guess, margin in questions:
        has_answer = any(_normalized(answer) for answer in answers)
        total += float(not has_answer) if margin > limit else _raw(answers, guess)[metric]
    return total / len(questions)


def _best(questions, metric):
    """find_best_thresh: answers are added in the order of their odds, from none at all."""
    current = best = sum(not any(map(_normalized, answers)) for answers, _, _ in questions)
    for answers, guess, _ in sorted(questions, key=lambda question: question[2]):
        if any(map(_normalized, answers)):
            current += _raw(answers, guess)[metric]
        else:
            current += -1 if guess else 0
        best = max(best, current)
    return best / len(questions)


WORDS = st.lists(st.sampled_from(["the", "cat", "Cat!", "mat", "a", "--"]), max_size=4).map(
    " ".join
)
GUESS = st.lists(st.sampled_from(["cat", "mat", "dog"]), min_size=1, max_size=3).map(" ".join)
QUESTIONS = st.lists(
    st.tuples(st.lists(WORDS, max_size=3), GUESS), min_size=1, max_size=12
).flatmap(
    lambda pairs: st.permutations(range(-3, len(pairs) - 3)).map(
        lambda margins: [(*pair, float(m)) for pair, m in zip(pairs, margins, strict=True)]
    )
)


@settings(deadline=None, max_examples=100)
@given(QUESTIONS)
def test_answers_are_scored_as_the_official_script_does(questions):
    answers, guesses, margins = map(list, zip(*questions, strict=True))
    names = ("exact_match", "f1", "best_exact_match", "best_f1")
    scores = question_scores(answers, guesses, margins, names)
    for metric in ("exact_match", "f1"):
        assert scores[metric] == pytest.approx(_with_threshold(questions, metric, 0.0), abs=1e-12)
        assert scores[f"best_{metric}"] == pytest.approx(_best(questions, metric), abs=1e-12)
