"""Accuracy of language identification, and the documents that thresholds on its probability drop.

On Django's translations. The messages of a language are joined, without their placeholders and
markup, and cut into blocks of 2,000 characters (a language with less is skipped) and of 250, the
shortest text that the model receives. The wheel is downloaded by pip.

    python benchmarks/languages.py
"""

import gettext
import math
import re
import time
import zipfile
from collections.abc import Sequence

import numpy as np

from electra_pipeline.corpus.cleaning.filters.language_thresholds import (
    DEFAULTS,
    find_thresholds,
    thresholds_by_language,
)
from electra_pipeline.corpus.cleaning.language_id import WINDOW_CHARACTERS, Identified, identify
from electra_pipeline.inputs.downloads import download_wheel

MIN_SCORE = DEFAULTS.min_score
REQUIREMENT = "django==5.2.19"
SHA256 = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"
LANGUAGES = (
    "ar bg bn ca cs da de el es fa fi fr he hi hu hy id it ja ka ko nl pl pt ro ru sv ta te th tr "
    "uk vi zh_Hans"
)
# Django's names of languages that have another name in the model, or several catalogs.
CATALOGS = {"no": ("nb",), "pt": ("pt", "pt_BR"), "sr": ("sr", "sr_Latn"), "zh": ("zh_Hans",)}
BLOCK_CHARACTERS = 2000
MIN_MESSAGE_CHARACTERS = 25  # shorter ones are names and labels, often the same in any language
MARKUP = re.compile(r"%\(?\w*\)?[sd]|\{\w*\}|<[^>]+>|&\w+;")
# The rule for min_language_score; language_thresholds.yaml has the reasons.
KEPT_SHARE = 0.98
SCORE_STEP = 0.05
LOWEST_SCORE = 0.3


def messages(wheel: zipfile.ZipFile, language: str) -> str:
    """Return all translated messages, without placeholders and markup."""
    found = []
    for name in sorted(wheel.namelist()):
        if f"/locale/{language}/LC_MESSAGES/" in name and name.endswith(".mo"):
            with wheel.open(name) as file:
                catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for message, translated in catalog.items():
                if isinstance(translated, str) and message and translated != message:
                    found.append(MARKUP.sub(" ", translated))
    return "\n".join(text for text in found if len(text) >= MIN_MESSAGE_CHARACTERS)


def blocks_of(text: str, num_characters: int) -> list[str]:
    starts = range(0, len(text) - num_characters + 1, num_characters)
    return [text[start : start + num_characters] for start in starts]


def calibrated(scores: Sequence[float]) -> float:
    """Return the threshold of a language from the scores of its correctly identified windows."""
    reached = float(np.quantile(scores, 1 - KEPT_SHARE))
    return min(MIN_SCORE, max(LOWEST_SCORE, math.floor(reached / SCORE_STEP) * SCORE_STEP))


def kept(verdicts: Sequence[Identified], language: str, least: float) -> str:
    """Return the percentage identified as the language with at least that probability."""
    if not verdicts:
        return ""
    num_kept = sum(verdict.code == language and verdict.score >= least for verdict in verdicts)
    return f"{num_kept / len(verdicts):.0%}"


def show_accuracy(wheel: zipfile.ZipFile) -> None:
    num_right = num_blocks = num_bytes = num_languages = 0
    seconds = 0.0
    for language in LANGUAGES.split():
        blocks = blocks_of(messages(wheel, language), BLOCK_CHARACTERS)
        began = time.perf_counter()
        verdicts = [identify(block) for block in blocks]
        seconds += time.perf_counter() - began
        wrong = [v.code for v in verdicts if v.code != language.partition("_")[0]]
        num_right += len(blocks) - len(wrong)
        num_blocks += len(blocks)
        num_languages += bool(blocks)
        num_bytes += sum(len(block.encode()) for block in blocks)
        if wrong:
            print(f"{language}: {len(wrong)} of {len(blocks)} identified as {', '.join(wrong)}")
    print(
        f"{num_right} of {num_blocks} blocks of {BLOCK_CHARACTERS} characters in {num_languages} "
        f"languages identified correctly ({num_right / num_blocks:.4f}), "
        f"{num_bytes / 1e6 / seconds:.1f} MB/s"
    )


def show_thresholds(wheel: zipfile.ZipFile) -> None:
    """Compare each language's own threshold with the common one, if they differ."""
    print("\nlanguage  own  by rule  2,000 characters: correct, kept, with 0.5  250: the same")
    for language in thresholds_by_language():
        catalogs = CATALOGS.get(language, (language,))
        text = "\n".join(messages(wheel, catalog) for catalog in catalogs)
        short, long = (
            [identify(block) for block in blocks_of(text, num_characters)]
            for num_characters in (WINDOW_CHARACTERS, BLOCK_CHARACTERS)
        )
        scores = [verdict.score for verdict in short if verdict.code == language]
        own, by_rule = (
            find_thresholds(language).min_score,
            calibrated(scores) if scores else MIN_SCORE,
        )
        if own == by_rule == MIN_SCORE:
            continue
        shares = (kept(each, language, s) for each in (long, short) for s in (0, own, MIN_SCORE))
        print(f"{language:8}  {own:.2f}  {by_rule:.2f}", *(f"{share:>6}" for share in shares))


def main() -> None:
    with zipfile.ZipFile(download_wheel(REQUIREMENT, SHA256)) as wheel:
        show_accuracy(wheel)
        show_thresholds(wheel)


if __name__ == "__main__":
    main()
