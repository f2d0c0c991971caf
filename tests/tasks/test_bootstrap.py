"""Weighted scores are those of resampled examples; intervals equal scipy's and cover the truth."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks import bootstrap
from electra_pipeline.tasks.kinds.metrics import METRICS, statistic
from electra_pipeline.tasks.kinds.question_answering import (
    AnswerPrediction,
    QuestionAnswering,
    QuestionExample,
)
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging, TagsPrediction
from electra_pipeline.tasks.kinds.text_classification import (
    Classification,
    ClassPrediction,
    Regression,
    TextExample,
)

TAGS = ("O", "B-A", "I-A", "B-B", "E-B", "S-A")
ANSWERS = ("", "the", "north", "north pole", "a pole")


def classified(labels):
    return st.lists(
        st.tuples(st.sampled_from(labels), st.sampled_from(labels)).map(
            lambda pair: (
                TextExample("i", "t", None, pair[0]),
                ClassPrediction(pair[1], tuple(1 / len(labels) for _ in labels)),
            )
        ),
        min_size=1,
        max_size=12,
    ).map(lambda cases: (Classification(labels), cases))


NUMBERS = st.integers(-3, 3).map(lambda number: number / 2) | st.floats(-5, 5).map(
    lambda number: round(number, 3)
)
SENTENCES = st.lists(
    st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=6
)
QUESTIONS = st.tuples(
    st.lists(st.sampled_from(ANSWERS[1:]), max_size=2),
    st.sampled_from(ANSWERS),
    st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.0, -float("inf")]),
    st.sampled_from(["one", "two"]),
)
CASES = {
    "binary": classified(("no", "yes")),
    "classification": classified(("a", "b", "c")),
    "regression": st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12).map(
        lambda pairs: (
            Regression(0.0, 1.0),
            [(TextExample("i", "t", None, str(a)), b) for a, b in pairs],
        )
    ),
    "tagging": st.lists(SENTENCES, min_size=1, max_size=8).map(
        lambda found: (
            Tagging(TAGS),
            [
                (
                    TaggedExample("i", ("w",) * len(s), tuple(a for a, _ in s)),
                    TagsPrediction(tuple(b for _, b in s)),
                )
                for s in found
            ],
        )
    ),
    "question-answering": st.lists(QUESTIONS, min_size=1, max_size=12).map(
        lambda found: (
            QuestionAnswering(True),
            [
                (
                    QuestionExample("i", "q?", context, tuple(answers), -1),
                    AnswerPrediction(text, margin),
                )
                for answers, text, margin, context in found
            ],
        )
    ),
}


def intervals(kind, metrics, rows):
    statistics = {metric: statistic(kind, metric, rows) for metric in metrics}
    return bootstrap.intervals(statistics, bootstrap.groups(kind, rows))


@pytest.mark.parametrize("kind", CASES)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_weighted_score_is_the_score_of_repeated_examples(kind, data):
    task_kind, cases = data.draw(CASES[kind])
    weights = data.draw(
        st.lists(st.integers(0, 3), min_size=len(cases), max_size=len(cases)).filter(any)
    )
    names = [
        name
        for name in METRICS[task_kind.name]
        if (task_kind.name, name) != ("classification", "f1") or len(task_kind.labels) == 2
    ]
    rows = [task_kind.row(*case) for case in cases]
    repeated = [case for case, number in zip(cases, weights, strict=True) for _ in range(number)]
    expected = task_kind.score(*zip(*repeated, strict=True), names)
    resamples = np.array([weights, weights], dtype=np.float64)
    for name in names:
        values = statistic(task_kind.name, name, rows)(resamples)
        assert values == pytest.approx([expected[name]] * 2, abs=1e-9), name


def correlated(num_examples, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num_examples)
    y = x + rng.normal(size=num_examples)
    return [{"expected": a, "prediction": b} for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_intervals_of_correlations_are_those_of_scipy(metric):
    rows = correlated(80)
    function = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}[metric]
    oracle = scipy.stats.bootstrap(
        ([row["expected"] for row in rows], [row["prediction"] for row in rows]),
        lambda x, y: function(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=1,
    ).confidence_interval
    (lower, upper) = intervals("regression", (metric,), rows)[metric]
    # Both draw 1,000 times, each with its own generator: bounds differ by what the draws do.
    assert (lower, upper) == pytest.approx(tuple(oracle), abs=0.15 * (upper - lower))
    assert (lower, upper) != tuple(oracle)


def test_intervals_of_accuracy_are_those_of_scipy():
    rows = [{"expected": "a", "prediction": "ab"[i % 5 == 0]} for i in range(200)]
    right = [float(row["expected"] == row["prediction"]) for row in rows]
    oracle = scipy.stats.bootstrap(
        (right,), np.mean, n_resamples=1000, method="percentile", rng=1
    ).confidence_interval
    found = intervals("classification", ("accuracy",), rows)["accuracy"]
    assert found == pytest.approx(list(oracle), abs=0.011)  # two examples of 200


def test_intervals_are_a_pure_function_of_the_predictions():
    rows = correlated(50)
    names = ("pearson", "spearman")
    assert intervals("regression", names, rows) == intervals(
        "regression", names[::-1], correlated(50)
    )


def test_intervals_cover_the_truth_at_their_level():
    rng = np.random.default_rng(0)
    truth, num_sets, covered = 0.7, 200, 0
    for _ in range(num_sets):
        right = rng.random(200) < truth
        rows = [{"expected": 1, "prediction": int(is_right)} for is_right in right]
        lower, upper = intervals("classification", ("accuracy",), rows)["accuracy"]
        covered += lower <= truth <= upper
    # 95 %, three standard errors of a fraction either way
    assert abs(covered / num_sets - 0.95) < 3 * (0.95 * 0.05 / num_sets) ** 0.5


def asked(num_contexts, num_questions):
    """All questions of a context are answered, or none of them."""
    return [
        {"input": f"question {i}\tcontext {c}", "expected": ["x"], "prediction": "xy"[c % 2]}
        for c in range(num_contexts)
        for i in range(num_questions)
    ]


def test_questions_of_one_context_are_drawn_together():
    one, ten = (
        intervals("question-answering", ("exact_match",), asked(40, number)) for number in (1, 10)
    )
    # ten questions that are drawn together add nothing to one
    assert ten["exact_match"] == pytest.approx(one["exact_match"])
    alone = intervals("classification", ("accuracy",), asked(40, 10))["accuracy"]
    width = ten["exact_match"][1] - ten["exact_match"][0]
    assert width > 2.5 * (alone[1] - alone[0])


def test_statistics_of_the_same_examples_have_the_same_draws(monkeypatch):
    rows = correlated(60)
    taken = statistic("regression", "pearson", rows)
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", 600)  # ten draws at a time
    both = bootstrap.resampled([taken, taken], num_resamples=37)
    assert both.shape == (2, 37) and np.array_equal(both[0], both[1])
    assert len(set(both[0])) == 37
