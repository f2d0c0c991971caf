"""Tokens/s of pre-training: this pipeline against the plain transformers loop of the tutorials.

The peer runs the same model on the same text: dynamic padding to the batch, a Bernoulli mask with
80/10/10 corruption (DataCollatorForLanguageModeling), the LM head over all positions, multinomial
sampling, both losses as means, torch.optim.AdamW. It runs twice: on the same sequences as this
pipeline in the published layout, and on lines of text, one per row, as the tutorials of run_mlm
(--line_by_line) and LineByLineTextDataset prepare them. electra-pytorch, if it is installed
(`pip install --no-deps electra-pytorch==0.1.2`; its own pins are of 2020), runs its objective on
the same two modules and the same sequences. "ours" is the step of `electra-pipeline pretrain`, on
packed rows and on the published layout, in the type that `scale.precision` gives. On CPUs the
others compute in float32, as their authors run them. All train from the same weights, by turns, in
this process; padding is not counted as tokens.

The fraction of the machine's own rate is printed, too: floating-point operations of the matrix
products (three times those of the forward pass: 2 x weights x tokens, and attention's 4 x length x
width per token and layer; no optimizer, no softmax) over the rate of torch.mm on the shapes of the
model's linear layers, measured in the same rounds.

    python benchmarks/pretraining.py --size small --length 128 --batch 32 --rounds 5
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    get_linear_schedule_with_warmup,
)

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.core.memory import keep_freed_memory
from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
from electra_pipeline.core.precision import dtype_name, matrix_dtype
from electra_pipeline.core.schedule import learning_rate
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.kernels import kernels
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking, SpecialIds, num_slots
from electra_pipeline.pretraining.sequence_shards import SequenceReader
from electra_pipeline.pretraining.sizes import SIZES
from electra_pipeline.pretraining.step import Step
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.storage.shards import TRAIN_PREFIX, open_shard

MASK_FRACTION = 0.15
TOTAL_STEPS = 10_000

Run = Callable[[int], int]
"""Takes the step of a number and returns its number of tokens without padding."""
Examples = Callable[[int], list[list[int]]]
"""Ids of the examples of a step, without padding."""


def ours(model: Electra, source: BatchSource, device: torch.device, scale: Scale) -> Run:
    """Return the step of `electra_pipeline.pretraining.loop`."""
    step = Step(Worker(num_threads=torch.get_num_threads()), PretrainConfig(), scale)
    optimizer = Adam(parameter_groups(model, 0.01))
    batches = source.batches(0, TOTAL_STEPS)
    model.train()

    def run(index: int) -> int:
        batch = next(batches)
        step.backward(model, batch.to(device))
        clip_gradients(model.parameters(), 1.0)
        optimizer.set_learning_rate(learning_rate(index, 5e-4, TOTAL_STEPS, 100))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return batch.num_tokens

    return run


def plain(
    model: Electra, examples: Examples, tokenizer: PreTrainedTokenizerFast, device: torch.device
) -> Run:
    """Return the step of the tutorials' loop on the same two modules."""
    generator, discriminator = model.generator, model.discriminator
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASK_FRACTION)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, eps=1e-6, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, 100, TOTAL_STEPS)
    model.train()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    def run(index: int) -> int:
        rows = examples(index)
        inputs = collator([{"input_ids": ids} for ids in rows]).to(device)
        original = torch.where(inputs["labels"] >= 0, inputs["labels"], inputs["input_ids"])
        mask = inputs["attention_mask"]
        with autocast:
            masked_lm = generator(
                input_ids=inputs["input_ids"], attention_mask=mask, labels=inputs["labels"]
            )
            with torch.no_grad():
                chosen = inputs["labels"] >= 0
                probabilities = torch.softmax(masked_lm.logits[chosen].float(), dim=-1)
                sampled = torch.multinomial(probabilities, 1).squeeze(-1)
                corrupted = original.clone()
                corrupted[chosen] = sampled
                replaced = (corrupted != original).long()
            detection = discriminator(input_ids=corrupted, attention_mask=mask, labels=replaced)
            loss = masked_lm.loss + 50 * detection.loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return sum(len(ids) for ids in rows)

    return run


