"""A tiny published model, and tasks that a tiny model can learn.

transformers is imported inside: a conftest may be loaded before the one above it has told the
libraries, by the environment, to stay offline.
"""

import random

import orjson
import pytest

from electra_pipeline.storage.artifact import Written, produce

COLORS = ["red", "green", "blue"]
THINGS = ["dog", "cat", "bird", "house", "tree"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,?'"]
VOCABULARY = [*SPECIAL, *COLORS, *THINGS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
POSITIONS = 64


def make_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(
        models.WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A publish artifact with a tiny discriminator of random weights."""
    import torch
    from transformers import ElectraConfig, ElectraForPreTraining

    directory = tmp_path_factory.mktemp("published")
    torch.manual_seed(1234)  # no seed of a trial: a random baseline must start elsewhere
    model = ElectraForPreTraining(
        ElectraConfig(
            vocab_size=len(VOCABULARY),
            embedding_size=32,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
        )
    )
    model.save_pretrained(directory / "model")
    make_tokenizer().save_pretrained(directory / "model")

    def write(draft):
        (draft.folder / "discriminator").upload(directory / "model")
        return Written({}, {})

    return produce(
        root=str(directory / "runs"),
        stage="publish",
        name="tiny",
        format_version=1,
        config={},
        inputs={},
        write=write,
    )


def sentence(rng: random.Random, num_words: int = 5) -> list[str]:
    return [rng.choice(THINGS) for _ in range(num_words)]


@pytest.fixture(scope="session")
def task_files(tmp_path_factory):
    """Files of one learnable task of each kind: {kind: (train, validation)}."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = random.Random(0)
    found = {}
    for kind, write in WRITERS.items():
        paths = []
        for split, size in (("train", 200), ("validation", 60)):
            path = folder / f"{kind}-{split}{'.txt' if kind == 'tagging' else '.jsonl'}"
            if kind == "question-answering":
                path = path.with_suffix(".json")
            write(path, rng, size)
            paths.append(str(path))
        found[kind] = tuple(paths)
    return found


def _write_texts(path, rng, size, label):
    records = []
    for _ in range(size):
        words = sentence(rng)
        number = rng.randrange(3)
        words.insert(rng.randrange(len(words)), COLORS[number])
        records.append({"text": " ".join(words), "label": label(number)})
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))


def _write_classes(path, rng, size):
    _write_texts(path, rng, size, lambda number: COLORS[number])


def _write_numbers(path, rng, size):
    _write_texts(path, rng, size, lambda number: 1000.0 + 500 * number)


def _write_tags(path, rng, size):
    tags = {"dog": "B-ANIMAL", "cat": "B-ANIMAL", "bird": "B-ANIMAL", "house": "B-PLACE"}
    sentences = [sentence(rng) for _ in range(size)]
    path.write_text(
        "\n".join("".join(f"{w} x {tags.get(w, 'O')}\n" for w in words) for words in sentences)
    )


def _write_questions(path, rng, size):
    paragraphs = []
    for number in range(size):
        words = sentence(rng, 6)
        color = rng.choice(COLORS)
        answers = []
        if number % 4:
            place = rng.randrange(1, 6)
            words.insert(place, color)
            answers = [{"text": color, "answer_start": len(" ".join(words[:place])) + 1}]
        question = {"id": f"q{number}", "question": "which one?", "answers": answers}
        question["is_impossible"] = not answers
        paragraphs.append({"context": " ".join(words), "qas": [question]})
    path.write_bytes(orjson.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}))


def _write_choices(path, rng, size):
    """The choice with "red" in it is right."""
    records = []
    for _ in range(size):
        choices = [" ".join(sentence(rng, 3)) for _ in range(rng.randrange(2, 5))]
        gold = rng.randrange(len(choices))
        choices[gold] += " red"
        records.append({"text": "which one?", "choices": choices, "label": gold})
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))


WRITERS = {
    "classification": _write_classes,
    "regression": _write_numbers,
    "tagging": _write_tags,
    "question-answering": _write_questions,
    "multiple-choice": _write_choices,
}
