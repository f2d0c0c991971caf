"""Examples/s of a fine-tuning trial: ours beside transformers' Trainer with its example's settings.

The peer is what `run_glue.py` of transformers' examples does with the files of a task: tokenize
with `pad_to_max_length` (its default) at a length of 128, train with Trainer in batches of 32,
predict the validation split, score it. A second peer is the same script with
`--pad_to_max_length False`, whose batches are padded to their longest example, and with Trainer's
own grouping by length. Ours is a trial: read the files, tokenize, train, score, write the artifact.

All have the same files, starting weights, number of epochs, learning rate with its linear warm-up
and decay, weight decay, gradient norm, batch size and threads; they run by turns in this process.
Printed are examples/s from files to scores and of the steps alone, by the wall's clock and by the
processor's, with the ratio of each round. `finetuning_scores.py` compares the scores of both.

Needs Trainer's own requirement (`pip install accelerate`) and a folder with the GLUE archive and a
WordPiece vocabulary (`ELECTRA_PIPELINE_DATA`, with `tasks/glue/` and `vocab/`).

    python benchmarks/finetuning.py --task mrpc --examples 320 --rounds 3
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
import transformers
from transformers import ElectraConfig, ElectraForPreTraining, ElectraTokenizerFast

from electra_pipeline.core.execution import Precision, StageContext
from electra_pipeline.core.precision import dtype_name, matrix_dtype
from electra_pipeline.core.progress import Update
from electra_pipeline.finetuning import cache
from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.plan import plan
from electra_pipeline.finetuning.run import run_trial
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.load import load

MAX_LENGTH, BATCH_EXAMPLES, WARMUP_FRACTION = 128, 32, 0.1
SHAPES: Mapping[str, Mapping[str, int]] = {
    "tiny": {
        "embedding_size": 64,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 256,
    },
    "small": {},  # what transformers' ElectraConfig is by default
    "base": {
        "embedding_size": 768,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}


@dataclass(frozen=True)
class Files:
    """A task's examples as both sides read them: JSON lines of text, pair and label."""

    name: str
    train: Path
    validation: Path
    has_pairs: bool
    num_train: int

    def task(self) -> UserTask:
        return UserTask(
            name=self.name,
            type="classification",
            train=str(self.train),
            validation=str(self.validation),
            pair_column="pair" if self.has_pairs else None,
            metrics=("accuracy",),
        )


@dataclass(frozen=True)
class Result:
    """What one fine-tuning took and found."""

    accuracy: float
    wall_seconds: float
    cpu_seconds: float
    step_seconds: float
    """Wall seconds from the end of the first step to the end of the last one."""
    num_steps: int

    def rates(self, num_examples: int) -> dict[str, float]:
        """Examples/s: from files to scores by both clocks, and of the steps alone."""
        return {
            "wall": num_examples / self.wall_seconds,
            "cpu": num_examples / self.cpu_seconds,
            "steps": num_examples / self.num_steps * (self.num_steps - 1) / self.step_seconds,
        }


Run = Callable[[Artifact | str, Files, float, float, int], Result]
"""Takes model (an artifact, or the folder of one), files, epochs, learning rate and seed."""


