"""Templates found in wikitext: their names, arguments and contexts."""

from collections.abc import Sequence

import pytest

from electra_pipeline.corpus.wikitext.template_expansion import (
    CLOSING,
    GAP,
    OPENING,
    Context,
    expand,
)


def show(arguments: Sequence[str], context: Context) -> str:
    return f"<{'/'.join(arguments)}>"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("a {{b|c|d=e}} f", "a <b/c/d=e> f"),
        ("{{a|{{b|c}}|d}}", "<a/<b/c>/d>"),
        ("{{a|[[b|c=d]]|e}}", "<a/[[b|c=d]]/e>"),
        ("{{a|[[b|{{c|d}}]]|e}}", "<a/[[b|<c/d>]]/e>"),
        ("{{{1|default}}} {{{2}}}", f"default {GAP}"),
        ("{{{{{1|a}}}|b}}", "<a/b>"),
        ("{{{a}}", "{<a>"),
        ("{{a}}}", "<a>}"),
        ("{{a|[[b}} c", "<a/[[b> c"),
        ("[[a|{{b", f"[[a|{OPENING}b"),
        ("a }} b | c ]] d", f"a {CLOSING} b | c ]] d"),
        ("{{a {{b}} c", f"{OPENING}a <b> c"),
    ],
)
def test_templates_are_replaced_from_the_innermost(wikitext: str, text: str) -> None:
    assert expand(wikitext, show) == text


@pytest.mark.parametrize(
    ("wikitext", "is_line"),
    [
        *(("{{x}}", True), ("a\n{{x}} \nb", True), ("* {{x}}\n", True), ("{{x}}{{y}}", True)),
        *(("a {{x}}", False), ("{{x}} a", False), ("'''{{x}}''' a", False)),
        *(("{{y|a {{x}}}}", False), ("a\n{{y|\n{{x}}\n}}", True)),
    ],
)
def test_a_template_that_fills_its_line_is_a_block(wikitext: str, is_line: bool) -> None:
    contexts: dict[str, Context] = {}

    def note(arguments: Sequence[str], context: Context) -> str:
        contexts[arguments[0]] = context
        return ""

    expand(wikitext, note)
    assert contexts["x"].is_line == is_line


def test_templates_nested_too_deep_render_nothing() -> None:
    assert expand("{{a|" * 500 + "}}" * 500, lambda arguments, context: arguments[1]) == GAP
