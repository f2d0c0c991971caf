"""Scores of predictions: what each published benchmark reports, as fractions between -1 and 1."""

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats
from seqeval.metrics import f1_score as entity_f1_score
from seqeval.metrics import precision_score as entity_precision_score
from seqeval.metrics import recall_score as entity_recall_score
from sklearn import metrics as sk

from electra_pipeline.tasks.kinds.chunks import conll_tag

Scores = dict[str, float]

# Letters of the scripts whose line breaking needs a dictionary or is between any two characters
# (Unicode Standard Annex 14, classes SA and ID): Thai and Lao, Tibetan, Burmese, Khmer, kana and
# their extensions, Chinese characters, with their marks.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)

CLASSIFICATION_METRICS = ("accuracy", "f1", "macro_f1", "matthews")
REGRESSION_METRICS = ("pearson", "spearman")
CHOICE_METRICS = ("accuracy",)
TAGGING_METRICS = ("f1", "precision", "recall", "accuracy")
QUESTION_METRICS = (
    *("exact_match", "f1", "best_exact_match", "best_f1"),
    *("character_f1", "best_character_f1", "korquad_f1"),
)


def classification_scores(
    expected: Sequence[int], predicted: Sequence[int], names: Sequence[str]
) -> Scores:
    """The named scores of class indexes; `f1` is that of class 1, as in GLUE's MRPC and QQP.

    All are sklearn's, which GLUE's own script calls; what it leaves undefined is 0, as there:
    Matthews of a constant, F1 where class 1 is neither there nor predicted.
    """
    compute: Mapping[str, Callable[[], float]] = {
        "accuracy": lambda: sk.accuracy_score(expected, predicted),
        "f1": lambda: sk.f1_score(
            expected, predicted, labels=[1], average="macro", zero_division=0
        ),
        "macro_f1": lambda: sk.f1_score(expected, predicted, average="macro", zero_division=0),
        # a constant is correlated with nothing: 0, as sklearn says too, but with a warning
        "matthews": lambda: (
            sk.matthews_corrcoef(expected, predicted)
            if len(set(expected)) > 1 and len(set(predicted)) > 1
            else 0.0
        ),
    }
    return {name: float(compute[name]()) for name in names}


def choice_scores(
    expected: Sequence[int], predicted: Sequence[int], names: Sequence[str]
) -> Scores:
    """The named scores of chosen positions: the fraction that is right."""
    compute = {"accuracy": lambda: float(sk.accuracy_score(expected, predicted))}
    return {name: compute[name]() for name in names}


def regression_scores(
    expected: Sequence[float], predicted: Sequence[float], names: Sequence[str]
) -> Scores:
    """The named scores of real values.

    A correlation with a constant is 0, for it orders nothing; scipy, and so GLUE's own script, has
    no number there (nan).
    """

    def correlation(function: Callable[..., Any]) -> float:
        if len(expected) < 2 or np.ptp(expected) == 0 or np.ptp(predicted) == 0:
            return 0.0
        return float(function(expected, predicted).statistic)

    compute: Mapping[str, Callable[[], float]] = {
        "pearson": lambda: correlation(stats.pearsonr),
        "spearman": lambda: correlation(stats.spearmanr),
    }
    return {name: float(compute[name]()) for name in names}


def tagging_scores(
    expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], names: Sequence[str]
) -> Scores:
    """The named scores of tag sequences: chunk precision, recall and F1 by conlleval's rules.

    A chunk counts when its type and both ends are right (Tjong Kim Sang and Buchholz 2000,
    section 4; seqeval's default mode is that script), in any notation of `chunks`. Accuracy is over
    single words and their tags as they are.
    """
    words = [tag for sentence in expected for tag in sentence]
    guesses = [tag for sentence in predicted for tag in sentence]
    given = [list(map(conll_tag, sentence)) for sentence in expected]
    found = [list(map(conll_tag, sentence)) for sentence in predicted]
    compute: Mapping[str, Callable[[], float]] = {
        "f1": lambda: entity_f1_score(given, found, zero_division=0),
        "precision": lambda: entity_precision_score(given, found, zero_division=0),
        "recall": lambda: entity_recall_score(given, found, zero_division=0),
        "accuracy": lambda: sk.accuracy_score(words, guesses),
    }
    return {name: float(compute[name]()) for name in names}


def normalize_answer(text: str) -> str:
    """Lower-cased text without punctuation, English articles and extra spaces.

    The rule of SQuAD's official evaluate-v2.0.py (`normalize_answer`).
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_exact(expected: str, predicted: str) -> float:
    """1.0 if both answers are the same after normalisation, else 0.0."""
    return float(normalize_answer(expected) == normalize_answer(predicted))


def answer_f1(expected: str, predicted: str) -> float:
    """F1 of the words that two answers share; empty answers match only each other."""
    return _overlap_f1(normalize_answer(expected).split(), normalize_answer(predicted).split())


def answer_character_f1(expected: str, predicted: str) -> float:
    """F1 of the characters that two answers share, in scripts that put no spaces between words.

    Text of other scripts counts in words: MLQA's mixed segmentation of Chinese
    (mlqa_evaluation_v1.py), for every such script, and as there without Unicode's punctuation and
    with articles.
    """
    return _overlap_f1(_mixed_segments(expected), _mixed_segments(predicted))


def answer_korquad_f1(expected: str, predicted: str) -> float:
    """F1 of all characters that two answers share, but spaces: KorQuAD's (evaluate-v1.0.py)."""
    return _overlap_f1(_korquad_characters(expected), _korquad_characters(predicted))


