"""A tiny corpus, vocabulary and sequences, made once for all pre-training tests."""

import random
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from electra_pipeline.artifact import Artifact, Draft, Written, produce
from electra_pipeline.execution import LocalExecutor
from electra_pipeline.pretraining import sequences as stage
from electra_pipeline.pretraining.sequences import SequencesConfig
from electra_pipeline.progress import silent
from electra_pipeline.shards import DOCUMENT_SCHEMA, shard_name, write_shard

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

    return produce(
        root=root,
        stage="corpus",
        name="test",
        format_version=1,
        config={},
        inputs={},
        write=write,
    )


@pytest.fixture(scope="session")
def tokenizer(root: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: i for i, piece in enumerate([*special, *WORDS, "."])}
    built = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer()
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    path = Path(tmp_path_factory.mktemp("tokenizer")) / "tokenizer.json"
    built.save(str(path))

    def write(draft: Draft) -> Written:
        draft.folder.write_bytes("tokenizer/tokenizer.json", path.read_bytes())
        return Written({"vocab_size": len(vocabulary)}, {})

    return produce(
        root=root,
        stage="tokenizer",
        name="test",
        format_version=1,
        config={},
        inputs={},
        write=write,
    )


@pytest.fixture(scope="session")
def sequences(root: str, corpus: Artifact, tokenizer: Artifact) -> Artifact:
    return stage.build(
        SequencesConfig(length=32),
        corpus,
        tokenizer,
        root=root,
        name="test",
        executor=LocalExecutor(),
        progress=silent,
    )
