"""Compare the recipes `google` and `clean` on the same amount of text, with several seeds each.

`google` is the published code: A/B pairs, masks with replacement. `clean` packs all of the text and
masks without replacement. The rest of the configuration is equal.

Equal text: a row of `clean` contains more text than one of `google`, so `clean` takes fewer steps:
both see the same number of tokens, not counting [CLS], [SEP] and padding. Warm-up is shortened in
proportion.

Equal evaluation: the recipes' own held-out metrics are not comparable, because rows, masks and the
rate of replaced tokens differ. Here all models read the same held-out text, masked at the same
positions by a rule of its own (15 % of the tokens without [CLS] and [SEP], each once, all masked),
with the same random numbers, in plain transformers. This is done twice: for the A/B pairs that
`google` trains on, and for the subsequences, one per sequence, that `clean` packs. A discriminator
evaluated on its own generator has a harder task if that generator is better; so it is also
evaluated on the samples of the first `google` generator, which are the same for all.

    python benchmarks/recipes.py --seeds 3 --set pretrain.steps=2400
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Worker
from electra_pipeline.core.transformers_logging import quiet_transformers
from electra_pipeline.finetuning.rows import trial_rows
from electra_pipeline.pretraining.sequence_shards import SequenceReader
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.results.aggregation import aggregate
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import HELD_OUT_PREFIX
from electra_pipeline.workflows import evaluate

RECIPES = {
    "google": ["pretrain.recipe=google", "sequences.layout=google"],
    "clean": ["pretrain.recipe=clean", "sequences.layout=packed"],
}
MASK_FRACTION = 0.15
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class HeldOut:
    """Held-out sequences with their masks; all (rows, length)."""

    ids: torch.Tensor
    present: torch.Tensor
    segments: torch.Tensor
    masked: torch.Tensor
    uniforms: torch.Tensor
    """In [0, 1): random numbers for the replacements."""


def pairs(sequences: Artifact) -> Iterator[tuple[list[int], int]]:
    """Held-out rows of layout google: ids and the start of segment B."""
    reader = SequenceReader(sequences, HELD_OUT_PREFIX)
    ids, lengths, segment_b = reader.rows(np.arange(len(reader)))
    for row, length, start in zip(ids, lengths, segment_b, strict=True):
        yield row[:length].tolist(), int(start)


def subsequences(sequences: Artifact, cls: int) -> Iterator[tuple[list[int], int]]:
    """Held-out subsequences of layout packed, each with its [CLS] and [SEP]."""
    for row, length in pairs(sequences):
        starts = [position for position, identifier in enumerate(row) if identifier == cls]
        for start, stop in itertools.pairwise([*starts, length]):
            yield row[start:stop], stop - start


def prepare(
    rows: Sequence[tuple[list[int], int]], special: Sequence[int], length: int, seed: int = 0
) -> list[HeldOut]:
    """Batches with their masks and noise, the same in every call."""
    random = np.random.default_rng(seed)
    prepared = []
    for first in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[first : first + ROWS_AT_ONCE]
        ids = np.zeros((len(chunk), length), dtype=np.int64)  # [PAD] is 0 in ELECTRA's order
        segments, masked = np.zeros_like(ids), np.zeros(ids.shape, dtype=bool)
        for index, (row, start) in enumerate(chunk):
            ids[index, : len(row)] = row
            segments[index, start : len(row)] = 1
            positions = np.flatnonzero(~np.isin(row, special))
            chosen = random.choice(
                positions, max(1, round(MASK_FRACTION * len(positions))), replace=False
            )
            masked[index, chosen] = True
        lengths = np.array([len(row) for row, _ in chunk])
        present = np.arange(length) < lengths[:, None]
        uniforms = random.random(ids.shape, dtype=np.float32)
        prepared.append(
            HeldOut(*(torch.from_numpy(a) for a in (ids, present, segments, masked, uniforms)))
        )
    return prepared


@torch.no_grad()
def sample(
    model: Artifact, batches: Sequence[HeldOut], mask: int, device: torch.device
) -> tuple[list[torch.Tensor], float]:
    """Return the texts with the generator's samples at masked positions, and its loss."""
    generator = transformers.ElectraForMaskedLM.from_pretrained(model.local_folder("generator"))
    generator.to(device).eval()
    sampled_texts, losses = [], []
    for batch in batches:
        ids, masked = batch.ids.to(device), batch.masked.to(device)
        logits = generator(
            input_ids=ids.masked_fill(masked, mask),
            attention_mask=batch.present.to(device),
            token_type_ids=batch.segments.to(device),
        ).logits[masked]
        losses.append(F.cross_entropy(logits, ids[masked], reduction="none").cpu())
        cumulative = torch.softmax(logits, dim=-1).cumsum(dim=-1)
        thresholds = batch.uniforms.to(device)[masked][:, None] * cumulative[:, -1:]
        sampled = torch.searchsorted(cumulative, thresholds, right=True).squeeze(-1)
        ids = ids.masked_scatter(masked, sampled.clamp(max=logits.shape[-1] - 1))
        sampled_texts.append(ids.cpu())
    return sampled_texts, float(torch.cat(losses).mean())


