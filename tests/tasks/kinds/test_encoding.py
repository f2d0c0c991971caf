"""Examples to model inputs and back, for each kind of task."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.kinds.batches import collate, scoring_batches, training_batches
from electra_pipeline.tasks.kinds.kind import IGNORED, Feature
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering, QuestionExample
from electra_pipeline.tasks.kinds.spans import ANSWER_TOKENS, Span, best_spans, distinct_best
from electra_pipeline.tasks.kinds.tagging import TaggedExample, Tagging, TagsPrediction
from electra_pipeline.tasks.kinds.text_classification import Classification, Regression, TextExample

QUICK = settings(deadline=None, max_examples=50)


def tokens(tokenizer, feature):
    return tokenizer.convert_ids_to_tokens(feature.input_ids.tolist())


# --- texts ----------------------------------------------------------------------------------------


def test_a_pair_has_two_segments_and_training_sees_both_orders_if_it_is_symmetric(tokenizer):
    example = TextExample("0", "red dog", "blue", "y")
    kind = Classification(("x", "y"), symmetric=True)
    (feature,) = kind.encode(tokenizer, [example], 16, training=False).features
    assert tokens(tokenizer, feature) == ["[CLS]", "red", "dog", "[SEP]", "blue", "[SEP]"]
    assert feature.segment_b == 4 and feature.target == 1
    both = kind.encode(tokenizer, [example], 16, training=True).features
    assert tokens(tokenizer, both[1]) == ["[CLS]", "blue", "[SEP]", "red", "dog", "[SEP]"]


def test_long_texts_are_cut_and_counted(tokenizer):
    examples = [TextExample("0", "red " * 40, "blue", "x"), TextExample("1", "red", "blue", "x")]
    encoded = Classification(("x", "y")).encode(tokenizer, examples, 16, training=True)
    assert encoded.truncated == {0: 3 * (40 - 12)}  # characters: three of the 16 tokens are special
    assert [len(feature.input_ids) for feature in encoded.features] == [16, 5]
    assert "blue" in tokens(tokenizer, encoded.features[0])


def test_numbers_are_learned_in_units_of_their_deviation(tokenizer):
    examples = [TextExample(str(i), "red", None, str(v)) for i, v in enumerate((10.0, 20.0, 30.0))]
    kind = Regression.of(examples, symmetric=False)
    targets = [f.target for f in kind.encode(tokenizer, examples, 16, training=True).features]
    assert np.mean(targets) == pytest.approx(0) and np.std(targets) == pytest.approx(1)


# --- tags -----------------------------------------------------------------------------------------

WORDS = st.lists(
    st.sampled_from(["red", "dog", "zzzz", "a", "\u00ad", "x" * 30]), min_size=1, max_size=30
)


@QUICK
@given(st.lists(WORDS, min_size=1, max_size=3))
def test_every_word_has_one_target_and_one_prediction(tokenizer, sentences):
    labels = ("O", "B-X")
    examples = [
        TaggedExample(str(i), tuple(words), tuple(labels[len(word) % 2] for word in words))
        for i, words in enumerate(sentences)
    ]
    kind = Tagging(labels)
    features = kind.encode(tokenizer, examples, 16, training=True).features
    assert max(len(feature.input_ids) for feature in features) <= 16
    logits = []
    for feature in features:
        assert len(feature.target) == len(feature.input_ids) == len(feature.alignment)
        assert ((feature.target == IGNORED) == (feature.alignment == -1)).all()
        logits.append(np.eye(2)[np.where(feature.target == IGNORED, 0, feature.target)])
    # a model that is always right gives every word its tag back
    assert [found.tags for found in kind.decode(examples, features, logits)] == [
        example.tags for example in examples
    ]


def test_tag_of_a_word_is_that_of_its_first_token(tokenizer):
    example = TaggedExample("0", ("red", "zap"), ("O", "B-X"))
    (feature,) = Tagging(("O", "B-X")).encode(tokenizer, [example], 16, training=True).features
    assert tokens(tokenizer, feature) == ["[CLS]", "red", "z", "##a", "##p", "[SEP]"]
    assert feature.target.tolist() == [IGNORED, 0, 1, IGNORED, IGNORED, IGNORED]


# --- questions ------------------------------------------------------------------------------------


def question(context, answer, start):
    answers = () if answer is None else (answer,)
    return QuestionExample("0", "which one?", context, answers, start)


@QUICK
@given(st.integers(1, 150), st.integers(0, 149), st.integers(1, 3))
def test_windows_cover_the_context_and_some_window_has_the_whole_answer(
    tokenizer, num_words, first, size
):
    words = [f"{'red' if i % 3 else 'zz'}" for i in range(num_words)]
    first = min(first, num_words - 1)
    answer = " ".join(words[first : first + size])
    context = " ".join(words)
    start = len(" ".join(words[:first])) + (first > 0)
    example = question(context, answer, start)
    kind = QuestionAnswering(has_unanswerable=True)
    features = kind.encode(tokenizer, [example], 32, training=True).features
    covered, whole = set(), 0
    for feature in features:
        assert len(feature.input_ids) <= 32
        covered.update(map(tuple, feature.alignment[feature.alignment[:, 1] >= 0].tolist()))
        begin, end = feature.target
        if end:
            found = context[feature.alignment[begin, 0] : feature.alignment[end, 1]]
            assert found == answer
            whole += 1
    assert whole >= 1
    assert len(covered) == len(tokenizer(context, add_special_tokens=False)["input_ids"])


def test_a_question_has_its_own_segment_and_no_answer_points_to_cls(tokenizer):
    kind = QuestionAnswering(has_unanswerable=True)
    example = question("red dog", None, -1)
    (feature,) = kind.encode(tokenizer, [example], 40, training=True).features
    assert feature.target.tolist() == [0, 0]
    assert tokens(tokenizer, feature)[feature.segment_b :] == ["red", "dog", "[SEP]"]


def test_an_empty_context_gives_no_answer(tokenizer):
    kind = QuestionAnswering(has_unanswerable=False)
    example = question("", None, -1)
    features = kind.encode(tokenizer, [example], 40, training=False).features
    logits = [np.zeros((len(features[0].input_ids), 2))]
    (answer,) = kind.decode([example], features, logits)
    assert answer.text == ""


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 8))
def test_the_best_span_equals_trying_all(seed, num_context, segment_b):
    rng = np.random.default_rng(seed)
    length = segment_b + num_context + 1
    alignment = np.full((length, 2), -1, dtype=np.int32)
    alignment[segment_b:-1] = [(10 * i, 10 * i + 5) for i in range(num_context)]
    feature = Feature(np.zeros(length, dtype=np.int32), segment_b, np.array([0, 0]), 0, alignment)
    scores = np.round(rng.normal(size=(length, 2)), 2)
    found = best_spans(scores, feature, "x" * 1000)
    ranked = [
        sorted(range(segment_b, length - 1), key=lambda i, s=side: -scores[i, s])[:20]
        for side in (0, 1)
    ]
    allowed = [
        (scores[i, 0] + scores[j, 1], 10 * (i - segment_b), 10 * (j - segment_b) + 5)
        for i in ranked[0]
        for j in ranked[1]
        if i <= j < i + ANSWER_TOKENS
    ]
    scored = [(span.score, span.begin, span.end) for span in found]
    assert set(scored) <= set(allowed)
    best = sorted((value for value, _, _ in allowed), reverse=True)[:20]
    assert [value for value, _, _ in scored] == pytest.approx(best)


def test_an_answer_is_never_empty():
    """Byte-level tokens of white space, trimmed, begin where they end."""
    alignment = np.array([[-1, -1], [0, 3], [4, 4], [4, 7], [-1, -1]], dtype=np.int32)
    feature = Feature(np.zeros(5, dtype=np.int32), 1, np.array([0, 0]), 0, alignment)
    scores = np.zeros((5, 2))
    scores[2] = 9.0
    found = {(span.begin, span.end) for span in best_spans(scores, feature, "x" * 7)}
    assert found == {(0, 3), (0, 4), (0, 7), (4, 7)}


def test_answer_is_the_best_and_null_the_lowest_over_windows(tokenizer):
    example = question("red dog", "dog", 4)
    kind = QuestionAnswering(has_unanswerable=True)
    (feature,) = kind.encode(tokenizer, [example], 40, training=False).features
    low, high = (np.zeros((len(feature.input_ids), 2)) for _ in range(2))
    low[0], high[0] = 1.0, 2.0  # null scores 2 and 4
    high[feature.segment_b + 1] = 3.0  # "dog" scores 6
    (answer,) = kind.decode([example], [feature, feature], [low, high])
    assert answer.text == "dog"
    assert answer.null_margin == pytest.approx(2.0 - 6.0)
    texts = [span.text for span in answer.best]
    assert texts[0] == "dog" and "" in texts and len(texts) == len(set(texts)) <= 20
    shown = kind.row(example, answer)["detail"]["best"]
    weights = np.exp([s["start_logit"] + s["end_logit"] for s in shown])
    assert [s["probability"] for s in shown] == pytest.approx((weights / weights.sum()).tolist())


def test_n_best_list_has_each_text_once():
    ranked = [Span(text, float(-i), 0.0) for i, text in enumerate("abacd" * 10)]
    assert [(span.text, span.score) for span in distinct_best(ranked)] == [
        *(("a", 0.0), ("b", -1.0), ("c", -3.0), ("d", -4.0))
    ]
    assert len(distinct_best(Span(str(i), -i, 0.0) for i in range(50))) == 20


def test_calibrated_threshold_is_subtracted_from_the_margins(tokenizer):
    kind = QuestionAnswering(has_unanswerable=True)
    examples = [question("red dog", "dog", 4), question("red dog", None, -1)]
    features = kind.encode(tokenizer, examples, 40, training=False).features
    logits = [np.zeros((len(feature.input_ids), 2)) for feature in features]
    for rows, null in zip(logits, (4.0, 5.0), strict=True):  # "dog" scores 6, null 8 and 10
        rows[features[0].segment_b + 1] = 3.0
        rows[0] = null
    answers = kind.decode(examples, features, logits)
    assert [answer.null_margin for answer in answers] == [2.0, 4.0]  # both are withdrawn
    calibrated = kind.calibrated(examples, answers)
    assert calibrated.threshold == 2.0
    moved = calibrated.decode(examples, features, logits)
    assert [answer.null_margin for answer in moved] == [0.0, 2.0]
    assert kind.score(examples, answers, ("f1",)) == {"f1": 0.5}
    assert calibrated.score(examples, moved, ("f1",)) == {"f1": 1.0}
    nothing = kind.decode(examples[:1], [], [])  # no token to answer with: it chooses nothing
    assert kind.calibrated(examples[:1], nothing) == kind
    best = ("best_f1", "best_exact_match")  # which see the labels, do not change
    assert kind.score(examples, answers, best) == calibrated.score(examples, moved, best)


# --- batches and losses ---------------------------------------------------------------------------


@QUICK
@given(st.lists(st.integers(3, 128), min_size=1, max_size=300), st.integers(1, 9))
def test_batches_hold_each_feature_once_an_epoch(lengths, size):
    for batches in (
        list(training_batches(lengths, size, seed=1, epoch=0)),
        list(scoring_batches(lengths, size)),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= size for batch in batches)


def test_each_seed_and_epoch_has_its_own_order():
    lengths = [10] * 100

    def order(seed, epoch):
        return np.concatenate(list(training_batches(lengths, 8, seed, epoch))).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_padding_is_masked_and_skipped_by_the_loss(tokenizer):
    examples = [
        TaggedExample("0", ("red", "dog", "cat"), ("O", "B-X", "O")),
        TaggedExample("1", ("red",), ("B-X",)),
    ]
    kind = Tagging(("O", "B-X"))
    features = kind.encode(tokenizer, examples, 16, training=True).features
    inputs, targets = collate(features, pad_id=0)
    assert inputs["attention_mask"].sum(dim=1).tolist() == [5, 3]
    assert inputs["input_ids"][1, 3:].tolist() == [0, 0]
    logits = torch.randn(2, 5, 2)
    total, count = kind.loss(logits, targets)
    words = [(0, 1, 0), (0, 2, 1), (0, 3, 0), (1, 1, 1)]
    expected = sum(
        F.cross_entropy(logits[row, place][None], torch.tensor([label]))
        for row, place, label in words
    )
    assert count == 4
    torch.testing.assert_close(total, expected)


def test_words_that_the_tokenizer_removes_have_one_tag_each(tokenizer):
    words = ("red", "\u200b", "\x07", "\u00ad", "", "\u0301", "\u3000", "\x00", "dog")
    example = TaggedExample("0", words, ("O",) * len(words))
    kind = Tagging(("O", "B-X"))
    features = kind.encode(tokenizer, [example], 8, training=False).features
    logits = [np.eye(2)[np.ones(len(feature.input_ids), dtype=int)] for feature in features]
    (found,) = kind.decode([example], features, logits)
    assert found.tags == ("B-X",) * len(words)
    assert found.probabilities == pytest.approx([torch.sigmoid(torch.ones(())).item()] * len(words))
    outside = TagsPrediction(("O",) * len(words))
    assert kind.score([example], [outside], ["accuracy"]) == {"accuracy": 1.0}


def test_a_long_question_is_cut_and_its_characters_are_counted(tokenizer):
    example = QuestionExample("0", "which " * 80, "red dog", ("red",), 0)
    encoded = QuestionAnswering(False).encode(tokenizer, [example], 64, training=True)
    kept = tokens(tokenizer, encoded.features[0]).index("[SEP]") - 1  # single letters
    assert encoded.truncated == {0: 5 * 80 - kept}
