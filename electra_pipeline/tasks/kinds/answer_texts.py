"""Comparison of answer texts: the rules of SQuAD, MLQA and KorQuAD, as fractions from 0 to 1."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

# Letters of the scripts whose line breaking needs a dictionary or is between any two characters
# (Unicode Standard Annex 14, classes SA and ID): Thai and Lao, Tibetan, Burmese, Khmer, kana and
# their extensions, Chinese characters, with their marks.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)


def normalize_answer(text: str) -> str:
    """Return the lower-cased text without punctuation, English articles and extra spaces.

    The rule of SQuAD's official evaluate-v2.0.py (`normalize_answer`).
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_exact(expected: str, predicted: str) -> float:
    """Return 1.0 if both answers are the same after normalisation, else 0.0."""
    return float(normalize_answer(expected) == normalize_answer(predicted))


def answer_f1(expected: str, predicted: str) -> float:
    """Return the F1 of the words that two answers share; an empty one matches only an empty one."""
    return _overlap_f1(normalize_answer(expected).split(), normalize_answer(predicted).split())


def answer_character_f1(expected: str, predicted: str) -> float:
    """Return the F1 of shared characters, in scripts without spaces between words, else of words.

    This is MLQA's mixed segmentation of Chinese (mlqa_evaluation_v1.py), for every such script; as
    in MLQA, Unicode's punctuation is removed and articles are kept.
    """
    return _overlap_f1(_mixed_segments(expected), _mixed_segments(predicted))


def answer_korquad_f1(expected: str, predicted: str) -> float:
    """Return the F1 of shared characters without spaces, as in KorQuAD (evaluate-v1.0.py)."""
    return _overlap_f1(_korquad_characters(expected), _korquad_characters(predicted))


def _korquad_characters(text: str) -> list[str]:
    removed = string.punctuation + "《》〈〉\u2018\u2019"
    return [each for each in text.lower() if each not in removed and not each.isspace()]


def answer_overlap(expected: str, predicted: str) -> float:
    """Return the F1 of characters if the expected answer's script has no spaces, else of words."""
    f1 = answer_character_f1 if is_unspaced(expected) else answer_f1
    return f1(expected, predicted)


def is_unspaced(text: str) -> bool:
    """Return whether half or more of a text's letters are of scripts without spaces."""
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


def best_accepted(score: Callable[[str, str], float], accepted: Sequence[str], guess: str) -> float:
    """Return the best score of a guess against any accepted answer; without one, against ""."""
    # evaluate-v2.0.py: answers that normalise to nothing are not accepted; if none is left, "" is
    answers = [answer for answer in accepted if normalize_answer(answer)] or [""]
    return max(score(answer, guess) for answer in answers)
