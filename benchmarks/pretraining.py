"""Real tokens/s of pre-training: our step beside the plain transformers loop of the tutorials.

The peer runs the same model on the same text: dynamic padding to the batch, a Bernoulli mask with
80/10/10 corruption (DataCollatorForLanguageModeling), the LM head over all positions, multinomial
sampling, both losses as means, torch.optim.AdamW. Ours is what `electra-pipeline pretrain` runs.
Both train from the same start on the same sequences, by turns, in this process; padding is not
counted as tokens.

    python benchmarks/pretraining.py --size small --length 128 --batch 32 --rounds 5
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import (
    DataCollatorForLanguageModeling,
    ElectraTokenizerFast,
    get_linear_schedule_with_warmup,
)

from electra_pipeline import config as configuration
from electra_pipeline import pipeline
from electra_pipeline.execution import LocalExecutor, LocalWorker
from electra_pipeline.optim import Adam, clip_gradients, learning_rate, parameter_groups
from electra_pipeline.pretraining.batches import BatchSource
from electra_pipeline.pretraining.model import SIZES, Electra
from electra_pipeline.pretraining.objective import SpecialIds, num_slots
from electra_pipeline.pretraining.sequences import SequenceReader, load_vocabulary
from electra_pipeline.pretraining.step import Step, arithmetic
from electra_pipeline.progress import silent

MASK_FRACTION = 0.15
TOTAL_STEPS = 10_000


def ours(model: Electra, source: BatchSource, device: torch.device) -> Callable[[int], int]:
    worker = LocalWorker()
    step = Step(worker, arithmetic(device, "auto"), MASK_FRACTION, 1.0, 50.0, None)
    optimizer = Adam(parameter_groups(model, 0.01))
    model.train()

    def run(index: int) -> int:
        batch = source.batch(index)
        step.backward(model, batch.to(device))
        clip_gradients(model.parameters(), 1.0)
        optimizer.set_learning_rate(learning_rate(index, 5e-4, TOTAL_STEPS, 100))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return batch.num_tokens

    return run


def plain(
    model: Electra, source: BatchSource, tokenizer: ElectraTokenizerFast, device: torch.device
) -> Callable[[int], int]:
    """The loop of the tutorials on the same two modules."""
    generator, discriminator = model.generator, model.discriminator
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASK_FRACTION)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, eps=1e-6, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, 100, TOTAL_STEPS)
    model.train()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    def run(index: int) -> int:
        rows = source.batch(index)
        lengths = rows.lengths.tolist()
        examples = [
            {"input_ids": ids[:length].tolist()}
            for ids, length in zip(rows.input_ids, lengths, strict=True)
        ]
        inputs = collator(examples).to(device)
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
        return rows.num_tokens

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small", choices=list(SIZES))
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps of each in a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = LocalWorker().device

    with tempfile.TemporaryDirectory() as root:
        chosen = configuration.load(
            preset="quickstart",
            root=root,
            overrides=[
                f"tokenizer.vocab_size={arguments.vocab_size}",
                f"sequences.length={arguments.length}",
                "finetune=null",
            ],
        )
        executor = LocalExecutor()
        corpus = pipeline.build_corpus(chosen, executor, silent)
        tokenizer = pipeline.train_tokenizer(chosen, corpus, silent)
        sequences = pipeline.build_sequences(chosen, corpus, tokenizer, executor, silent)
        vocabulary = load_vocabulary(tokenizer)
        special = SpecialIds(*(vocabulary.id_of(p) for p in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")))
        source = BatchSource(
            SequenceReader(sequences),
            0,
            arguments.batch,
            MASK_FRACTION,
            num_slots(arguments.length, MASK_FRACTION),
        )
        loaded = ElectraTokenizerFast.from_pretrained(tokenizer.local_folder("tokenizer"))

        def model() -> Electra:
            return Electra(SIZES[arguments.size], vocabulary.size, special, 0).to(device)

        runs = {
            "ours": ours(model(), source, device),
            "plain": plain(model(), source, loaded, device),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for round_number in range(arguments.rounds + 1):
            for name, run in runs.items():
                num_tokens = 0
                started = time.perf_counter()
                for index in range(arguments.steps):
                    num_tokens += run(round_number * arguments.steps + index)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_number > 0:  # the first round warms up
                    rates[name].append(num_tokens / (time.perf_counter() - started))

    padding = sequences.counters["train"]["padding_fraction"]
    print(
        f"electra-{arguments.size}, length {arguments.length}, batch {arguments.batch}, vocabulary "
        f"{vocabulary.size}, padding {padding:.1%}, {device.type}, {arguments.threads} threads, "
        f"torch {torch.__version__}"
    )
    for name, values in rates.items():
        print(
            f"{name:6} {statistics.median(values):10,.0f} real tokens/s "
            f"(min {min(values):,.0f}, max {max(values):,.0f}, {len(values)} rounds)"
        )
    ratios = np.divide(rates["ours"], rates["plain"])
    print(
        f"ratio  {np.median(ratios):10.2f} ours/plain, median of pairs "
        f"(min {ratios.min():.2f}, max {ratios.max():.2f})"
    )


if __name__ == "__main__":
    main()