def _korquad_characters(text: str) -> list[str]:
    removed = string.punctuation + "《》〈〉\u2018\u2019"
    return [each for each in text.lower() if each not in removed and not each.isspace()]


def answer_overlap(expected: str, predicted: str) -> float:
    """What one answer is worth: F1 of characters if the expected one's script has no spaces."""
    f1 = answer_character_f1 if is_unspaced(expected) else answer_f1
    return f1(expected, predicted)


def is_unspaced(text: str) -> bool:
    """Whether at least half of a text's letters are of scripts without spaces between words."""
    letters = [character for character in text if character.isalpha()]
    return 0 < len(letters) <= 2 * sum(map(bool, map(_UNSPACED.match, letters)))


def _mixed_segments(text: str) -> list[str]:
    kept = "".join(
        character
        for character in text.lower()
        if character not in string.punctuation and unicodedata.category(character)[0] != "P"
    )
    return _UNSPACED.sub(r" \g<0> ", kept).split()


def _overlap_f1(gold: Sequence[str], guess: Sequence[str]) -> float:
    if not gold or not guess:
        return float(gold == guess)
    shared = sum((Counter(gold) & Counter(guess)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(guess), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def question_scores(
    expected: Sequence[Sequence[str]],
    answers: Sequence[str],
    null_margins: Sequence[float],
    names: Sequence[str],
) -> Scores:
    """Mean over questions of the best score against any of the accepted answers.

    A question without accepted answers is unanswerable: only the empty answer is right for it.
    `null_margins` says by how much "no answer" scored above the proposed answer; the proposal is
    withdrawn where that is positive. The metrics that begin with `best_` withdraw at the threshold
    that suits the scored questions best, as SQuAD 2.0's official script does for its leaderboard:
    they are optimistic, because the threshold saw the labels.
    """

    def values(score: Callable[[str, str], float], withdrawn: bool) -> list[float]:
        guesses = [""] * len(answers) if withdrawn else answers
        return [
            best_accepted(score, accepted, guess)
            for accepted, guess in zip(expected, guesses, strict=True)
        ]

    def mean(score: Callable[[str, str], float]) -> float:
        pairs = zip(values(score, False), values(score, True), null_margins, strict=True)
        return math.fsum(null if margin > 0 else kept for kept, null, margin in pairs) / len(
            answers
        )

    def best(score: Callable[[str, str], float]) -> float:
        return best_threshold(values(score, False), values(score, True), null_margins)[0]

    compute = {
        "exact_match": lambda: mean(answer_exact),
        "f1": lambda: mean(answer_f1),
        "best_exact_match": lambda: best(answer_exact),
        "best_f1": lambda: best(answer_f1),
        "character_f1": lambda: mean(answer_character_f1),
        "best_character_f1": lambda: best(answer_character_f1),
        "korquad_f1": lambda: mean(answer_korquad_f1),
    }
    return {name: compute[name]() for name in names}


def best_accepted(score: Callable[[str, str], float], accepted: Sequence[str], guess: str) -> float:
    """The best score of a guess against any of the accepted answers; without one, against ""."""
    return max(score(answer, guess) for answer in _accepted(accepted))


def _accepted(answers: Sequence[str]) -> list[str]:
    # evaluate-v2.0.py: answers that normalise to nothing are not accepted; if none is left, "" is
    return [answer for answer in answers if normalize_answer(answer)] or [""]


def best_threshold(
    kept: Sequence[float], withdrawn: Sequence[float], null_margins: Sequence[float]
) -> tuple[float, float]:
    """The highest mean score that one threshold on the null margin reaches, and that threshold.

    Question i scores withdrawn[i] where null_margins[i] > threshold, else kept[i]
    (`find_best_thresh` of evaluate-v2.0.py). Raises ValueError if there is no question.
    """
    if not kept:
        raise ValueError("no questions to choose a threshold on")
    order = np.argsort(np.asarray(null_margins, dtype=np.float64), kind="stable")
    margins = np.asarray(null_margins, dtype=np.float64)[order]
    gains = (np.asarray(kept) - np.asarray(withdrawn))[order]
    # totals[k]: the k smallest margins keep their answer; equal margins fall on the same side
    totals = math.fsum(withdrawn) + np.concatenate([[0.0], np.cumsum(gains)])
    possible = np.concatenate([[True], margins[1:] > margins[:-1], [True]])
    k = int(np.argmax(np.where(possible, totals, -np.inf)))
    threshold = float(margins[k - 1]) if k > 0 else float(margins[0]) - 1.0
    return float(totals[k]) / len(kept), threshold