class _Logits(nn.Module):
    """A transformers model with the interface of electra-pytorch: ids in, logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=ids, attention_mask=attention_mask).logits
        return logits


def electra_pytorch(
    model: Electra, examples: Examples, special: SpecialIds, device: torch.device
) -> Run:
    """Return the step of electra-pytorch from PyPI, as in its README."""
    from electra_pytorch import Electra as Peer

    trainer = Peer(
        _Logits(model.generator),
        _Logits(model.discriminator),
        mask_token_id=special.mask,
        pad_token_id=special.pad,
        mask_ignore_token_ids=[special.cls, special.sep],
    ).to(device)
    optimizer = torch.optim.AdamW(trainer.parameters(), lr=5e-4, eps=1e-6, weight_decay=0.01)
    trainer.train()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    def run(index: int) -> int:
        rows = [torch.tensor(ids) for ids in examples(index)]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=special.pad)
        ids = ids.to(device)
        with autocast:
            results = trainer(ids, attention_mask=ids != special.pad)
        results.loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return sum(len(row) for row in rows)

    return run


def same_sequences(source: BatchSource) -> Examples:
    """Return the sequences of this pipeline in the published layout, without padding."""

    def examples(index: int) -> list[list[int]]:
        batch = source.batch(index)
        lengths = batch.lengths.tolist()
        return [ids[:length].tolist() for ids, length in zip(batch.input_ids, lengths, strict=True)]

    return examples


def one_line_a_row(
    corpus: Artifact, tokenizer: PreTrainedTokenizerFast, length: int, batch: int
) -> Examples:
    """Return shuffled lines of the corpus, truncated to `length`, as in the tutorials."""
    texts = [
        line
        for name in corpus.file_names(TRAIN_PREFIX)
        for text in open_shard(corpus.local_file(name)).read_all().column("text").to_pylist()
        for line in text.splitlines()
        if line.strip()
    ]
    np.random.default_rng(0).shuffle(texts)

    def rows() -> Iterator[list[int]]:
        for text in cycle(texts):
            yield tokenizer(text, truncation=True, max_length=length)["input_ids"]

    endless = rows()
    return lambda index: [next(endless) for _ in range(batch)]


@dataclass(frozen=True)
class Products:
    """Matrix products of one step of this pipeline: (rows, width in, width out, number)."""

    shapes: list[tuple[int, int, int, int]]
    attention_operations: int

    @property
    def operations(self) -> int:
        """Operations of forward and backward pass; the latter has two products for each."""
        forward = sum(2 * n * k * m * count for n, k, m, count in self.shapes)
        return 3 * (forward + self.attention_operations)


def products_of(model: Electra, batch: int, length: int) -> Products:
    """Return the products of all linear layers at the positions where they are computed."""
    tokens = batch * length
    shapes: dict[tuple[int, int, int], int] = {}
    attention = 0
    for part in (model.generator, model.discriminator):
        config = part.config
        attention += 4 * tokens * length * config.hidden_size * config.num_hidden_layers
        for name, module in part.named_modules():
            if isinstance(module, nn.Linear):
                head = name.startswith(("generator_predictions", "generator_lm_head"))
                rows = batch * model.masking.num_slots if head else tokens
                shape = (rows, module.in_features, module.out_features)
                shapes[shape] = shapes.get(shape, 0) + 1
    return Products([(*shape, count) for shape, count in shapes.items()], attention)


def seconds_of_products(products: Products, device: torch.device, dtype: torch.dtype) -> float:
    """Return the time of torch.mm for the linear layers of one step, forward and backward."""
    seconds = 0.0
    for rows, width_in, width_out, count in products.shapes:
        inputs = torch.randn(rows, width_in, device=device, dtype=dtype)
        weight = torch.randn(width_out, width_in, device=device, dtype=dtype)
        outputs = torch.randn(rows, width_out, device=device, dtype=dtype)

        def three(inputs: Tensor = inputs, weight: Tensor = weight, out: Tensor = outputs) -> None:
            torch.mm(inputs, weight.T)
            torch.mm(out, weight)
            torch.mm(out.T, inputs)

        three()
        synchronise(device)
        started = time.perf_counter()
        three()
        synchronise(device)
        seconds += count * (time.perf_counter() - started)
    return seconds


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quickstart", help="preset whose corpus is read")
    parser.add_argument("--config", help="YAML file whose corpus is read instead")
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--vocab-size", type=int, default=30_522)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="steps of each per round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="use scale.compile")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as a training does; the peers gain from it, too
    device = Worker().device
    scale = Scale(precision=arguments.precision, compile=arguments.compile or None)
    dtype = matrix_dtype(scale.precision, device)
    length, batch = arguments.length, arguments.batch

    with tempfile.TemporaryDirectory() as root:

        def load(layout: str) -> configuration.PipelineConfig:
            return configuration.load(
                preset=None if arguments.config else arguments.preset,
                file=arguments.config,
                root=root,
                overrides=[
                    f"tokenizer.vocab_size={arguments.vocab_size}",
                    f"sequences.length={length}",
                    f"sequences.layout={layout}",
                    "finetune=null",
                ],
            )

        chosen = load("google")
        made = stages.run_until("tokenizer", chosen, chosen.context())
        corpus, tokenizer = made["corpus"], made["tokenizer"]
        vocabulary = load_vocabulary(tokenizer)
        special = SpecialIds(*(vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
        masking = Masking(MASK_FRACTION, num_slots(length, MASK_FRACTION), False, special)
        loaded = PreTrainedTokenizerFast.from_pretrained(tokenizer.local_folder("tokenizer"))
        padding, sources = {}, {}
        for layout in ("google", "packed"):
            chosen = load(layout)
            sequences = stages.run_stage("sequences", chosen, chosen.context(), made)
            padding[layout] = sequences.counters["train"]["padding_fraction"]
            sources[layout] = BatchSource(SequenceReader(sequences), 0, batch, masking)

        def model() -> Electra:
            shape, using = SIZES[arguments.size], kernels(device, scale)
            return Electra(shape, vocabulary.size, masking, 0, kernels=using).to(device)

        by_line = one_line_a_row(corpus, loaded, length, batch)
        runs = {
            "ours, packed": ours(model(), sources["packed"], device, scale),
            "ours, published layout": ours(model(), sources["google"], device, scale),
            "plain, same sequences": plain(
                model(), same_sequences(sources["google"]), loaded, device
            ),
            "plain, line by line": plain(model(), by_line, loaded, device),
        }
        if importlib.util.find_spec("electra_pytorch"):
            runs["electra-pytorch"] = electra_pytorch(
                model(), same_sequences(sources["google"]), special, device
            )
        else:
            print("electra-pytorch is not installed and not measured")
        products = products_of(model(), batch, length)
        rates: dict[str, list[float]] = {name: [] for name in runs}
        shares = []
        for round_number in range(arguments.rounds + 1):
            elapsed = {}
            for name, run in runs.items():
                num_tokens = 0
                started = time.perf_counter()
                for index in range(arguments.steps):
                    num_tokens += run(round_number * arguments.steps + index)
                synchronise(device)
                elapsed[name] = time.perf_counter() - started
                if round_number > 0:  # the first round warms up
                    rates[name].append(num_tokens / elapsed[name])
            if device.type == "cpu" and round_number > 0:
                linear = products.operations - 3 * products.attention_operations
                machine = linear / seconds_of_products(products, device, dtype)
                achieved = products.operations * arguments.steps / elapsed["ours, packed"]
                shares.append(achieved / machine)

    print(
        f"electra-{arguments.size}, length {length}, batch {batch}, vocabulary {vocabulary.size}, "
        f"padding {padding['google']:.1%} published and {padding['packed']:.1%} packed, "
        f"{device.type}, {arguments.threads} threads, compiled {arguments.compile}, "
        f"{dtype_name(dtype)}, torch {torch.__version__}"
    )
    for name, values in rates.items():
        ratio = np.divide(rates["ours, packed"], values)
        print(
            f"{name:24} {statistics.median(values):10,.0f} tokens/s "
            f"({min(values):,.0f} to {max(values):,.0f}, {len(values)} rounds); ours, packed is "
            f"{np.median(ratio):.2f} times as fast ({ratio.min():.2f} to {ratio.max():.2f})"
        )
    if shares:
        print(
            "fraction of the machine's own rate of matrix products: "
            f"{statistics.median(shares):.0%} "
            f"({min(shares):.0%} to {max(shares):.0%}); {products.operations / 1e9:,.0f} G "
            "operations per step"
        )


if __name__ == "__main__":
    main()
