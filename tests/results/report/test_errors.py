"""The page of errors: what the predictions of all seeds say, counted, ranked, cut and escaped."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from electra_pipeline.results.predictions import writer
from electra_pipeline.results.report import errors
from electra_pipeline.results.report.errors import MAX_CHARACTERS, MAX_EXAMPLES
from electra_pipeline.results.statistics import agreement
from electra_pipeline.results.statistics.agreement import OTHERS
from electra_pipeline.results.statistics.predictions_by_seed import (
    Predictions,
    grouped,
    side_by_side,
)
from electra_pipeline.storage.artifact import Written, produce


def example(expected, prediction, score, number=0, text="a text", detail=None, split="validation"):
    return {
        "split": split,
        "id": f"{split}-{number}",
        "input": text,
        "expected": expected,
        "prediction": prediction,
        "score": score,
        "detail": detail,
    }


def trial(root, rows, *, task="topics", type="classification", seed=0, labels=None, data="d"):
    """A finished trial as far as its predictions are concerned."""

    def write(draft):
        with writer(draft) as write_rows:
            write_rows(rows)
        return Written({"examples": {"validation": len(rows)}}, {})

    return produce(
        root=str(root),
        stage="finetune",
        name=f"{task}-{seed}",
        format_version=2,
        config={"task": task, "type": type, "seed": seed, "labels": labels},
        inputs={"model": "m", "train": "t", "validation": data},
        write=write,
    )


def classes(said, expected, **more):
    return [
        example(e, s, float(e == s), number, **more)
        for number, (e, s) in enumerate(zip(expected, said, strict=True))
    ]


def predictions(said, expected, type="classification", scores=None, details=None, inputs=None):
    return Predictions(
        task="task",
        type=type,
        split="validation",
        labels=None,
        seeds=tuple(range(len(said))),
        ids=[str(number) for number in range(len(expected))],
        inputs=inputs or ["a text"] * len(expected),
        expected=list(expected),
        predicted=[list(of_seed) for of_seed in said],
        details=details or [[None] * len(expected) for _ in said],
        scores=np.array(
            [[float(s == e) for s, e in zip(x, expected, strict=True)] for x in said]
            if scores is None
            else scores,
            dtype=np.float64,
        ),
    )


# --- reading --------------------------------------------------------------------------------------


def read(trials):
    return [predictions for group in grouped(trials) for predictions in side_by_side(group)]


def test_seeds_lie_side_by_side_and_unlabelled_examples_are_left_out(tmp_path):
    unlabelled = example(None, "x", None, split="test")
    trials = [
        trial(tmp_path, [*classes(said, "ab"), unlabelled], seed=seed)
        for seed, said in ((1, "ab"), (0, "bb"))
    ]
    (found,) = read(trials)
    assert (found.split, found.seeds, found.ids) == (
        "validation",
        (0, 1),
        ["validation-0", "validation-1"],
    )
    assert found.predicted == [["b", "b"], ["a", "b"]]
    assert found.scores.tolist() == [[0, 1], [1, 1]]


def test_seeds_that_were_scored_on_other_data_are_not_compared(tmp_path):
    trials = [trial(tmp_path, classes("ab", "ab"), seed=seed, data=f"d{seed}") for seed in (0, 1)]
    assert [found.seeds for found in read(trials)] == [(0,), (1,)]
    odd = [trial(tmp_path, classes("ab"[:n], "ab"[:n]), seed=n, task="odd") for n in (1, 2)]
    with pytest.raises(ValueError, match=r"other examples of validation than .*fine-tune again"):
        read(odd)


def test_a_task_that_cannot_be_examined_does_not_take_the_others_along(tmp_path, caplog):
    odd = [trial(tmp_path, classes("ab"[:n], "ab"[:n]), seed=n, task="odd") for n in (1, 2)]
    good = trial(tmp_path, classes("ab", "ab"))
    assert [found.predictions.task for found in errors.find([*odd, good])] == ["topics"]
    assert "no error analysis of odd: " in caplog.text


def test_trials_without_predictions_have_no_page(tmp_path):
    bare = produce(
        root=str(tmp_path),
        stage="finetune",
        name="bare",
        format_version=1,
        config={"task": "t", "type": "classification", "seed": 0},
        inputs={"model": "m"},
        write=lambda draft: Written({"examples": {}}, {}),
    )
    assert errors.find([bare]) == []


# --- counting -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.sampled_from("abc")] * 3), min_size=1, max_size=30))
def test_the_matrix_is_that_of_scikit_learn_summed_over_seeds(triples):
    expected, *said = zip(*triples, strict=True)
    found = agreement.confuse(predictions(said, expected))
    oracle = sum(confusion_matrix(expected, of_seed, labels=found.labels) for of_seed in said)
    assert found.counts.tolist() == oracle.tolist()
    for counts, shares in zip(found.counts, found.fractions, strict=True):
        assert shares.sum() == pytest.approx(1 if counts.sum() else 0)


def test_tags_are_confused_word_by_word():
    found = agreement.confuse(
        predictions([[["O", "B"], ["O"]]], [["O", "O"], ["B"]], "tagging", scores=[[0.5, 0]])
    )
    assert found.labels == ("B", "O")
    assert found.counts.tolist() == [[0, 1], [1, 1]]


def test_classes_that_are_too_many_are_counted_together_and_none_is_lost():
    expected = [str(number) for number in range(40) for _ in range(40 - number)]
    found = agreement.confuse(predictions([expected[::-1]], expected))
    assert len(found.labels) == agreement.MAX_CLASSES and found.labels[-1] == OTHERS
    assert "0" in found.labels and "39" not in found.labels
    assert found.counts.sum() == len(expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_the_calibration_error_is_that_of_a_plain_loop(pairs):
    said = ["a"] * len(pairs)
    expected = ["a" if right else "b" for _, right in pairs]
    details = [[{"probabilities": {"a": p, "b": 1 - p}} for p, _ in pairs]]
    found = agreement.calibrate(predictions([said], expected, details=details))
    error = 0.0
    for number in range(agreement.NUM_BINS):
        inside = [
            (p, right)
            for p, right in pairs
            if min(int(p * agreement.NUM_BINS), agreement.NUM_BINS - 1) == number
        ]
        if inside:
            sure = sum(p for p, _ in inside) / len(inside)
            share = sum(right for _, right in inside) / len(inside)
            error += len(inside) / len(pairs) * abs(sure - share)
    assert found.error == pytest.approx(error)
    assert sum(found.counts) == len(pairs)


def test_without_probabilities_there_is_no_calibration():
    assert agreement.calibrate(predictions(["ab"], "ab")) is None


# --- ranking --------------------------------------------------------------------------------------


def test_the_worst_are_wrong_in_most_seeds_and_then_surest():
    details = [
        [{"probabilities": {"a": p, "b": 1 - p}} for p in (0.1, 0.4, 0.01, 0.9)] for _ in range(2)
    ]
    found = errors.examine(predictions(["bbba", "bbaa"], "aaaa", details=details))
    assert [shown.id for shown in found.worst] == ["0", "1", "2"]
    assert [shown.num_wrong for shown in found.worst] == [2, 2, 1]
    assert (found.right, found.wrong, found.num_candidates) == (1, 2, 3)
    assert found.worst[0].predicted == (("b", "seeds 0, 1: 90%, 90%"),)
    assert found.worst[2].predicted == (("b", "seed 0: 99%"), ("a", "seed 1: 1%"))


def test_of_tags_the_lowest_share_of_right_words_comes_first():
    expected = [["O", "B-X", "O"], ["O", "O"], ["B-X"]]
    said = [[["O", "O", "O"], ["B-X", "O"], ["B-X"]]]
    found = errors.examine(
        predictions(
            said,
            expected,
            "tagging",
            scores=[[2 / 3, 1 / 2, 1]],
            inputs=["in New_York now", "well then", "x"],
        )
    )
    assert [shown.id for shown in found.worst] == ["1", "0"]
    assert found.worst[1].predicted == (("New_York: O for B-X", "seed 0"),)
    assert found.worst[1].expected == "B-X"


def test_numbers_have_a_scatter_and_their_largest_misses():
    found = errors.examine(
        predictions(
            [[1.0, 2.0], [1.5, 4.0]], [1.0, 5.0], "regression", scores=[[0, -3], [-0.5, -1]]
        )
    )
    assert [(shown.id, shown.score) for shown in found.worst] == [("1", -2.0), ("0", -0.25)]
    assert found.worst[0].predicted == (("2", "seed 0"), ("4", "seed 1"))
    assert found.right is None and found.confusion is None
    ((caption, svg),) = found.charts
    assert "Median of the seeds" in caption and svg.startswith("<svg")


def test_answers_show_what_was_expected_the_null_margin_and_where_seeds_disagree():
    said = [["in Rome", "", "x"], ["Rome", "1912", "y"]]
    details = [
        [{"null_margin": -2.5}, {"null_margin": 1.25}, {"null_margin": None}],
        [{"null_margin": -1.0}, {"null_margin": -0.5}, None],
    ]
    found = errors.examine(
        predictions(
            said,
            [["Rome", "Rome"], [], ["x"]],
            "question-answering",
            scores=[[0.67, 1, 1], [1, 0, 0]],
            details=details,
        )
    )
    by_id = {shown.id: shown for shown in found.worst}
    assert [shown.id for shown in found.worst] == ["1", "2", "0"]
    assert by_id["0"].expected == "Rome"
    assert by_id["0"].predicted == (("in Rome", "seed 0: -2.5"), ("Rome", "seed 1: -1.0"))
    assert by_id["1"].expected == "(no answer)"
    assert by_id["1"].predicted == (("(no answer)", "seed 0: +1.2"), ("1912", "seed 1: -0.5"))
    assert found.num_disagreements == 3
    alone = predictions([["x"]], [["x"]], "question-answering", scores=[[1]])
    assert errors.examine(alone).num_disagreements == 0


# --- the page -------------------------------------------------------------------------------------


def test_a_long_text_is_cut_where_the_answer_can_still_be_seen():
    text = "begin " + "word " * 500 + "the answer is here " + "word " * 500
    cut = errors.excerpt(text, ["answer is"])
    assert len(cut) <= MAX_CHARACTERS + 10
    assert cut.startswith("begin") and "answer is" in cut and cut.endswith("…")
    assert errors.excerpt(text) == text[:MAX_CHARACTERS] + " …"
    assert errors.excerpt("short", ["answer"]) == "short"


def test_the_page_is_bounded_escaped_and_stands_alone(tmp_path):
    number = 3 * MAX_EXAMPLES
    text = "<script>alert(1)</script>" + "x" * 10_000
    detail = {"probabilities": {"<b>": 0.75, "a": 0.25}}
    trials = [
        trial(
            tmp_path,
            classes(["<b>"] * number, ["a"] * number, text=text, detail=detail),
            seed=seed,
            task=task,
        )
        for seed in (0, 1)
        for task in ("one", "two")
    ]
    page = errors.render(errors.find(trials), run_name="r<un>", report="r.html")
    assert page.count("&lt;script&gt;") == 2 * MAX_EXAMPLES
    assert "<script" not in page and "<b>" not in page and "r&lt;un&gt;" in page
    assert len(page) < 2 * MAX_EXAMPLES * 3 * MAX_CHARACTERS + 100_000
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert f"{MAX_EXAMPLES} of {number}" in page
    assert page.count("<svg") == 2


def test_the_page_has_the_counts_and_the_shares(tmp_path):
    trials = [trial(tmp_path, classes("aab", "abb"), labels=["b", "a"])]
    page = errors.render(errors.find(trials), run_name="run", report="report.html")
    assert "--fraction: 0.500" in page and "50%" in page
    assert page.index('scope="row">b<') < page.index('scope="row">a<')  # the task's order
    assert '<a href="report.html">' in page and "67%" in page


def test_a_model_without_errors_is_told_so(tmp_path):
    page = errors.render(
        errors.find([trial(tmp_path, classes("ab", "ab"))]), run_name="run", report="r.html"
    )
    assert "All seeds predict all examples correctly." in page
