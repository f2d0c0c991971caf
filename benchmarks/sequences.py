"""MB/s of the sequences stage, and of `tokenizers.encode_batch` alone on the same text.

The peer gets the documents as Python strings, a thousand at a time, with the same tokenizer, and
discards the encodings. The stage reads shards of the same documents, splits sentences, encodes,
fills rows, writes and counts them. Each uses one thread (also of rayon, which tokenizers uses), by
turns. Time is the CPU time of the process, so that other processes matter less. MB are of UTF-8.

    python benchmarks/sequences.py --rounds 5
"""

import argparse
import os
import statistics
import tempfile
import time

from electra_pipeline import config as configuration
from electra_pipeline import stages
from electra_pipeline.pretraining.vocabulary import load_vocabulary
from electra_pipeline.storage.shards import HELD_OUT_PREFIX, TRAIN_PREFIX, read_documents

BATCH_TEXTS = 1000  # the default of datasets.map, with which tutorials tokenize
LAYOUTS = ("google", "packed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as place:
        config = configuration.load(preset="quickstart", root=place, overrides=["finetune=null"])
        made = stages.run_until("tokenizer", config, config.context())
        corpus, tokenizer = made["corpus"], made["tokenizer"]
        texts = [
            text
            for prefix in (TRAIN_PREFIX, HELD_OUT_PREFIX)
            for batch in read_documents(corpus, prefix)
            for text in batch["text"].to_pylist()
        ]
        num_bytes = sum(len(text.encode()) for text in texts)
        plain = load_vocabulary(tokenizer).tokenizer
        rates: dict[str, list[float]] = {name: [] for name in ("encode_batch", *LAYOUTS)}
        for round_number in range(arguments.rounds):
            started = time.process_time()
            for start in range(0, len(texts), BATCH_TEXTS):
                plain.encode_batch(texts[start : start + BATCH_TEXTS])
            rates["encode_batch"].append(num_bytes / 1e6 / (time.process_time() - started))
            for layout in LAYOUTS:
                # Another seed is another artifact.
                changes = {"layout": layout, "seed": round_number + 1}
                changed = config.model_copy(
                    update={"sequences": config.sequences.model_copy(update=changes)}
                )
                started = time.process_time()
                stages.run_stage("sequences", changed, changed.context(), made)
                rates[layout].append(num_bytes / 1e6 / (time.process_time() - started))
    print(f"{num_bytes / 1e6:.1f} MB of English news, one thread, {arguments.rounds} rounds")
    for name, values in rates.items():
        pairs = zip(values, rates["encode_batch"], strict=True)
        ratio = statistics.median(rate / peer for rate, peer in pairs)
        print(
            f"{name:13} {statistics.median(values):6.2f} MB/s [{min(values):.2f}, "
            f"{max(values):.2f}]  {ratio:.2f} of encode_batch"
        )


if __name__ == "__main__":
    main()
