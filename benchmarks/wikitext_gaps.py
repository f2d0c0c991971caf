"""Count gaps that removed templates and notes leave in the sentences of a MediaWiki dump, and MB/s.

A gap is a sign of missing text: two spaces, a space before a comma or full stop, empty or half
brackets and quotes, doubled commas, remains of markup. The target is 1 in 1,000 sentences, about as
many as authors make (--show prints some, to look up in the dump).

    python benchmarks/wikitext_gaps.py dewiki-latest-pages-articles.xml.bz2 --language de
"""

import argparse
import re
import time
from collections import Counter
from pathlib import Path

from sentencex import segment

from electra_pipeline.corpus.sources.wikipedia import read_wikipedia
from electra_pipeline.inputs.files import UrlFile, fetch

GAPS = {
    "two spaces": r"\S  +\S",
    "space before a comma or full stop": r"\w[^\S\n]+[,.\u3001\u3002\uff0c](?![\w.]| \.)",
    "empty brackets": r"[(\uff08][\s,;:\u2013\u3001\uff0c-]*[)\uff09]",
    "half brackets": r"[(\uff08]\s*[,;:\u3001\uff0c]|[(\uff08]\s+\w|\w[\s,;]+[)\uff09]",
    "empty quotes": r"(?<!\w)(?:\"\s*\"|[\u201c\u201e]\s*[\u201c\u201d]|\u00ab\s*\u00bb)(?!\w)",
    "doubled marks": r",\s*,|;\s*;|,\s*;|;\s*,|,\s+\.(?![\w.]| \.)|\u3001\u3001",
    "mark at the beginning": r"^[,;:)\u3001\uff0c]\s",
    "markup": r"\{\{|\}\}|\[\[|\]\]|'{3,}|</?\w+[^<>]*>|^[|!]",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dump", nargs="+")
    parser.add_argument("--language", default="en", help="of the sentences (ISO 639-1)")
    parser.add_argument("--show", type=int, default=0, help="print so many examples of each kind")
    parser.add_argument("--text", type=Path, help="write the text of the dump here")
    arguments = parser.parse_args()
    patterns = {kind: re.compile(pattern) for kind, pattern in GAPS.items()}
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    problems: Counter[str] = Counter()
    texts, num_sentences = [], 0
    files = [fetch(UrlFile(url=dump)) for dump in arguments.dump]
    start = time.perf_counter()
    for file in files:
        for document in read_wikipedia(file):
            texts.append(document.text)
            problems[document.problem or "read"] += 1
    seconds = time.perf_counter() - start
    for text in texts:
        for paragraph in text.split("\n"):
            for sentence in segment(arguments.language, paragraph) if paragraph else ():
                num_sentences += 1
                for kind, pattern in patterns.items():
                    if found := pattern.search(sentence):
                        counts[kind] += 1
                        context = sentence[max(0, found.start() - 60) : found.end() + 40]
                        examples.setdefault(kind, []).append(context)
    if arguments.text:
        arguments.text.write_text("\n\n\n".join(texts), encoding="utf-8")
    num_characters = sum(map(len, texts))
    print(f"{dict(problems)}; {num_characters} characters, {num_sentences} sentences")
    print(f"{seconds:.2f} s; {num_characters / seconds / 1e6:.2f} million characters of text a s")
    for kind in patterns:
        print(f"{1000 * counts[kind] / max(1, num_sentences):8.2f}  {kind}")
        for example in examples.get(kind, [])[: arguments.show]:
            print(f"            {example!r}")
    print(f"{1000 * counts.total() / max(1, num_sentences):8.2f}  gaps in 1,000 sentences")


if __name__ == "__main__":
    main()
