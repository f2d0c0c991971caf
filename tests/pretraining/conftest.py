"""A tiny corpus, vocabulary and sequences, made once for all pre-training tests."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from electra_pipeline.core.execution import LocalExecutor, Scale, StageContext
from electra_pipeline.core.progress import silent
from electra_pipeline.pretraining import loop, metrics_log, objective
from electra_pipeline.pretraining import sequences as stage
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.config import PretrainConfig, SequencesConfig
from electra_pipeline.pretraining.objective import Masking, SpecialIds
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce
from electra_pipeline.storage.shards import DOCUMENT_SCHEMA, shard_name, write_shard
from tests.pretraining.runs import CONFIG, Watched

UNCONFIGURED: dict[str, Any] = {"name": "test", "format_version": 1, "config": {}, "inputs": {}}
WORDS = [a + b for a in ("ba", "ke", "li", "mo", "nu", "sa") for b in ("t", "r", "n", "ld", "st")]


def documents(num_documents: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [
        " ".join(
            " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9))).capitalize() + "."
            for _ in range(rng.randint(1, 12))
        )
        for _ in range(num_documents)
    ]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("pretraining"))


@pytest.fixture(scope="session")
def corpus(root: str) -> Artifact:
    def write(draft: Draft) -> Written:
        for prefix, index, count in (("shard-", 0, 60), ("shard-", 1, 40), ("held-out-", 0, 20)):
            texts = documents(count, seed=len(prefix) + index)
            ids = [f"{prefix}{index}-{row}" for row in range(count)]
            languages = ["en"] * count
            batch = pa.record_batch(
                [ids, texts, ["test"] * count, [None] * count, languages], schema=DOCUMENT_SCHEMA
            )
            with draft.create(shard_name(prefix, index)) as file:
                write_shard(file, DOCUMENT_SCHEMA, [batch])
        return Written({"documents": {"train": 100, "held_out": 20}}, {})

    return produce(root=root, stage="corpus", write=write, **UNCONFIGURED)


@pytest.fixture(scope="session")
def tokenizer(root: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate([*special, *WORDS, "."])}
    built = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer()
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    path = Path(tmp_path_factory.mktemp("tokenizer")) / "tokenizer.json"
    built.save(str(path))

    def write(draft: Draft) -> Written:
        draft.folder.write_bytes("tokenizer/tokenizer.json", path.read_bytes())
        return Written({"vocab_size": len(vocabulary)}, {})

    return produce(root=root, stage="tokenizer", write=write, **UNCONFIGURED)


@pytest.fixture(scope="session")
def sequences(root: str, corpus: Artifact, tokenizer: Artifact) -> Artifact:
    return stage.build(
        SequencesConfig(length=32),
        corpus,
        tokenizer,
        StageContext(root, "test", LocalExecutor(), silent),
    )


@pytest.fixture
def train(
    tokenizer: Artifact, sequences: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Artifact]:
    """A function that pre-trains below `tmp_path` with an executor of `runs`."""
    monkeypatch.setattr(metrics_log, "REPORT_SECONDS", 0.0)  # report every step

    def run(
        config: PretrainConfig = CONFIG,
        root: str = "runs",
        executor: LocalExecutor | None = None,
        **scale: Any,
    ) -> Artifact:
        return loop.pretrain(
            config,
            tokenizer,
            sequences,
            StageContext(str(tmp_path / root), "test", executor or Watched(), silent),
            # runs with other sums in another order are close in float32 alone
            scale=Scale(**{"checkpoint_every_steps": 5, "precision": "float32", **scale}),
        )

    return run


SPECIAL = SpecialIds(pad=0, cls=101, sep=102, mask=103)


@pytest.fixture(scope="session")
def masking() -> Callable[..., Masking]:
    """The masking of sequences of a length, with BERT's special ids."""

    def make(length: int, distinct: bool = False, fraction: float = 0.15) -> Masking:
        return Masking(fraction, objective.num_slots(length, fraction), distinct, SPECIAL)

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """Random rows of several lengths, each one document of two segments or, packed, a few."""

    def make(
        masking: Masking,
        num_rows: int = 4,
        length: int = 32,
        vocab_size: int = 2000,
        packed: bool = False,
        seed: int = 5,
    ) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(8, length + 1, (num_rows,), generator=generator)
        ids = torch.randint(200, vocab_size, (num_rows, length), generator=generator)
        ids[:, 0] = SPECIAL.cls
        ids[torch.arange(num_rows), lengths - 1] = SPECIAL.sep
        if packed:
            ids[:, 2], ids[:, 3] = SPECIAL.sep, SPECIAL.cls  # a document of one token, and a rest
        ids[~objective.attention_mask(lengths, length)] = SPECIAL.pad
        slots = masking.num_slots
        counts = masking.count(ids, lengths)
        return Batch(
            input_ids=ids,
            lengths=lengths,
            segment_b=lengths if packed else lengths // 2,
            counts=counts,
            position_noise=torch.rand(
                num_rows, length if masking.distinct else slots, generator=generator
            ),
            slot_noise=torch.rand(num_rows, slots, 2, generator=generator),
            dropout_keys=torch.randint(-(2**63), 2**63 - 1, (num_rows, 2), generator=generator),
            num_tokens=int(lengths.sum()),
            num_predictions=int(counts.sum()),
            num_parts=4,
            is_packed=packed,
        )

    return make
