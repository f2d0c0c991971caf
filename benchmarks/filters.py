"""MB/s of the quality filters in one process beside datatrove's: same rules, thresholds, documents.

The documents are the column `text` of --input, cleaned as the corpus stage cleans them, or
generated ones. English rules; C4 without its rule on the ends of lines, as in FineWeb. A verdict
is whether a document is kept.

datatrove (pip install datatrove spacy) splits words by spaCy. If that is missing, it uses
our words and sentences, which makes it faster.

    python benchmarks/filters.py --input corpus/*.jsonl.zst --rounds 5
"""

import argparse
import importlib.util
import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sentencex import segment

from electra_pipeline.corpus.cleaning.filters.c4 import C4Lines, C4Page
from electra_pipeline.corpus.cleaning.filters.fineweb import FineWeb
from electra_pipeline.corpus.cleaning.filters.gopher import GopherQuality, GopherRepetition
from electra_pipeline.corpus.cleaning.filters.registry import apply
from electra_pipeline.corpus.cleaning.text import clean
from electra_pipeline.inputs.files import UrlFile, fetch
from electra_pipeline.text.words import split_words

OURS = (
    GopherQuality(),
    GopherRepetition(),
    C4Lines(end_of_sentence=False),
    C4Page(),
    FineWeb(),
)
MIN_CHARACTERS = 50  # shorter documents never reach the filters
Judge = Callable[[str], bool]


def judge_ours(text: str) -> bool:
    """Whether our filters keep `text`."""
    return apply(OURS, text, None, "en").rejection is None


def judge_of_datatrove(*, its_words: bool) -> Judge:
    """Whether datatrove's filters keep a text, with its words or with ours."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    language: Any = "en" if its_words else _our_words()
    filters = (
        GopherQualityFilter(language=language),
        GopherRepetitionFilter(language=language),
        C4QualityFilter(filter_no_terminal_punct=False, remove_citations=False, language=language),
        FineWebQualityFilter(language=language),
    )

    def judge(text: str) -> bool:
        document = Document(text=text, id="")
        return all(rule.filter(document) is True for rule in filters)

    return judge


def _our_words() -> Any:
    from datatrove.utils.word_tokenizers import WordTokenizer

    class OurWords(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return split_words(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [sentence for sentence in segment("en", text) if sentence.strip()]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            ends = [0]
            for sentence in self.sent_tokenize(text):
                ends.append(ends[-1] + len(sentence))
            return list(itertools.pairwise(ends))

    return OurWords()


def read(paths: Sequence[str]) -> list[str]:
    """Return the cleaned texts of JSON lines that are long enough."""
    texts = []
    for path in paths:
        with fetch(UrlFile(url=path)).open() as file:
            texts += [clean(orjson.loads(line)["text"])[0] for line in file]
    return [text for text in texts if len(text) >= MIN_CHARACTERS]


def generate(num_documents: int) -> list[str]:
    """Generate documents of words with a long-tailed distribution, some with repeated lines."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(3, 9))) for _ in range(20_000)]
    common = ["the", "be", "to", "of", "and", "that", "have", "with"]
    documents = []
    for _ in range(num_documents):
        lines = []
        for _ in range(rng.randint(1, 40)):
            ranks = (
                min(int(rng.paretovariate(0.35)), 20_000) - 1 for _ in range(rng.randint(5, 60))
            )
            words = [common[r] if r < len(common) else vocabulary[r] for r in ranks]
            lines.append(" ".join(words) + rng.choice([".", ".", ".", ""]))
        documents.append("\n".join(lines * rng.choice([1, 1, 1, 1, 2])))
    return documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="*", default=[], help="JSON lines, compressed or not")
    parser.add_argument("--documents", type=int, default=1000, help="how many, if generated")
    parser.add_argument("--max-megabytes", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    has_spacy = importlib.util.find_spec("spacy") is not None
    judges: dict[str, Judge] = {"ours": judge_ours}
    if importlib.util.find_spec("datatrove") is not None:
        judges["datatrove"] = judge_of_datatrove(its_words=has_spacy)
    texts: list[str] = []
    num_bytes = 0
    for text in read(arguments.input) if arguments.input else generate(arguments.documents):
        if num_bytes < arguments.max_megabytes * 1e6:
            texts.append(text)
            num_bytes += len(text.encode())
    kept: dict[str, list[bool]] = {}
    rates: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(arguments.rounds):
        for name, judge in judges.items():
            started = time.perf_counter()
            kept[name] = [judge(text) for text in texts]
            rates[name].append(num_bytes / 1e6 / (time.perf_counter() - started))
    origin = "given" if arguments.input else "generated"
    print(f"{len(texts)} {origin} documents, {num_bytes / 1e6:.1f} MB, one process")
    for name, values in rates.items():
        print(
            f"{name:10} {statistics.median(values):6.2f} MB/s (min {min(values):.2f}, "
            f"max {max(values):.2f}, {len(values)} rounds), keeps {sum(kept[name])}"
        )
    if "datatrove" not in judges:
        print("datatrove is missing: pip install datatrove spacy")
        return
    print(f"datatrove's words: {'spaCy' if has_spacy else 'ours (spaCy is not installed)'}")
    ratios = [a / b for a, b in zip(rates["ours"], rates["datatrove"], strict=True)]
    equal = sum(a == b for a, b in zip(kept["ours"], kept["datatrove"], strict=True)) / len(texts)
    print(f"ratio      {statistics.median(ratios):6.2f} ours/datatrove, median of pairs")
    print(f"equal verdicts on {equal:.1%} of the documents")


if __name__ == "__main__":
    main()
