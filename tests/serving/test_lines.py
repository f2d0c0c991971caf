"""Lines of standard input: what is JSON, what is text, and what is refused with its line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import ElectraConfig, ElectraForSequenceClassification

from electra_pipeline.serving.inputs import TextOrPair
from electra_pipeline.serving.lines import Format, numbered, parse_object, strict_json
from electra_pipeline.serving.predict import HEADS, Predictor, predict
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import train
from electra_pipeline.tokenizer.config import TokenizerConfig

SURROGATE = '{"text": "caf\\ud83d"}'


@pytest.mark.parametrize(
    "line",
    [
        "plain",
        "[MASK] lives in [MASK]",
        "[1] Smith et al.",
        "[[wiki]] link",
        '"quoted"',
        "12",
        "null",
        "",
        "[",
        "[1, 2",
        "\ud83d",
    ],
)
def test_lines_that_are_text(line: str) -> None:
    assert parse_object(line, "auto") is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "nice film"', "broken JSON .*: line 1 column 21"),
        ("{'text': 'nice film'}", "broken JSON"),
        ("{", "broken JSON"),
        ("  {ana", "broken JSON .*--format text$"),
        ('{"text": "a"} {"text": "b"}', "broken JSON"),
        ('{"text": "a"},', "broken JSON"),
        ('["a", "b"', "broken JSON"),
        ('[{"text": "a"}', "broken JSON"),
        (SURROGATE, "broken JSON"),
        ('{"text": NaN}', "broken JSON"),
        ('{"text": "tab\there"}', "broken JSON"),
        ('{"text": "a", "text": "b"}', "the key 'text' comes twice"),
        ('["a"]', "expected a JSON object, got a JSON list"),
        ("[1, 2]", "expected a JSON object, got a JSON list"),
        ("[]", "got a JSON list"),
        ('[{"text": "a"}]', "got a JSON list"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "broken JSON"),
    ],
)
def test_broken_or_other_json_is_refused(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        parse_object(line, "auto")
    assert "\n" not in str(error.value)
    assert parse_object(line, "text") is None


@pytest.mark.parametrize("line", ["plain", "12", "null", '"text"', "[MASK]"])
def test_with_jsonl_each_line_is_an_object(line: str) -> None:
    with pytest.raises(ValueError, match=r"broken JSON|expected a JSON object, got") as error:
        parse_object(line, "jsonl")
    assert "--format" not in str(error.value)


def test_line_ends_and_byte_order_mark_are_removed() -> None:
    content = (
        b"\xef\xbb\xbfone\r\ntwo\rthree\n\nfour \xc2\x85\xe2\x80\xa8 \x0b\x1c\n\xef\xbb\xbflast"
    )
    lines = content.splitlines(keepends=True)
    assert list(numbered(lines)) == [
        (1, b"one"),
        (2, b"two"),
        (3, b"three"),
        (4, b""),
        (5, b"four \xc2\x85\xe2\x80\xa8 \x0b\x1c"),
        (6, b"\xef\xbb\xbflast"),
    ]
    assert list(numbered([b"one\r\n", b"a\rb\n"])) == [(1, b"one"), (2, b"a"), (3, b"b")]


def echo(format: Format, *lines: bytes) -> list[Any]:
    """Return the parsed inputs that `predict` passes to a model."""
    head = replace(
        HEADS["text-classification"],
        answer=lambda loaded, examples: [each.model_dump(exclude_none=True) for each in examples],
        check=lambda loaded, example: None,
    )
    with pytest.MonkeyPatch.context() as patch:
        heads: Mapping[str, Any] = {"text-classification": head}
        patch.setattr("electra_pipeline.serving.predict.HEADS", heads)
        predictor = Predictor("echo", "text-classification", cast(Any, None))
        return list(predict(predictor, lines, format))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "a"', r"^line 3: broken JSON \(.* line 1 column 13 .*\); give one object"),
        (b"caf\xe9", r"^line 3: byte 4: not valid utf-8 \(.*\); convert it first, as iconv does$"),
        (b'{"text": "caf\xe9"}', "^line 3: byte 14: not valid utf-8"),
        (b"\xff\xfea\x00", "^line 3: byte 1: not valid utf-8"),
        (b"\xed\xa0\xbd", "^line 3: byte 1: not valid utf-8"),
        (b'{"txt": "a"}', "^line 3: text: Field required"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "^line 3: "),
        (b'{"text": "a", "b\\nc%s": 1}' % (b"x" * 999), "^line 3: b cx{57}: Extra inputs"),
        (b"[]", "^line 3: invalid: expected a JSON object"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_errors_name_the_line(line: bytes, problem: str, end: bytes) -> None:
    with pytest.raises(ValueError, match=problem):
        echo("auto", b"one" + end, end, line + end, b"{" + end)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
LINES = st.one_of(
    st.binary(),
    st.text().map(lambda text: text.encode(errors="surrogatepass")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"text": st.text()}, optional={"text_pair": st.text() | st.none()}).map(
        orjson.dumps
    ),
    st.from_regex(rb'\s*[\[{]\s*["{\[\]]?.*', fullmatch=True),
)


@given(st.lists(LINES, max_size=6), st.sampled_from(["auto", "text", "jsonl"]))
@example([b"\r", b"\n\n", b""], "auto")
@settings(deadline=None, max_examples=400)
def test_any_bytes_give_one_prediction_a_line_or_one_error(
    lines: list[bytes], format: Format
) -> None:
    """One output for each input line; or an error that names a line that there is."""
    content = b"\n".join(lines)
    number = len(content.splitlines())
    try:
        found = echo(format, *content.splitlines(keepends=True))
    except ValueError as error:
        place, _, message = str(error).partition(": ")
        assert place.startswith("line ") and 1 <= int(place.removeprefix("line ")) <= number
        assert message and "\n" not in message
        return
    assert len(found) == number
    for index, (line, answer) in enumerate(zip(content.splitlines(), found, strict=True)):
        text = line.removeprefix(b"\xef\xbb\xbf" if index == 0 else b"").decode()
        if answer is None:
            assert not text.strip()
        elif format == "text" or parse_object(text, format) is None:
            assert answer == TextOrPair.from_line(text).model_dump(exclude_none=True)
        else:
            value = json.loads(text)
            assert answer == {k: v for k, v in value.items() if v is not None}


@given(st.dictionaries(st.text(), st.text()))
def test_strict_json_reads_what_orjson_writes(value: dict[str, str]) -> None:
    assert strict_json(orjson.dumps(value)) == value


@pytest.mark.integration
def test_command_names_the_line_and_exits_with_2(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pieces = (*SPECIAL_TOKENS, "ana", "lives")
    shape = ElectraConfig(
        vocab_size=len(pieces),
        embedding_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
    )
    ElectraForSequenceClassification(shape).save_pretrained(tmp_path)
    train.save(train.assemble(pieces, TokenizerConfig()), tmp_path)

    def command(stdin: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "electra_pipeline.cli", "predict", str(tmp_path), *options],
            input=stdin,
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            timeout=300,
        )

    text = "caf\u00e9 \u6771\u4eac".encode()
    broken = command(b"\xef\xbb\xbf" + text + b"\r\n\r\n" + b'{"text": "ana"\n', "--format", "auto")
    assert broken.returncode == 2
    first, second = broken.stdout.splitlines()
    assert orjson.loads(first)["text"].encode() == text
    assert second == b"null"
    [line] = [each for each in broken.stderr.splitlines() if each.startswith(b"error: ")]
    assert line.startswith(b"error: line 3: broken JSON")
    as_text = command(b'{"text": "ana"\n', "--format", "text")
    assert as_text.returncode == 0
    assert orjson.loads(as_text.stdout)["text"] == '{"text": "ana"'