class Clock:
    """Seconds of a whole run and of its steps."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), time.process_time()
        self.steps: list[float] = []

    def step(self) -> None:
        self.steps.append(time.perf_counter())

    def result(self, accuracy: float) -> Result:
        return Result(
            accuracy,
            time.perf_counter() - self.started[0],
            time.process_time() - self.started[1],
            self.steps[-1] - self.steps[0],
            len(self.steps),
        )


def ours(precision: Precision) -> Run:
    """One trial, as `electra-pipeline finetune` runs it."""
    return partial(_ours, precision)


def _ours(
    precision: Precision,
    model: Artifact | str,
    files: Files,
    epochs: float,
    learning_rate: float,
    seed: int,
) -> Result:
    cache._cached.clear()  # else the second round would not tokenize
    clock = Clock()
    config = FinetuneConfig(
        tasks=(files.task(),),
        seeds=(seed,),
        baselines=(),
        recipe="paper",  # Adam as defined, losses averaged: Trainer's own
        layer_decay=1.0,
        learning_rate=learning_rate,
        warmup_fraction=WARMUP_FRACTION,
        batch_examples=BATCH_EXAMPLES,
        max_length=MAX_LENGTH,
        epochs=epochs,
        keep_models="none",
    )

    def progress(update: Update) -> None:
        clock.step()

    with tempfile.TemporaryDirectory() as root:
        (trial,) = plan(config, model, StageContext(root, "benchmark"))
        artifact = run_trial(
            trial, num_threads=torch.get_num_threads(), precision=precision, progress=progress
        )
        return clock.result(artifact.counters["metrics"]["validation"]["accuracy"])


def trainer(precision: Precision, *, pad_to_max_length: bool, grouped: bool = False) -> Run:
    """What transformers' examples/pytorch/text-classification/run_glue.py does with files."""
    import datasets
    from transformers import Trainer, TrainerCallback, TrainingArguments

    datasets.disable_progress_bars()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_bfloat16 = matrix_dtype(precision, device) == torch.bfloat16

    class Steps(TrainerCallback):  # type: ignore[misc]
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.clock.step()

    def run(
        model: Artifact | str, files: Files, epochs: float, learning_rate: float, seed: int
    ) -> Result:
        clock = Clock()
        transformers.set_seed(seed)
        with tempfile.TemporaryDirectory() as scratch:
            raw = datasets.load_dataset(
                "json",
                data_files={"train": str(files.train), "validation": str(files.validation)},
                cache_dir=scratch,
            )
            labels = sorted(set(raw["train"]["label"]))
            directory = model if isinstance(model, str) else model.local_folder("discriminator")
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
            classifier = transformers.AutoModelForSequenceClassification.from_pretrained(
                directory, num_labels=len(labels)
            )

            def preprocess(examples: Mapping[str, Sequence[str]]) -> Any:
                texts = [examples["text"]] + ([examples["pair"]] if files.has_pairs else [])
                padding = "max_length" if pad_to_max_length else False
                result = tokenizer(*texts, padding=padding, max_length=MAX_LENGTH, truncation=True)
                result["label"] = [labels.index(label) for label in examples["label"]]
                return result

            encoded = raw.map(preprocess, batched=True, load_from_cache_file=False)
            arguments = TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=BATCH_EXAMPLES,
                per_device_eval_batch_size=BATCH_EXAMPLES,
                learning_rate=learning_rate,
                num_train_epochs=epochs,
                warmup_steps=WARMUP_FRACTION,  # below 1 it is a share of the steps
                train_sampling_strategy="group_by_length" if grouped else "random",
                bf16=is_bfloat16,
                use_cpu=not torch.cuda.is_available(),
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
                dataloader_pin_memory=torch.cuda.is_available(),
                seed=seed,
            )
            loop = Trainer(
                model=classifier,
                args=arguments,
                train_dataset=encoded["train"],
                eval_dataset=encoded["validation"],
                processing_class=tokenizer,
                data_collator=transformers.default_data_collator if pad_to_max_length else None,
                callbacks=[Steps(clock)],
            )
            loop.remove_callback(transformers.PrinterCallback)
            loop.train()
            found = loop.predict(encoded["validation"])
        predicted = np.argmax(found.predictions, axis=1)
        return clock.result(float(np.mean(predicted == found.label_ids)))

    return run


def write_files(
    task: str, data: Path, folder: Path, num_train: int, num_validation: int | None
) -> Files:
    """The first so many examples of a GLUE task in a random order, as JSON lines."""
    loaded = load(TASKS[task], str(data / "tasks" / "glue"))
    has_pairs = loaded.train[0].pair is not None
    rng = np.random.default_rng(0)
    paths, sizes = [], []
    for split, examples, size in (
        ("train", loaded.train, num_train),
        ("validation", loaded.scored["validation"], num_validation),
    ):
        chosen = [examples[index] for index in rng.permutation(len(examples))[:size]]
        records = [
            {"text": each.text, "label": f"label {each.label}"}
            | ({"pair": each.pair} if has_pairs else {})
            for each in chosen
        ]
        paths.append(folder / f"{task}-{num_train}-{split}.jsonl")
        paths[-1].write_bytes(
            b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records)
        )
        sizes.append(len(records))
    return Files(f"bench-{task}", *paths, has_pairs, sizes[0])


