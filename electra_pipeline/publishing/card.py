"""The model card (README.md) of a published model: a pure function of the manifests."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import jinja2
import yaml

from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.storage.artifact import Artifact

Kind = Literal["discriminator", "generator"]
KINDS: tuple[Kind, ...] = ("discriminator", "generator")


@dataclass(frozen=True)
class Card:
    """The content of a card."""

    kind: Kind
    title: str
    hub_name: str | None
    license: str | None
    languages: tuple[str, ...]
    example: str
    shape: Mapping[str, Any]
    """The model's config.json."""
    pretrained: Artifact
    tokenizer: Artifact
    corpus: Artifact

    @property
    def model_name(self) -> str:
        """The argument of `from_pretrained` in the snippets."""
        return f"{self.hub_name}-{self.kind}" if self.hub_name else self.kind


def render(card: Card) -> str:
    """Return the card as Markdown, with the YAML front matter of the Hugging Face hub."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    # a JSON string is a Python literal too, in the quotes that formatters prefer
    environment.filters["literal"] = lambda text: json.dumps(text, ensure_ascii=False)
    template = resources.files(__package__).joinpath("card.md.jinja").read_text(encoding="utf-8")
    held_out = card.pretrained.counters["held_out"]
    return environment.from_string(template).render(
        card=card,
        front_matter=front_matter(card),
        metrics=held_out_metrics(card.kind, held_out, card.shape["vocab_size"]),
        verdict=no_better_than_prior(held_out),
        settings={
            key: value
            for key, value in sorted(card.pretrained.config.items())
            if isinstance(value, str | int | float)
        },
    )


def front_matter(card: Card) -> str:
    """Return the metadata of the hub's model card specification, without the `---` lines."""
    metadata: dict[str, Any] = {
        "language": list(card.languages),
        "license": card.license,
        "library_name": "transformers",
        "tags": ["electra", f"electra-{card.kind}"],
        "pipeline_tag": "fill-mask" if card.kind == "generator" else None,
    }
    present = {key: value for key, value in metadata.items() if value}
    return yaml.safe_dump(present, allow_unicode=True, sort_keys=False).strip()


@dataclass(frozen=True)
class Metric:
    """One row of the card's table: a held-out metric and its value for a trivial baseline."""

    name: str
    value: float
    baseline: float | None
    prediction: str
    """Prediction of the baseline."""


def held_out_metrics(kind: Kind, held_out: Mapping[str, float], vocab_size: int) -> list[Metric]:
    """Return the held-out metrics of one model; those that were not measured are left out."""
    if kind == "generator":
        baselines: dict[str, tuple[float | None, str]] = {
            "generator_loss": (math.log(vocab_size), "all tokens equally likely"),
            "generator_accuracy": (None, ""),
            "sampled_accuracy": (None, ""),
        }
    else:
        baselines = {
            "discriminator_loss": (held_out.get("prior_entropy"), "rate of replaced tokens"),
            "discriminator_accuracy": (held_out.get("base_rate_accuracy"), "all original"),
            "discriminator_auc": (0.5, "at random"),
            "discriminator_precision": (None, ""),
            "discriminator_recall": (None, ""),
        }
    return [
        Metric(name.replace("_", " "), held_out[name], baseline, prediction)
        for name, (baseline, prediction) in baselines.items()
        if name in held_out
    ]
