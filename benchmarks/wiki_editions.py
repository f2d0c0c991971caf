"""Make electra_pipeline/corpus/wikitext/editions.yaml from MediaWiki's message files.

The names of namespaces, redirects and magic words in all languages are data of MediaWiki
(languages/messages/Messages*.php, includes/languages/data/Names.php, languages/i18n/*.json):

    apt-get download mediawiki && dpkg -x mediawiki_*.deb mw
    python benchmarks/wiki_editions.py mw/usr/share/mediawiki 1.39.17 > editions.yaml
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

NUMBERS = {"SPECIAL": -1, "MEDIA": -2, "MAIN": 0, "TALK": 1, "USER": 2, "PROJECT": 4, "FILE": 6}
NUMBERS |= {"IMAGE": 6, "MEDIAWIKI": 8, "TEMPLATE": 10, "HELP": 12, "CATEGORY": 14}
NUMBERS |= {f"{name}_TALK": n + 1 for name, n in list(NUMBERS.items()) if n > 1}
MAGIC_WORDS = {"redirect", "pagename", "formatnum", "lc", "uc", "lcfirst", "ucfirst", "plural"}
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september"]
MONTHS += ["october", "november", "december"]
STRING = r"""(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")"""


def block(source: str, variable: str) -> str:
    """Return the text between the brackets of an assignment, without comments."""
    match = re.search(rf"^\${variable}\s*=\s*(?:\[|array\s*\()(.*?)^[\])]", source, re.S | re.M)
    one_line = re.search(rf"^\${variable}\s*=\s*\[(.*)\];", source, re.M)
    text = match[1] if match and not (one_line and one_line.start() == match.start()) else ""
    text = text or (one_line[1] if one_line else "")
    return re.sub(r"^\s*(?:#|//)[^\n]*$|\s//[^'\n]*$|/\*[\s\S]*?\*/", "", text, flags=re.M)


def strings(text: str) -> list[str]:
    """Return the PHP strings of a text."""
    found = [a or b for a, b in re.findall(STRING, text)]
    plain = (re.sub(r"\\(['\"])", r"\1", string) for string in found)
    return [re.sub(r"\\u\{(\w+)\}", lambda m: chr(int(m[1], 16)), string) for string in plain]


def namespaces(source: str) -> dict[int, list[str]]:
    """Return names and aliases of the namespaces by number."""
    names: dict[int, list[str]] = {}
    pairs = re.findall(rf"NS_(\w+)\s*=>\s*({STRING})", block(source, "namespaceNames"))
    found = [(kind, strings(text)[0]) for kind, text, *_ in pairs if strings(text)]
    for text, _, _, kind in re.findall(
        rf"({STRING})\s*=>\s*NS_(\w+)", block(source, "namespaceAliases")
    ):
        found.append((kind, strings(text)[0]))
    genders = block(source, "namespaceGenderAliases")
    for kind, entry in re.findall(r"NS_(\w+)\s*=>\s*(?:\[|array\()(.*?)[\])]", genders, re.S):
        values = re.findall(rf"=>\s*({STRING})", entry)
        found += [(kind, strings(value[0])[0]) for value in values]
    for kind, name in found:
        if kind in NUMBERS and "$1" not in name:
            known = names.setdefault(NUMBERS[kind], [])
            known += [] if (plain := name.replace("_", " ")) in known else [plain]
    return names


def row(code: str, source: str, i18n: Path) -> dict[str, Any]:
    """Return the settings of a language that differ from its fallbacks."""
    values: dict[str, Any] = {}
    if fallback := re.search(r"^\$fallback\s*=\s*'([^']+)'", source, re.M):
        values["fallback"] = [part.strip() for part in fallback[1].split(",")]
    if names := namespaces(source):
        values["namespaces"] = dict(sorted(names.items()))
    words = {}
    for name, entry in re.findall(
        r"'(\w+)'\s*=>\s*(?:\[|array\()\s*(.*?)[\])]\s*,", block(source, "magicWords"), re.S
    ):
        if name in MAGIC_WORDS:
            words[name] = [s.lower().strip("#:") for s in strings(entry) if s not in ("0", "1")]
    if words:
        values["words"] = {name: list(dict.fromkeys(w)) for name, w in sorted(words.items())}
    separators = strings(block(source, "separatorTransformTable"))
    if separators and separators[0] == ",":
        values["group"] = separators[1].replace("\u00a0", " ").replace("\u202f", " ")
    if least := re.search(r"^\$minimumGroupingDigits\s*=\s*(\d)", source, re.M):
        values["min_group"] = int(least[1])
    path = i18n / f"{code}.json"
    messages = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    months = [messages.get(f"{month}-gen", messages.get(month)) for month in MONTHS]
    if all(months):
        values["months"] = months
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mediawiki", type=Path)
    parser.add_argument("version")
    arguments = parser.parse_args()
    languages = arguments.mediawiki / "languages"
    # One language a line, as JSON, which is also YAML: a lookup parses a single line.
    print("# MediaWiki's names in each language, one language a line (JSON, which is also YAML).")
    print(f"# Made by benchmarks/wiki_editions.py from MediaWiki {arguments.version}.")
    print("# namespaces: by number, without those of projects; words: of redirects and functions;")
    print("# group: separator of groups of digits, from min_group digits before it;")
    print("# months: in the genitive.")
    names = (arguments.mediawiki / "includes/languages/data/Names.php").read_text(encoding="utf-8")
    codes = sorted(set(re.findall(r"^\s*'([a-z-]+)'\s*=>", names, re.M)))
    print(f"codes: {json.dumps(codes)}")
    for path in sorted((languages / "messages").glob("Messages*.php")):
        code = path.stem.removeprefix("Messages").lower().replace("_", "-")
        values = row(code, path.read_text(encoding="utf-8"), languages / "i18n")
        if values:
            print(f"{json.dumps(code)}: {json.dumps(values, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