def make_model(shape: str, data: Path, root: Path) -> Artifact:
    """A published model with random weights and the vocabulary of bert-base-uncased."""
    vocabulary = next((data / "vocab").glob("*uncased*"))
    tokenizer = ElectraTokenizerFast(vocab=str(vocabulary), do_lower_case=True)
    torch.manual_seed(0)
    model = ElectraForPreTraining(ElectraConfig(vocab_size=len(tokenizer), **SHAPES[shape]))

    def write(draft: Draft) -> Written:
        with tempfile.TemporaryDirectory() as scratch:
            model.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
            (draft.folder / "discriminator").upload(Path(scratch))
        return Written({}, {})

    return produce(
        root=str(root),
        stage="publish",
        name=shape,
        format_version=1,
        config={},
        inputs={},
        write=write,
    )


def show_rates(results: Mapping[str, Sequence[Result]], num_examples: int) -> None:
    rates = {
        name: [result.rates(num_examples) for result in found] for name, found in results.items()
    }
    what = {
        "wall": "files to scores, wall time",
        "cpu": "files to scores, processor time",
        "steps": "steps alone, wall time",
    }
    for clock, title in what.items():
        print(title)
        for name, found in rates.items():
            values = [each[clock] for each in found]
            ratios = [a[clock] / b[clock] for a, b in zip(rates["ours"], found, strict=True)]
            print(
                f"  {name:32} {statistics.median(values):8.1f} examples/s "
                f"({min(values):.1f} to {max(values):.1f}); ours is "
                f"{statistics.median(ratios):.2f} times as fast "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ELECTRA_PIPELINE_DATA"))
    parser.add_argument("--task", default="mrpc", choices=["cola", "sst2", "mrpc", "rte"])
    parser.add_argument("--shape", default="small", choices=list(SHAPES))
    parser.add_argument("--examples", type=int, default=320, help="to train on, in each round")
    parser.add_argument("--validation", type=int, default=64, help="examples to score on")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "float32", "bfloat16"],
        help="of both sides; auto is each one's faster type on this machine",
    )
    arguments = parser.parse_args()
    if not arguments.data or not importlib.util.find_spec("accelerate"):
        print(
            "not measured: needs ELECTRA_PIPELINE_DATA (a folder with tasks/glue/ and vocab/) and "
            "`pip install accelerate`, without which transformers' Trainer does not start"
        )
        return
    data = Path(arguments.data)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    precision: Precision = arguments.precision
    runs: dict[str, Run] = {
        "ours": ours(precision),
        "Trainer, as run_glue": trainer(precision, pad_to_max_length=True),
        "Trainer, padded to the batch": trainer(precision, pad_to_max_length=False),
        "Trainer, grouped by length": trainer(precision, pad_to_max_length=False, grouped=True),
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        few = write_files(arguments.task, data, folder, 2 * BATCH_EXAMPLES, BATCH_EXAMPLES)
        tiny = make_model("tiny", data, folder)
        files = write_files(arguments.task, data, folder, arguments.examples, arguments.validation)
        model = make_model(arguments.shape, data, folder)
        results: dict[str, list[Result]] = {name: [] for name in runs}
        for run in runs.values():  # to warm up: imports and caches
            run(tiny, few, 1.0, arguments.learning_rate, 0)
        for round_number in range(arguments.rounds):
            for name, run in runs.items():
                found = run(model, files, arguments.epochs, arguments.learning_rate, round_number)
                results[name].append(found)
        on_gpu = torch.cuda.is_available()
        device = torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability()
        dtype = dtype_name(matrix_dtype(precision, torch.device("cuda" if on_gpu else "cpu")))
        print(
            f"{arguments.task}, {files.num_train} examples, {arguments.epochs:g} epochs, batch "
            f"{BATCH_EXAMPLES}, electra-{arguments.shape}, {device}, {dtype}, "
            f"{arguments.threads} threads, {arguments.rounds} rounds, torch {torch.__version__}, "
            f"transformers {transformers.__version__}"
        )
        show_rates(results, round(files.num_train * arguments.epochs))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