@torch.no_grad()
def detect(
    model: Artifact,
    batches: Sequence[HeldOut],
    texts: Sequence[torch.Tensor],
    device: torch.device,
) -> tuple[float, float]:
    """Return the discriminator's gain in loss over a constant prediction, and its AUC."""
    folder = model.local_folder("discriminator")
    discriminator = transformers.ElectraForPreTraining.from_pretrained(folder)
    discriminator.to(device).eval()
    logits, replaced = [], []
    for batch, ids in zip(batches, texts, strict=True):
        outputs = discriminator(
            input_ids=ids.to(device),
            attention_mask=batch.present.to(device),
            token_type_ids=batch.segments.to(device),
        ).logits.cpu()
        logits.append(outputs[batch.present])
        replaced.append((ids != batch.ids)[batch.present])
    scores, labels = torch.cat(logits), torch.cat(replaced).float()
    rate = labels.mean()
    prior = F.binary_cross_entropy(rate, rate)
    loss = F.binary_cross_entropy_with_logits(scores, labels)
    return float(prior - loss), float(roc_auc_score(labels.numpy(), scores.numpy()))


def text_per_sequence(sequences: Artifact) -> float:
    """Tokens of text in a training sequence, on average: no padding, no [CLS], no [SEP]."""
    counters = sequences.counters["train"]
    if "pieces" in counters:  # subsequences
        num_special = 2 * counters["pieces"]
    else:
        num_special = 3 * counters["sequences"] - counters["single_segment"]
    return float((counters["tokens"] - num_special) / counters["sequences"])


def configured(arguments: argparse.Namespace, recipe: str, seed: int) -> PipelineConfig:
    overrides = [
        f"name={recipe}",
        f"pretrain.seed={seed}",
        "scale.workers=1",
        "finetune.baselines=[]",
        f"finetune.seeds={list(range(arguments.finetune_seeds))}",
    ]
    return configuration.load(
        preset=None if arguments.config else arguments.preset,
        file=arguments.config,
        root=arguments.root,
        overrides=[*overrides, *arguments.set, *RECIPES[recipe]],
    )


def with_steps(config: PipelineConfig, factor: float) -> PipelineConfig:
    """Return the configuration with `factor` times the steps, evaluated at the end only."""
    steps = round(config.pretrain.steps * factor)
    changed = {
        "steps": steps,
        "warmup_steps": round(config.pretrain.warmup_steps * factor),
        "evaluate_every_steps": steps,
    }
    return config.model_copy(update={"pretrain": config.pretrain.model_copy(update=changed)})


def finetuned(
    config: PipelineConfig, model: Artifact, tokenizer: Artifact, corpus: Artifact
) -> dict[str, float]:
    """The median over the fine-tuning seeds of each task's metrics."""
    context = config.context()
    made = {"corpus": corpus, "tokenizer": tokenizer, "pretrain": model}
    published = stages.run_stage("publish", config, context, made)
    trials = evaluate.plan_trials(config, published)
    done = []
    for outcome in evaluate.run_trials(config, trials, context):
        if outcome.error is not None:
            raise outcome.error
        done.append(outcome.value)
    rows = [row for trial in done for row in trial_rows(trial) if row["model"] == "pretrained"]
    return {
        f"{line['task']}, {line['metric'].replace('_', ' ')}": line["median"]
        for line in aggregate(rows)
    }


