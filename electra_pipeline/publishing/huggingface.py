"""The publishing stage: weights, tokenizer and card in directories that transformers loads."""

import shutil
from typing import Any

import orjson
from pydantic import Field

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.identity import Config
from electra_pipeline.publishing.card import KINDS, Card, Kind, render
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.models import MODEL_FORMATS

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
            card = Card(
                kind=kind,
                title=str(identity.title),
                hub_name=config.hub_name,
                license=config.license,
                languages=config.languages or corpus_languages(corpus),
                example=config.example,
                shape=shape,
                pretrained=pretrained,
                tokenizer=tokenizer,
                corpus=corpus,
            )
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
            data = _limit_length(data, max_positions)
        draft.folder.write_bytes(target, data)


def _limit_length(tokenizer_config: bytes, max_positions: int) -> bytes:
    """Limit the length to which the tokenizer truncates to the positions of the model."""
    values: dict[str, Any] = orjson.loads(tokenizer_config)
    values["model_max_length"] = min(values["model_max_length"], max_positions)
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(values, option=options)
