"""Two models, seed by seed: statistics against scipy and plain loops, names, what is left out."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.results import predictions
from electra_pipeline.results.statistics.comparison import Side, compare, find_side
from electra_pipeline.results.statistics.significance import holm, sign_flip, student
from electra_pipeline.storage.artifact import Written, produce

FLOATS = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=7).map(np.array)


def row(**values):
    return {
        "run": "es",
        "model": "pretrained",
        "fingerprint": "aaaa",
        "task": "cola",
        "metric": "accuracy",
        "split": "validation",
        "seed": 0,
        "value": 0.5,
        "examples": 100,
        "trial": "none",
        **values,
    }


def scored(values, **others):
    return [row(seed=seed, value=value, **others) for seed, value in enumerate(values)]


PRETRAINED, RANDOM = Side("es", "pretrained", "aaaa"), Side("es", "random", "aaaa")


@settings(deadline=None, max_examples=40)
@given(FLOATS)
def test_over_seeds_alone_it_is_the_paired_t_test(differences):
    (lower, upper), p = student(differences)
    if np.ptp(differences) == 0:
        assert lower is None and upper is None and p is None
        return
    oracle = scipy.stats.ttest_rel(differences, np.zeros(len(differences)))
    interval = oracle.confidence_interval(0.95)
    assert p == pytest.approx(oracle.pvalue)
    assert (lower, upper) == pytest.approx((interval.low, interval.high))


def test_one_seed_has_the_spread_of_the_examples_and_without_it_none():
    (lower, upper), p = student(np.array([0.02]), 0.01**2)
    assert (lower, upper) == pytest.approx((0.02 - 0.0196, 0.02 + 0.0196), abs=1e-5)
    assert p == pytest.approx(2 * scipy.stats.norm.sf(2))
    assert student(np.array([0.02])) == ((None, None), None)


def test_the_interval_covers_with_few_seeds_where_percentiles_of_seeds_do_not():
    rng = np.random.default_rng(0)
    num_trials, num_seeds, truth = 2000, 3, 0.01
    of_examples, of_seeds = 0.01, 0.02
    covered = percentiles = 0
    draws = np.array(list(itertools.product(range(num_seeds), repeat=num_seeds)))
    for _ in range(num_trials):
        common = rng.normal(0, of_examples)
        differences = truth + common + rng.normal(0, of_seeds, num_seeds)
        (lower, upper), _ = student(differences, of_examples**2)
        covered += lower <= truth <= upper
        resampled = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
        percentiles += resampled[0] <= truth <= resampled[1]
    assert abs(covered / num_trials - 0.95) < 0.02
    assert percentiles / num_trials < 0.8


@settings(deadline=None, max_examples=25)
@given(FLOATS)
def test_signs_are_flipped_in_all_ways(differences):
    observed = abs(differences.mean())
    means = [
        abs((differences * signs).mean())
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([mean >= observed - 1e-9 for mean in means])
    assert sign_flip(differences) == pytest.approx(expected)


def test_five_seeds_on_one_side_have_the_smallest_p_value_that_five_can_have():
    differences = np.array([0.1, 0.2, 0.3, 0.4, 0.6])
    assert sign_flip(differences) == scipy.stats.wilcoxon(differences).pvalue == 2 ** (1 - 5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_corrects_as_closed_testing_with_bonferroni(values):
    """A hypothesis falls when Bonferroni rejects every set that it is in (Marcus et al. 1976)."""
    number = len(values)
    expected = [
        max(
            min(1.0, min(values[j] for j in group) * len(group))
            for size in range(1, number + 1)
            for group in itertools.combinations(range(number), size)
            if i in group
        )
        for i in range(number)
    ]
    assert holm(values) == pytest.approx(expected)
    assert holm([None, *values]) == [None, *holm(values)]


def test_a_line_has_medians_the_mean_difference_and_a_verdict():
    rows = [
        *scored([0.80, 0.81, 0.82, 0.80]),
        *scored([0.70, 0.72, 0.71, 0.60], model="random"),
        *scored([0.5, 0.6, 0.7], task="rte"),
        *scored([0.6, 0.6, 0.6], task="rte", model="random"),
        *scored([0.5], task="wnli"),
        *scored([0.4], task="wnli", model="random"),
        *scored([0.5, 0.5], task="mrpc"),
        *scored([0.5, 0.5], task="mrpc", model="random"),
    ]
    found = {line.task: line for line in compare(rows, PRETRAINED, RANDOM).lines}
    assert found["cola"].median_a == 0.805 and found["cola"].median_b == pytest.approx(0.705)
    assert found["cola"].difference == pytest.approx(0.125)
    assert {task: line.verdict for task, line in found.items()} == {
        "cola": "A is ahead",
        "rte": "not shown with 3 seeds",
        "wnli": "not shown with 1 seed",
        "mrpc": "alike",
    }
    assert (found["rte"].wins, found["rte"].ties, found["rte"].losses) == (1, 1, 1)
    assert found["cola"].p_holm == pytest.approx(2 * found["cola"].p)  # rte has the other p value
    assert found["cola"].p_sign_flip == found["cola"].p_sign_flip_smallest == 0.125
    swapped = {line.task: line for line in compare(rows, RANDOM, PRETRAINED).lines}
    assert swapped["cola"].verdict == "B is ahead"
    assert swapped["cola"].lower == pytest.approx(-found["cola"].upper)


def test_notes_on_the_seeds_that_are_compared_are_kept():
    rows = [
        *scored([0.8, 0.9, 0.7]),
        *scored([0.7, 0.8, 0.5], metric="f1", note="degenerate"),
        *scored([0.8, 0.5], metric="f1", model="random"),
        *scored([0.7, 0.5], model="random", note="best of 3"),
    ]
    found = compare(rows, PRETRAINED, RANDOM)
    assert found.notes == (
        "cola, B: best of 3 (seeds 0, 1)",
        "cola, A: degenerate (seeds 0, 1)",
    )


def test_what_is_not_of_both_is_named():
    rows = [
        *scored([0.8, 0.9, 0.7]),
        *scored([0.7, 0.8], model="random"),
        *scored([0.8], task="sst2"),
        *scored([0.8], task="rte", examples=10),
        *scored([0.8], task="rte", model="random", examples=11),
        row(task="qnli", seed=1),
        row(task="qnli", seed=2, model="random"),
        row(task="pretraining", split="held_out", metric="generator_loss"),
    ]
    found = compare(rows, PRETRAINED, RANDOM)
    (line,) = found.lines
    assert line.seeds == (0, 1)
    assert found.left_out == (
        "cola validation accuracy: seeds 2 are only on one side",
        "qnli validation accuracy: no seed in common",
        "rte validation accuracy: scored on different examples (10 and 11)",
        "sst2 validation accuracy: es:random (aaaa) has no such score",
    )


def test_nothing_in_common_is_an_error():
    rows = [*scored([0.8]), *scored([0.8], run="en", task="rte")]
    with pytest.raises(ValueError, match=r"no score in common .*has no such score"):
        compare(rows, PRETRAINED, Side("en", "pretrained", "aaaa"))
    with pytest.raises(ValueError, match="name two models"):
        compare(rows, PRETRAINED, PRETRAINED)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("es", ("es", "pretrained", "aaaa")),
        ("en:random", ("en", "random", "bbbb")),
        ("google-bert/bert-base-uncased", ("en", "google-bert/bert-base-uncased", "bbbb")),
        ("dddd", ("new", "pretrained", "dddd")),
        ("cccc:pretrained", ("new", "pretrained", "cccc")),
    ],
)
def test_a_side_is_a_run_a_model_or_both(name, found):
    assert find_side(NAMED, name) == Side(*found)


NAMED = [
    row(),
    row(model="random"),
    row(run="en", model="random", fingerprint="bbbb"),
    row(run="en", model="google-bert/bert-base-uncased", fingerprint="bbbb"),
    row(run="new", fingerprint="cccc"),
    row(run="new", fingerprint="dddd"),
    row(run="raw", task="pretraining"),
]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("random", "could be en:random or es:random; name one of them"),
        ("new", "could be cccc:pretrained or dddd:pretrained; name one of them"),
        (
            "none",
            "no such run or model; there are en:google.*, en:random, es:pretrained, es:random",
        ),
        ("en", "no such run or model"),
        ("raw", "no such run or model"),
    ],
)
def test_a_name_that_means_none_or_several_says_what_there_is(name, message):
    with pytest.raises(ValueError, match=message):
        find_side(NAMED, name)


def trial(root, name, right, digest="same"):
    """A finished trial whose predictions are right where `right` is true."""
    rows = [
        {
            "split": "validation",
            "id": str(number),
            "input": "text",
            "expected": "yes",
            "prediction": "yes" if is_right else "no",
            "score": float(is_right),
            "detail": None,
        }
        for number, is_right in enumerate(right)
    ]

    def write(draft):
        with predictions.writer(draft) as write_rows:
            write_rows(rows)
        return Written({}, {})

    return produce(
        root=str(root),
        stage="finetune",
        name=name,
        format_version=2,
        config={"type": "classification", "trial": name},
        inputs={"validation": digest},
        write=write,
    )


def two_models(root, num_examples=400, digest_b="same"):
    rng = np.random.default_rng(0)
    rows, trials, rights = [], {}, {}
    for model, share in (("pretrained", 0.8), ("random", 0.7)):
        for seed in (0, 1, 2):
            right = rng.random(num_examples) < share
            digest = digest_b if model == "random" else "same"
            artifact = trial(root, f"{model}-{seed}", right, digest)
            trials[artifact.fingerprint] = artifact
            rights[model, seed] = right
            rows.append(
                row(
                    model=model,
                    seed=seed,
                    value=float(right.mean()),
                    examples=num_examples,
                    trial=artifact.fingerprint,
                )
            )
    return rows, trials, rights


def test_predictions_add_the_spread_of_the_examples(tmp_path):
    rows, trials, rights = two_models(tmp_path)
    (alone,) = compare(rows, PRETRAINED, RANDOM).lines
    (line,) = compare(rows, PRETRAINED, RANDOM, trials).lines
    assert line.over_examples and not alone.over_examples
    assert line.difference == alone.difference
    each = np.mean(
        [rights["pretrained", seed] * 1.0 - rights["random", seed] for seed in (0, 1, 2)], axis=0
    )
    of_examples = each.var() / len(each)  # of a mean of so many: what the bootstrap estimates
    differences = np.array(
        [rights["pretrained", s].mean() - rights["random", s].mean() for s in (0, 1, 2)]
    )
    (lower, upper), p = student(differences, of_examples)
    assert (line.lower, line.upper) == pytest.approx((lower, upper), abs=0.1 * (upper - lower))
    assert math.log(line.p) == pytest.approx(math.log(p), rel=0.2)


def test_trials_that_were_scored_on_other_examples_are_not_compared(tmp_path):
    rows, trials, _ = two_models(tmp_path, 20, digest_b="other")
    with pytest.raises(
        ValueError, match=r"scored on different examples .equal in number, another digest"
    ):
        compare(rows, PRETRAINED, RANDOM, trials)


def test_the_majority_guess_has_no_predictions_of_its_own(tmp_path):
    rows, trials, _ = two_models(tmp_path, 20)
    guessed = [{**r, "model": "majority", "value": 0.5} for r in rows if r["model"] == "pretrained"]
    majority = Side("es", "majority", "aaaa")
    (line,) = compare([*rows, *guessed], PRETRAINED, majority, trials).lines
    assert not line.over_examples
