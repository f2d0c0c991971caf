"""The publishing stage: weights, tokenizer and card in directories that transformers loads."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import orjson
import yaml
from pydantic import Field

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import Config
from electra_pipeline.core.prior_baseline import no_better_than_prior
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.models import MODEL_FORMATS

Kind = Literal["discriminator", "generator"]
KINDS: tuple[Kind, ...] = ("discriminator", "generator")

STAGE = "publish"
FORMAT_VERSION = MODEL_FORMATS[STAGE]


class PublishConfig(Config):
    """Values of the model cards that the artifacts do not contain."""

    title: str | None = None
    """Heading of the cards; null takes the run's name."""
    hub_name: str | None = Field(default=None, pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")
    """Name on the hub to which the models will be uploaded, without the ending -discriminator or
    -generator: user/es-small. The cards' snippets use it; with null they use local directories."""
    license: str | None = None
    """Licence identifier of the weights on the Hugging Face hub: apache-2.0, cc-by-sa-4.0, other.
    null is shown as unknown."""
    languages: tuple[str, ...] | None = None
    """ISO 639-1 codes; null takes those of the corpus."""
    example: str = Field(default="The quick brown fox jumps over the lazy dog", min_length=1)
    """A sentence in the model's language, for the cards' snippets."""


def publish(
    config: PublishConfig,
    pretrained: Artifact,
    tokenizer: Artifact,
    corpus: Artifact,
    context: StageContext,
) -> Artifact:
    """Return the artifact with `discriminator/` and `generator/`: config, weights, tokenizer, card.

    The files of the weights are equal to those of `pretrained`.

    Raises ValueError if the model was trained with another tokenizer.
    """
    trained_with = pretrained.manifest["inputs"].get("tokenizer")
    if trained_with != tokenizer.fingerprint:
        raise ValueError(
            f"{pretrained.folder} was trained with tokenizer {trained_with}, not with "
            f"{tokenizer.fingerprint} ({tokenizer.folder}); publish it with its own tokenizer"
        )
    identity = config.model_copy(update={"title": config.title or context.name})

    def write(draft: Draft) -> Written:
        for kind in KINDS:
            shape = pretrained.folder.read_json(f"{kind}/config.json")
            _copy_model(draft, kind, pretrained)
            _copy_tokenizer(draft, kind, tokenizer, shape["max_position_embeddings"])
            languages = config.languages or corpus_languages(corpus)
            card = Card(kind, identity, languages, shape, pretrained, tokenizer, corpus)
            draft.folder.write_bytes(f"{kind}/README.md", render(card).encode())
        counters = {key: pretrained.counters[key] for key in ("steps", "tokens_seen", "parameters")}
        return Written(counters=counters, observed={})

    return produce(
        root=context.root,
        stage=STAGE,
        name=context.name,
        format_version=FORMAT_VERSION,
        config=identity,
        inputs={
            "pretrained": pretrained.fingerprint,
            "tokenizer": tokenizer.fingerprint,
            "corpus": corpus.fingerprint,
        },
        write=write,
    )


def corpus_languages(corpus: Artifact) -> tuple[str, ...]:
    """Return the configured language of a corpus, else those of at least 1% of its documents."""
    if corpus.config.get("language"):
        return (corpus.config["language"],)
    counts: dict[str, int] = corpus.counters.get("languages", {})
    total = sum(counts.values())
    return tuple(sorted(code for code, count in counts.items() if count >= total / 100))


def _copy_model(draft: Draft, kind: Kind, pretrained: Artifact) -> None:
    for name in pretrained.file_names(f"{kind}/"):
        with pretrained.folder.open(name) as source, draft.create(name) as target:
            shutil.copyfileobj(source, target)


def _copy_tokenizer(draft: Draft, kind: Kind, tokenizer: Artifact, max_positions: int) -> None:
    for name in tokenizer.file_names("tokenizer/"):
        target = f"{kind}/{name.removeprefix('tokenizer/')}"
        data = tokenizer.folder.read_bytes(name)
        if name.endswith("/tokenizer_config.json"):
            values = orjson.loads(data)
            # truncation must not leave more tokens than the model has positions
            values["model_max_length"] = min(values["model_max_length"], max_positions)
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
            data = orjson.dumps(values, option=options)
        draft.folder.write_bytes(target, data)


@dataclass(frozen=True)
class Card:
    """The content of a model card (README.md): its values come from the manifests."""

    kind: Kind
    config: PublishConfig
    languages: tuple[str, ...]
    shape: Mapping[str, Any]
    """The model's config.json."""
    pretrained: Artifact
    tokenizer: Artifact
    corpus: Artifact

    @property
    def model_name(self) -> str:
        """The argument of `from_pretrained` in the snippets."""
        hub_name = self.config.hub_name
        return f"{hub_name}-{self.kind}" if hub_name else self.kind


def render(card: Card) -> str:
    """Return the card as Markdown, with the YAML front matter of the Hugging Face hub."""
    import jinja2  # no configuration needs it

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
        "license": card.config.license,
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
