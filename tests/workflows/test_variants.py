"""`--vary`: the variants of a configuration, their names, and invalid values."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from electra_pipeline.config import PipelineConfig
from electra_pipeline.workflows.variants import Variant, expand, parse, text_of, variant_name

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def given_config(**values: Any) -> dict[str, Any]:
    return {"name": "mine", "corpus": {"sources": [{"type": "files", "urls": ["a.txt"]}]}, **values}


def variants(*vary: str, **values: Any) -> list[Variant]:
    return expand(given_config(**values), "mine.yaml", vary)


def test_every_combination_is_a_configuration_of_its_own() -> None:
    found = variants(
        "pretrain.learning_rate=2e-4, 5e-4", "pretrain.seed=0,1,2", "sequences.length=64"
    )
    assert [(each.config.pretrain.learning_rate, each.config.pretrain.seed) for each in found] == [
        (rate, seed) for rate in (2e-4, 5e-4) for seed in (0, 1, 2)
    ]
    assert {each.config.sequences.length for each in found} == {64}
    assert found[1].name == "mine-learning_rate-0.0002-seed-1-length-64"
    assert found[1].label == "pretrain.learning_rate=0.0002, pretrain.seed=1, sequences.length=64"
    assert {each.shared.name for each in found} == {"mine"}


def test_a_variant_differs_only_in_the_varied_values() -> None:
    (variant,) = variants("pretrain.steps=7", scale={"workers": 4, "retries": 1})
    plain = PipelineConfig.model_validate(given_config(pretrain={"steps": 7}, scale={"retries": 1}))
    assert variant.shared == plain  # on one worker


def test_the_varied_configuration_is_not_changed() -> None:
    values = given_config(pretrain={"steps": 5})
    expand(values, "mine.yaml", ["pretrain.steps=6", "corpus.sources.0.text_column=body"])
    assert values == given_config(pretrain={"steps": 5})


def test_values_are_yaml_and_may_be_lists() -> None:
    assert parse("a.b=[0, 1],[2]") == ("a.b", [[0, 1], [2]])
    assert parse("a=5e-4,true,null,text,'a,b',{x: 1}") == (
        "a", [5e-4, True, None, "text", "a,b", {"x": 1}],
    )  # fmt: skip
    assert parse("a=x=y") == ("a", ["x=y"])
    first, second = variants(
        "finetune.seeds=[0, 1],[2]", finetune={"tasks": ["cola"], "data": "nowhere"}
    )
    assert first.config.finetune is not None and first.config.finetune.seeds == (0, 1)
    assert second.config.finetune is not None and second.config.finetune.seeds == (2,)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
PATHS = st.sampled_from(["a.b", "c.b", "x.learning_rate", "corpus.sources.0.text_column"])


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_any_yaml_flow_sequence_is_read_back(values: list[Any]) -> None:
    text = yaml.safe_dump(values, default_flow_style=True, width=10**6, allow_unicode=True)
    assert text.startswith("[")
    _, found = parse(f"a={text.strip()[1:-1]}")
    assert found == [
        float(value) if isinstance(value, str) and is_number(value) else value for value in values
    ]


def is_number(text: str) -> bool:
    try:
        return text[:1] in "+-.0123456789" and float(text) is not None
    except ValueError:
        return False


@given(st.dictionaries(PATHS, VALUES, min_size=1), st.dictionaries(PATHS, VALUES, min_size=1))
def test_names_can_be_folders_and_differ_where_the_text_of_a_value_does(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    name = variant_name("mine", one)
    assert NAME.fullmatch(name)
    assert len(name) < 120
    assert name == variant_name("mine", dict(one))
    told = [list(map(text_of, values.values())) for values in (one, other)]
    if list(one) == list(other) and told[0] != told[1]:
        assert name != variant_name("mine", other)


def test_keys_with_equal_last_parts_are_distinguished() -> None:
    (variant,) = variants(
        "pretrain.learning_rate=1e-3", "finetune.learning_rate=1e-4",
        finetune={"tasks": ["cola"], "data": "nowhere"},
    )  # fmt: skip
    assert variant.name == "mine-pretrain.learning_rate-0.001-finetune.learning_rate-0.0001"


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        (["pretrain.stepz=1,2"], r"variant pretrain\.stepz=1: pretrain\.stepz: unknown key; did"),
        (["pretrain.steps=5,many"], r"mine\.yaml, variant pretrain\.steps=many: .*got 'many'"),
        (["pretrain.steps"], r"--vary pretrain\.steps: expected PATH=V1,V2"),
        (["pretrain.steps="], r"--vary pretrain\.steps=: expected PATH=V1,V2"),
        (["=1"], "expected PATH=V1,V2"),
        (["pretrain.steps=[1"], "not valid YAML"),
        (["pretrain.steps=1], [2"], "not valid YAML"),
        (["pretrain.steps=1,2", "pretrain.steps=3"], r"pretrain\.steps: given 2 times"),
        (["pretrain.steps=1,2,1"], r"duplicate variant pretrain\.steps=1"),
        (["scale.workers=1,2"], r"scale is the same for the whole sweep"),
        (["name=a,b"], "name is the same for the whole sweep"),
        (["corpus.sources.3.type=files"], "--vary corpus.sources.3.type: '3' is not an index"),
    ],
)
def test_mistakes_are_reported_in_one_line(vary: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        variants(*vary)
    assert "\n" not in str(caught.value)


def test_a_configuration_without_a_name_is_refused() -> None:
    values = given_config()
    del values["name"]
    with pytest.raises(ValueError, match="name: missing"):
        expand(values, "mine.yaml", ["pretrain.seed=0"])
