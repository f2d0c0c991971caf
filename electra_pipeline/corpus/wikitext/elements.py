"""Remove comments and elements without prose; keep nowiki text and simple formulas."""

import re
import unicodedata

from electra_pipeline.corpus.wikitext.template_expansion import GAP

# Their content is not prose, or belongs elsewhere in the page.
DROPPED = re.compile(
    "ref|references|gallery|math|chem|ce|syntaxhighlight|source|pre|timeline|score|hiero|"
    "imagemap|mapframe|maplink|graph|templatedata|templatestyles|style|script|indicator|"
    "includeonly|categorytree|inputbox|section|rt|rp|rtc"
)
VERBATIM = "nowiki"
FORMULAS = frozenset({"math", "chem", "ce"})
START = re.compile(r"<!--|<([a-zA-Z]+)([\s/][^<>]*)?>")
# The end of a note without an end tag: that of the line, or the next note.
END_OF_NOTE = re.compile(r"\n|<ref\b|\Z", re.IGNORECASE)
# Characters that are escaped as entities, so that they are not parsed as markup.
MARKUP = re.compile(r"[\[\]{}|'=<>]|^[*#:;]", re.MULTILINE)
MAX_FORMULA_CHARACTERS = 40
COMMAND = re.compile(r"\\([a-zA-Z]+)( ?)|\\[,;!: ]")
SCRIPT = re.compile(r"([_^])\{([^{}]{1,3})\}")
FONTS = frozenset({"mathrm", "mathbf", "mathit", "mathsf", "mathbb", "mathcal", "text", "textrm"})
SYMBOLS = {"times": "\u00d7", "cdot": "·", "pm": "±", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥"}
SYMBOLS |= {"neq": "≠", "ne": "≠", "approx": "≈", "infty": "∞", "to": "→", "in": "∈", "equiv": "≡"}
SYMBOLS |= {"rightarrow": "→", "ldots": "...", "dots": "...", "cdots": "...", "circ": "°"}
SYMBOLS |= dict.fromkeys(("left", "right", "displaystyle", "quad"), "")


def remove_elements(text: str) -> str:
    """Remove comments and dropped elements in one pass, as half of an article is references.

    GAP replaces them. The content of nowiki is kept, escaped, as are formulas that are simple
    enough for a line of text.
    """
    kept: list[str] = []
    position = 0
    # The same missing end is never searched for twice: that would be quadratic.
    endless: set[str] = set()
    for start in START.finditer(text):
        if start.start() < position:
            continue
        if start[1] is None:
            kept.append(text[position : start.start()])
            position = text.find("-->", start.end()) + 3
            if position < 3:
                return "".join(kept)
            continue
        name = start[1].lower()
        if name != VERBATIM and not DROPPED.fullmatch(name):
            continue
        content, stop = _content(text, start, name, endless)
        if content is None:
            continue
        kept += [text[position : start.start()], _rendered(name, content)]
        position = stop
    return "".join([*kept, text[position:]])


def _content(
    text: str, start: re.Match[str], name: str, endless: set[str]
) -> tuple[str | None, int]:
    """Return the content of an element and its end; None as content if the end is missing."""
    if (start[2] or "").rstrip().endswith("/"):
        return "", start.end()
    end = None
    if name not in endless:
        end = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, start.end())
    if end is not None:
        return text[start.end() : end.start()], end.end()
    endless.add(name)
    if name != "ref":
        return None, start.end()
    note = END_OF_NOTE.search(text, start.end())
    return "", note.start() if note else len(text)


def _rendered(name: str, content: str) -> str:
    if name != VERBATIM and name not in FORMULAS:
        return GAP
    text = content if name == VERBATIM else formula(content)
    return MARKUP.sub(lambda match: f"&#{ord(match[0])};", text) or GAP


def formula(tex: str) -> str:
    r"""Return a short formula as text, such as `mc^2` or `\alpha \leq 1`; empty for others."""
    tex = tex.strip().removeprefix(r"{\displaystyle").strip()
    if len(tex) > MAX_FORMULA_CHARACTERS or "\n" in tex:
        return ""
    text = COMMAND.sub(_command, tex)
    text = SCRIPT.sub(r"\1\2", text).replace("{", "").replace("}", "")
    return "" if set(text) & set("\\&~") else " ".join(text.split())


def _command(match: re.Match[str]) -> str:
    name, space = match.groups()
    if name is None or name in FONTS:
        return "" if name else " "
    if name in SYMBOLS:
        return SYMBOLS[name] + space
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        letter = name.upper().removeprefix("VAR")
        return unicodedata.lookup(f"GREEK {size} LETTER {letter}") + space
    except KeyError:
        return "\\"