def summary(values: Sequence[float]) -> str:
    """The median with the lowest and the highest value."""
    return f"{statistics.median(values):.4g} [{min(values):.4g}, {max(values):.4g}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--config", help="a YAML file instead of a preset")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--root", default="./runs/recipes", help="finished artifacts are reused")
    parser.add_argument("--seeds", type=int, default=3, help="pre-trainings of each recipe")
    parser.add_argument(
        "--finetune-seeds", type=int, default=3, help="of each; the median is reported"
    )
    arguments = parser.parse_args()
    device = Worker().device

    configs = {recipe: configured(arguments, recipe, 0) for recipe in RECIPES}
    google = configs["google"]
    made = stages.run_until("tokenizer", google, google.context())
    corpus, tokenizer = made["corpus"], made["tokenizer"]
    sequences = {
        recipe: stages.run_stage("sequences", config, config.context(), made)
        for recipe, config in configs.items()
    }
    text = {recipe: text_per_sequence(artifact) for recipe, artifact in sequences.items()}
    steps = {r: with_steps(configs[r], text["google"] / text[r]).pretrain.steps for r in RECIPES}

    vocabulary = load_vocabulary(tokenizer)
    special = [vocabulary.id_of(token) for token in ("[CLS]", "[SEP]")]
    rows = {
        "A/B pairs": pairs(sequences["google"]),
        "subsequences": subsequences(sequences["clean"], special[0]),
    }
    held_out = {
        kind: prepare(
            list(itertools.islice(found, google.pretrain.held_out_sequences)),
            special,
            google.sequences.length,
        )
        for kind, found in rows.items()
    }

    table: dict[str, dict[str, list[float]]] = {}
    common: dict[str, list[torch.Tensor]] = {}  # samples of the first google generator
    mask = vocabulary.id_of("[MASK]")
    for seed, recipe in itertools.product(range(arguments.seeds), RECIPES):
        config = with_steps(configured(arguments, recipe, seed), text["google"] / text[recipe])
        inputs = {"tokenizer": tokenizer, "sequences": sequences[recipe]}
        model = stages.run_stage("pretrain", config, config.context(), inputs)
        measured = {"pre-training, seconds": float(model.observed["training_seconds"])}
        with quiet_transformers():
            for kind, batches in held_out.items():
                sampled, measured[f"generator loss, {kind}"] = sample(model, batches, mask, device)
                common.setdefault(kind, sampled)
                for whose, ids in (("own", sampled), ("common", common[kind])):
                    gain, auc = detect(model, batches, ids, device)
                    measured[f"discriminator loss below the prior, {whose}, {kind}"] = gain
                    measured[f"discriminator AUC, {whose}, {kind}"] = auc
        measured |= finetuned(config, model, tokenizer, corpus)
        print(f"{recipe}, seed {seed}: {measured}", file=sys.stderr, flush=True)
        for name, value in measured.items():
            table.setdefault(name, {r: [] for r in RECIPES})[recipe].append(value)

    seen = google.pretrain.steps * google.pretrain.batch_sequences * text["google"]
    print(
        f"electra-{google.pretrain.size}, length {google.sequences.length}, batch "
        f"{google.pretrain.batch_sequences}, {seen:,.0f} tokens of text seen in "
        + " and ".join(f"{steps[recipe]:,} steps ({recipe})" for recipe in RECIPES)
        + f", {arguments.seeds} seeds, {device.type}, torch {torch.__version__}\n"
    )
    print("| measure | google | clean | clean - google, seed by seed |\n|---|---|---|---|")
    for name, values in table.items():
        differences = [b - a for a, b in zip(values["google"], values["clean"], strict=True)]
        cells = [summary(values["google"]), summary(values["clean"]), summary(differences)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
