"""The tokenizer: deterministic, equal to plain BPE, loadable without this package."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from electra_pipeline.core.execution import StageContext
from electra_pipeline.core.progress import Update
from electra_pipeline.storage import shards
from electra_pipeline.storage.artifact import Artifact, Draft, Written, produce, verify
from electra_pipeline.text.tokenization import SPECIAL_TOKENS
from electra_pipeline.tokenizer import quality
from electra_pipeline.tokenizer import train as tokenizer
from electra_pipeline.tokenizer.config import TokenizerConfig

SPANISH = (
    "El zorro rojo es muy rápido y el niño lo mira desde la montaña con mucha atención",
    "La cigüeña vuelve en abril a su nido, allá en la torre de la iglesia más vieja",
    "¿Qué años eran aquéllos? Nadie lo recuerda ya, ni el dueño de la posada",
    "Un pingüino pequeño corrió según dijo mi tía hasta el camión azul del jardín",
)


def corpus_of(
    root: Path,
    train: Sequence[str],
    held_out: Sequence[str] = (),
    language: str | None = None,
) -> Artifact:
    """A corpus artifact of these documents, two documents a shard."""
    splits = {"train": (shards.TRAIN_PREFIX, train), "held_out": (shards.HELD_OUT_PREFIX, held_out)}

    def write(draft: Draft) -> Written:
        for prefix, texts in splits.values():
            for index in range(0, len(texts), 2):
                rows = [
                    {"id": f"{prefix}{index + i}", "text": text, "source": "test"}
                    for i, text in enumerate(texts[index : index + 2])
                ]
                batch = pa.RecordBatch.from_pylist(rows, schema=shards.DOCUMENT_SCHEMA)
                with draft.create(shards.shard_name(prefix, index // 2)) as file:
                    shards.write_shard(file, shards.DOCUMENT_SCHEMA, [batch])
        counters = {
            "documents": {split: len(texts) for split, (_, texts) in splits.items()},
            "characters": {split: sum(map(len, texts)) for split, (_, texts) in splits.items()},
        }
        return Written(counters=counters, observed={})

    return produce(
        root=str(root),
        stage="corpus",
        name="test",
        format_version=1,
        config={"train": list(train), "held_out": list(held_out), "language": language},
        inputs={},
        write=write,
    )


def load(artifact: Artifact) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(str(artifact.local_folder("tokenizer")))


def config_of(**settings: object) -> TokenizerConfig:
    return TokenizerConfig.model_validate({"vocab_size": 150, **settings})


@pytest.fixture(scope="module")
def spanish(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return corpus_of(tmp_path_factory.mktemp("spanish"), SPANISH * 3, SPANISH[:1])


@pytest.fixture(scope="module")
def trained(spanish: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = str(tmp_path_factory.mktemp("tokenizers"))
    return tokenizer.train(config_of(), spanish, StageContext(root, "test"))


def plain_bpe(words: Counter[str], vocab_size: int, min_frequency: int) -> list[str]:
    """WordPiece's vocabulary by the book: merge the most frequent pair, the first of equals."""
    splits = {word: [word[0], *("##" + c for c in word[1:])] for word in words}
    characters = sorted({character for word in words for character in word})
    continuing = sorted({"##" + character for word in words for character in word[1:]})
    tokens = [*SPECIAL_TOKENS, *characters, *continuing]
    while len(tokens) < vocab_size:
        counts: Counter[tuple[int, int]] = Counter()
        ids = {token: index for index, token in enumerate(tokens)}
        for word, split in splits.items():
            for pair in pairwise(split):
                counts[ids[pair[0]], ids[pair[1]]] += words[word]
        counts = Counter({pair: n for pair, n in counts.items() if n >= min_frequency})
        if not counts:
            break
        first, second = min(counts, key=lambda pair: (-counts[pair], pair))
        merged = tokens[first] + tokens[second].removeprefix("##")
        if merged not in tokens:
            tokens.append(merged)
        for split in splits.values():
            index = 0
            while index < len(split) - 1:
                if split[index : index + 2] == [tokens[first], tokens[second]]:
                    split[index : index + 2] = [merged]
                index += 1
    return tokens


def test_vocabulary_is_that_of_plain_bpe(tmp_path: Path) -> None:
    generator = random.Random(0)
    words = ["".join(generator.choices("abcñé", k=generator.randint(1, 8))) for _ in range(300)]
    texts = [" ".join(words[i::3]) for i in range(3)]
    corpus = corpus_of(tmp_path, texts)
    tokens = tokenizer.train_vocabulary(config_of(vocab_size=120), corpus)
    assert tokens == plain_bpe(Counter(words), 120, min_frequency=2)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_text_gives_the_vocabulary_of_plain_bpe(texts: list[str]) -> None:
    loaded = tokenizer.assemble(SPECIAL_TOKENS, config_of()).backend_tokenizer
    words: Counter[str] = Counter()
    for text in texts:
        normalized = loaded.normalizer.normalize_str(text)
        tokens = loaded.pre_tokenizer.pre_tokenize_str(normalized)
        words.update(word for word, _ in tokens)
    rules = {"min_frequency": 1, "character_coverage": 1.0}
    with tempfile.TemporaryDirectory() as directory:
        corpus = corpus_of(Path(directory), [*texts, "."])
        expected = plain_bpe(words + Counter(["."]), 10_000, min_frequency=1)
        config = config_of(vocab_size=len(expected), **rules)
        assert tokenizer.train_vocabulary(config, corpus) == expected
        larger = config_of(vocab_size=len(expected) + 1, **rules)
        with pytest.raises(ValueError, match=r"tokenizer\.vocab_size"):
            tokenizer.train_vocabulary(larger, corpus)


def test_vocabulary_has_special_tokens_first_then_characters(trained: Artifact) -> None:
    loaded = load(trained)
    tokens = loaded.convert_ids_to_tokens(range(len(loaded)))
    assert tuple(tokens[:5]) == SPECIAL_TOKENS
    assert (loaded.pad_token_id, loaded.unk_token_id, loaded.mask_token_id) == (0, 1, 4)
    assert len(tokens) == len(set(tokens)) == 150
    lengths = [len(token.removeprefix("##")) for token in tokens[5:]]
    assert lengths.index(2) > 50  # the alphabet, then merges only
    assert min(lengths[lengths.index(2) :]) == 2


TRAIN_IN_NEW_PROCESS = """
import json, sys
from electra_pipeline.tokenizer import train
from electra_pipeline.storage.artifact import open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.tokenizer.config import TokenizerConfig
corpus = open_artifact(Folder(sys.argv[1]))
config = TokenizerConfig(vocab_size=400, min_frequency=1, character_coverage=0.97)
print(json.dumps(train.train_vocabulary(config, corpus)))
"""


@pytest.mark.integration
def test_vocabulary_is_equal_in_every_process_and_with_any_number_of_threads(
    tmp_path: Path,
) -> None:
    # Ties everywhere: each character and most pairs are equally frequent.
    characters = [chr(c) for c in range(0x3B1, 0x3CA)] + [chr(c) for c in range(0x430, 0x450)]
    generator = random.Random(0)
    words = ["".join(generator.sample(characters, 6)) for _ in range(200)]
    corpus = corpus_of(tmp_path, [" ".join(words[i::20]) for i in range(20)])
    vocabularies = set()
    for threads in ("1", "2", "3", "4"):
        parallel = "false" if threads == "4" else "true"
        run = subprocess.run(
            [sys.executable, "-c", TRAIN_IN_NEW_PROCESS, str(corpus.folder)],
            env={
                **os.environ,
                "RAYON_NUM_THREADS": threads,
                "TOKENIZERS_PARALLELISM": parallel,
                "PYTHONHASHSEED": threads,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        vocabularies.add(run.stdout)
    assert len(vocabularies) == 1


def test_artifacts_are_byte_equal(trained: Artifact, spanish: Artifact, tmp_path: Path) -> None:
    again = tokenizer.train(config_of(), spanish, StageContext(str(tmp_path), "test"))
    assert again.folder.read_bytes("manifest.json") == trained.folder.read_bytes("manifest.json")


def test_every_way_of_loading_gives_the_same_ids(trained: Artifact) -> None:
    directory = trained.local_folder("tokenizer")
    assert verify(trained) == []
    backend = Tokenizer.from_file(str(directory / "tokenizer.json"))
    loaded: list[PreTrainedTokenizerFast] = [
        load(trained),
        AutoTokenizer.from_pretrained(directory),
        PreTrainedTokenizerFast.from_pretrained(directory),
    ]
    for text in (*SPANISH, "[MASK] ÁRBOL árbol arbol 日本 zz", "", "a\u00adb", "ณ" * 200):
        expected = backend.encode(text).ids
        pair = backend.encode(text, "el zorro")
        for other in loaded:
            assert other(text).input_ids == expected
            assert other(text, "el zorro").input_ids == pair.ids
            assert other(text, "el zorro").token_type_ids == pair.type_ids
            assert other.model_max_length == 512
            assert other.padding_side == "right"
            assert other.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
            padded = other([text, ""], padding=True)
            assert len(padded.token_type_ids[1]) == len(padded.attention_mask[1]) == len(expected)


def test_vocab_txt_has_one_token_per_line(trained: Artifact) -> None:
    lines = (trained.local_folder("tokenizer") / "vocab.txt").read_bytes().decode().split("\n")
    loaded = load(trained)
    assert lines == [*loaded.convert_ids_to_tokens(range(len(loaded))), ""]


BARE_TRANSFORMERS = """
import json, sys
from transformers import AutoTokenizer, PreTrainedTokenizerFast
texts = json.load(sys.stdin)
classes = AutoTokenizer, PreTrainedTokenizerFast
ids = [loader.from_pretrained(sys.argv[1])(texts).input_ids for loader in classes]
assert "electra_pipeline" not in sys.modules
print(json.dumps(ids))
"""


@pytest.mark.integration
def test_directory_loads_in_a_process_without_this_package(trained: Artifact) -> None:
    texts = [unicodedata.normalize("NFD", text) for text in SPANISH]
    run = subprocess.run(
        [sys.executable, "-c", BARE_TRANSFORMERS, str(trained.local_folder("tokenizer"))],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    expected = load(trained)(list(SPANISH)).input_ids
    assert json.loads(run.stdout) == [expected, expected]


@pytest.mark.parametrize(
    ("text", "vocab_size"),
    [
        ("el niño, la cigüeña y el camión más rápido", 50),
        ("ışık ağaç çığ göl şimdi", 35),
        ("tiếng việt có dấu thanh điệu", 40),
        ("हिन्दी में मात्राएँ और संयुक्ताक्षर हैं", 50),
    ],
    ids=["es", "tr", "vi", "hi"],
)
def test_accents_and_marks_are_kept(text: str, vocab_size: int, tmp_path: Path) -> None:
    text = unicodedata.normalize("NFC", text)
    corpus = corpus_of(tmp_path, [text] * 10)
    config = config_of(vocab_size=vocab_size)
    loaded = load(tokenizer.train(config, corpus, StageContext(str(tmp_path), "t")))
    ids = loaded(text).input_ids
    assert loaded.unk_token_id not in ids
    assert loaded.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
def test_case_and_accents_are_two_separate_options(
    lowercase: bool, strip_accents: bool, tmp_path: Path
) -> None:
    corpus = corpus_of(tmp_path, ["Ñandú Ávila ñandú ávila Nandu Avila nandu avila", *SPANISH] * 3)
    config = config_of(vocab_size=100, lowercase=lowercase, strip_accents=strip_accents)
    artifact = tokenizer.train(config, corpus, StageContext(str(tmp_path), "t"))
    expected = "Ñandú Ávila"
    if lowercase:
        expected = expected.lower()
    if strip_accents:
        expected = "".join(
            c for c in unicodedata.normalize("NFD", expected) if unicodedata.category(c) != "Mn"
        )
    loaded = load(artifact)
    assert loaded.decode(loaded("Ñandú Ávila").input_ids, skip_special_tokens=True) == expected
    assert artifact.counters["lowercase"] is lowercase
    assert artifact.counters["strip_accents"] is strip_accents


SCRIPTS = {
    "th": "วันนี้อากาศดีมากเราไปเที่ยวทะเลกับเพื่อนและครอบครัวแล้วกลับบ้านตอนเย็น",
    "lo": "ມື້ນີ້ອາກາດດີຫຼາຍພວກເຮົາໄປຕະຫຼາດກັບໝູ່ແລະຄອບຄົວ",
    "km": "ថ្ងៃនេះអាកាសធាតុល្អណាស់យើងទៅផ្សារជាមួយមិត្តភក្តិ",
    "my": "ဒီနေ့ရာသီဥတုကောင်းတယ်ငါတို့ဈေးသွားမယ်",
    "bo": "བཀྲ་ཤིས་བདེ་ལེགས་ང་ཚོ་ཁྲོམ་ལ་འགྲོ་གི་ཡིན",
    "ja": "わたしたちはきょうともだちといちばへいきますカタカナモアリマス",
    "zh": "今天天气很好我们去市场买东西然后回家",
    "fa": "می\u200cخواهم کتاب\u200cها را بخوانم",
    "ml": "ക്\u200dഷമ നന്ദി",
    "ka": "გამარჯობადღესკარგიამინდია",
    "de": "donaudampfschifffahrtsgesellschaftskapitän",
    "emoji": "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u2764\ufe0f\U0001f44d\U0001f3fd",
    "vi": "Tiếng Việt có dấu thanh điệu",
    "ko": "학교에서 선생님을 만났습니다",
    "hi": "ज़िंदगी क्षमा क़लम",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_is_unknown_for_being_long_or_for_its_normal_form(
    script: str, tmp_path: Path
) -> None:
    text = SCRIPTS[script]
    run = text * 60
    corpus = corpus_of(tmp_path, [run, f"{run} {text}"] * 3)
    probe = config_of(vocab_size=2000, min_frequency=1, character_coverage=1.0)
    with pytest.raises(ValueError) as error:  # as many tokens as there are
        tokenizer.train_vocabulary(probe, corpus)
    size = int(str(error.value).split("gives ")[1].split()[0])
    config = probe.model_copy(update={"vocab_size": size})
    artifact = tokenizer.train(config, corpus, StageContext(str(tmp_path), "t"))
    assert artifact.counters["unknown_characters"] == 0
    loaded = AutoTokenizer.from_pretrained(artifact.local_folder("tokenizer"))
    expected = loaded(run).input_ids
    assert loaded.unk_token_id not in expected
    assert len(expected) > 5
    for form in ("NFC", "NFD"):
        debris = f"\ufeff{unicodedata.normalize(form, run)}\u200e\u00ad"
        assert loaded(debris).input_ids == expected


def test_turkish_has_two_letters_i(tmp_path: Path) -> None:
    texts = ["istanbul ilk ırmak dış iyi ıssız"] * 4
    corpus = corpus_of(tmp_path, texts, language="tr")
    size = {"vocab_size": 45}
    made = tokenizer.train(config_of(**size), corpus, StageContext(str(tmp_path), "t"))
    assert made.config["language"] == "tr"
    loaded = load(made)
    for upper, lower in (("İSTANBUL", "istanbul"), ("IRMAK DIŞ", "ırmak dış")):
        assert loaded.tokenize(upper) == loaded.tokenize(lower)
        assert "[UNK]" not in loaded.tokenize(upper)
    english = config_of(language="en", **size)
    other = tokenizer.train(english, corpus, StageContext(str(tmp_path), "t"))
    assert load(other).tokenize("ILK") == load(other).tokenize("ilk")
    cased = config_of(lowercase=False, **size)
    assert (
        tokenizer.train(cased, corpus, StageContext(str(tmp_path), "t")).config["language"] is None
    )
    assert tokenizer.with_corpus_language(english, corpus).identity == config_of(**size).identity


def test_more_than_a_hundredth_unknown_is_warned_of(
    tmp_path: Path, trained: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    corpus = corpus_of(tmp_path, ["abc " * 500 + "żżżż " * 10])
    sparse = config_of(vocab_size=12, character_coverage=0.97)
    tokenizer.train(sparse, corpus, StageContext(str(tmp_path), "t"))
    [warning] = caplog.messages
    assert warning.startswith("tokenizer: 2.6% of the characters are [UNK]; raise tokenizer.charac")
    caplog.clear()
    taken_over(trained.folder, corpus_of(tmp_path, ["ภาษาไทย"]), tmp_path)
    assert re.search(r"100.0% .* are \[UNK\]; .* made for other text", caplog.text)


def test_ideographs_are_words_of_their_own(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, ["東京都に住む", "東京都は大きい"] * 5)
    config = config_of(vocab_size=16)
    loaded = load(tokenizer.train(config, corpus, StageContext(str(tmp_path), "t")))
    assert loaded.tokenize("東京都") == ["東", "京", "都"]
    tokens = set(loaded.get_vocab())
    assert "##京" not in tokens  # an ideograph never continues a word: no id is wasted on it


def test_rare_characters_are_left_out_and_their_words_unknown(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, ["abc " * 500 + "ż ż"])
    sparse = config_of(vocab_size=12, character_coverage=0.99)
    tokens = tokenizer.train_vocabulary(sparse, corpus)
    assert tokens[5:] == ["a", "b", "c", "##b", "##c", "ab", "abc"]
    assert "ż" in tokenizer.train_vocabulary(config_of(vocab_size=13), corpus)
    loaded = tokenizer.assemble(tokens, sparse)
    assert loaded.tokenize("abc żbc") == ["abc", "[UNK]"]


def test_measures_against_a_plain_count() -> None:
    tokens = [*SPECIAL_TOKENS, "ab", "##c", "c", ".", "unseen"]
    loaded = tokenizer.assemble(tokens, TokenizerConfig())
    assert quality.measure(loaded, ["ab abc.", "zzz c", "\u200b"]) == {
        "num_characters": 10,
        "num_words": 4,
        "num_pieces": 6,  # ab | ab ##c . | [UNK] | c
        "unknown_characters": 3,
        "unknown_fraction": 0.3,
        "characters_per_piece": round(10 / 6, 6),
        "bytes_per_piece": round(10 / 6, 6),
        "fertility": 1.5,
        "vocabulary_coverage": 0.8,
        "whole_word_fraction": 0.6,  # of ab, abc, ".", zzz, c: ab, "." and c
    }
    nothing = quality.measure(loaded, [])
    assert (nothing["num_words"], nothing["fertility"]) == (0, None)


@given(st.lists(st.text("ab c.\n\u00a0\u200bżไม天é\u0301😀", max_size=30), max_size=5))
def test_measures_of_words_are_those_of_whole_texts(texts: list[str]) -> None:
    tokens = [*SPECIAL_TOKENS, "a", "##b", "c", ".", "ไ", "##ม", "é", "😀", "天"]
    loaded = tokenizer.assemble(tokens, TokenizerConfig())
    by_words = quality.measure(loaded, texts)
    loaded.backend_tokenizer.add_tokens(["x y"])  # so that a text is no longer its words
    by_texts = quality.measure(loaded, texts)
    coverage = by_words.pop("vocabulary_coverage") * 9
    assert by_texts.pop("vocabulary_coverage") == pytest.approx(coverage / 10, abs=1e-5)
    assert by_words == by_texts


def test_scripts_without_spaces_have_no_fertility() -> None:
    loaded = tokenizer.assemble([*SPECIAL_TOKENS, "天", "##气", "แม่", "##น้ำ", "气"], config_of())
    measured = quality.measure(loaded, ["天气。天气", "แม่น้ำ"])
    assert measured["fertility"] is measured["whole_word_fraction"] is None
    assert measured["unknown_fraction"] == round(1 / 11, 6)
    assert measured["characters_per_piece"] == round(11 / 7, 6)
    assert measured["bytes_per_piece"] == round(33 / 7, 6)


def test_counters_are_measured_on_held_out_text(trained: Artifact, spanish: Artifact) -> None:
    loaded = load(trained)
    held_out = quality.measure(loaded, SPANISH[:1])
    assert trained.counters["measured_on"] == "held_out"
    assert {key: trained.counters[key] for key in held_out} == held_out
    assert trained.counters["train"] == quality.measure(loaded, SPANISH * 3)
    assert trained.counters["vocab_size"] == 150
    assert trained.manifest["inputs"] == {"corpus": spanish.fingerprint}


def test_without_held_out_text_quality_is_measured_on_training_text(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, SPANISH * 3)
    artifact = tokenizer.train(config_of(), corpus, StageContext(str(tmp_path), "t"))
    assert artifact.counters["measured_on"] == "train"
    assert artifact.counters["fertility"] == artifact.counters["train"]["fertility"] > 1


def test_a_second_run_reuses_the_artifact_and_another_config_makes_another(
    trained: Artifact, spanish: Artifact
) -> None:
    root = str(Path(trained.folder.path).parent.parent)
    before = (Path(trained.folder.path) / "manifest.json").stat().st_mtime_ns
    again = tokenizer.train(config_of(), spanish, StageContext(root, "test"))
    assert again.folder == trained.folder
    assert (Path(again.folder.path) / "manifest.json").stat().st_mtime_ns == before
    other = tokenizer.train(config_of(vocab_size=149), spanish, StageContext(root, "test"))
    assert other.fingerprint != trained.fingerprint


def test_a_long_corpus_is_sampled_evenly(tmp_path: Path) -> None:
    texts = [f"{'abcdefghij'[i]}{'x' * 9}" for i in range(10)]
    corpus = corpus_of(tmp_path, texts)
    seen: list[Update] = []
    config = config_of(vocab_size=12, max_training_characters=50, min_frequency=1)
    tokens = tokenizer.train_vocabulary(config, corpus, seen.append)
    assert [p for p in tokens if len(p) == 1] == ["a", "c", "e", "g", "i", "x"]
    assert seen[-1].done == seen[-1].total == 100
    assert [update.done for update in seen] == sorted(update.done for update in seen)


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_vocabularies_beyond_sixteen_bits_are_allowed(size: int) -> None:
    assert TokenizerConfig(vocab_size=size).vocab_size == size


def test_vocabulary_larger_than_the_text_gives(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, SPANISH * 3)
    with pytest.raises(ValueError, match=r"tokenizer\.vocab_size is 900.* gives (\d+) tokens") as e:
        tokenizer.train(config_of(vocab_size=900), corpus, StageContext(str(tmp_path), "t"))
    possible = int(str(e.value).split("gives ")[1].split()[0])
    assert f"set tokenizer.vocab_size to {possible} or less" in str(e.value)
    artifact = tokenizer.train(
        config_of(vocab_size=possible), corpus, StageContext(str(tmp_path), "t")
    )
    assert artifact.counters["vocab_size"] == possible


def test_vocabulary_larger_than_the_corpus_is_refused_before_training(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, ["corto"])
    with pytest.raises(ValueError, match=r"vocab_size is 150.*only 5 characters") as error:
        tokenizer.train(config_of(), corpus, StageContext(str(tmp_path), "t"))
    assert "\n" not in str(error.value)


def test_vocabulary_too_small_for_the_alphabet(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, SPANISH * 3)
    with pytest.raises(ValueError, match=r"vocab_size is 20.* already are \d+ tokens.*coverage"):
        tokenizer.train(config_of(vocab_size=20), corpus, StageContext(str(tmp_path), "t"))


def test_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no training documents"):
        tokenizer.train(config_of(), corpus_of(tmp_path, []), StageContext(str(tmp_path), "t"))


VOCABULARY = (*SPECIAL_TOKENS, *"abñü.", *("##" + c for c in "abñü"), "ab", "##ña")


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_gives_ids_of_the_vocabulary_between_cls_and_sep(text: str) -> None:
    loaded = tokenizer.assemble(VOCABULARY, TokenizerConfig())
    ids = loaded(text).input_ids
    assert ids[0] == 2
    assert ids[-1] == 3
    assert all(0 <= index < len(VOCABULARY) for index in ids)


@given(st.lists(st.text("abñü", min_size=1, max_size=20), max_size=8))
@settings(max_examples=200, deadline=None)
def test_decoding_gives_back_words_of_the_alphabet(words: list[str]) -> None:
    loaded = tokenizer.assemble(VOCABULARY, TokenizerConfig())
    ids = loaded(" ".join(words), add_special_tokens=False).input_ids
    assert loaded.decode(ids) == " ".join(words)


NAIVE = "A, naïve [MASK] AllenNLP sentence."
NAIVE_TOKENS = ["[CLS]", "a", ",", "naive", "[MASK]", "allen", "##nl", "##p", "sentence", "."]
NAIVE_TOKENS += ["[SEP]"]
NAIVE_OFFSETS = [(0, 0), (0, 1), (1, 2), (3, 8), (9, 15), (16, 21), (21, 23), (23, 24), (25, 33)]
NAIVE_OFFSETS += [(33, 34), (0, 0)]


def assert_as_bert(loaded: PreTrainedTokenizerFast) -> None:
    """AllenNLP's fixture for BERT's uncased tokenizer."""
    encoding = loaded(NAIVE, return_offsets_mapping=True)
    assert loaded.convert_ids_to_tokens(encoding.input_ids) == NAIVE_TOKENS
    assert encoding.offset_mapping == NAIVE_OFFSETS
    assert loaded("\u00ad", add_special_tokens=False).input_ids == []  # a soft hyphen is nothing


def test_uncased_with_accents_stripped_is_bert_uncased() -> None:
    tokens = [*SPECIAL_TOKENS, *sorted(set(NAIVE_TOKENS) - set(SPECIAL_TOKENS))]
    assert_as_bert(tokenizer.assemble(tokens, TokenizerConfig(strip_accents=True)))


@pytest.mark.data
def test_bert_vocabulary(data_directory: Path) -> None:
    file = next((data_directory / "vocab").glob("*uncased*"))
    file = file / "vocab.txt" if file.is_dir() else file
    loaded = tokenizer.assemble(
        file.read_text(encoding="utf-8").splitlines(), TokenizerConfig(strip_accents=True)
    )
    assert loaded.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 100, 101, 102, 103]
    assert_as_bert(loaded)


# --- an existing tokenizer ------------------------------------------------------------


def taken_over(place: object, corpus: Artifact, root: Path, **settings: object) -> Artifact:
    config = TokenizerConfig.model_validate({"initialize_from": str(place), **settings})
    tokenizer.check(config)
    return tokenizer.train(config, corpus, StageContext(str(root), "test"))


def test_a_tokenizer_of_this_pipeline_is_reused_byte_for_byte(
    trained: Artifact, tmp_path: Path
) -> None:
    corpus = corpus_of(tmp_path, ["El año que viene, más."] * 3)
    artifact = taken_over(trained.folder, corpus, tmp_path)
    assert artifact.file_names() == trained.file_names()
    for name in trained.file_names():
        assert artifact.folder.read_bytes(name) == trained.folder.read_bytes(name), name
    expected = quality.measure(load(trained), ["El año que viene, más."] * 3)
    assert artifact.counters["train"] == expected
    assert artifact.counters["lowercase"] is True
    assert artifact.observed["initialized_from"] == str(trained.folder)


def test_an_existing_tokenizer_keeps_its_class(spanish: Artifact, tmp_path: Path) -> None:
    letters = sorted({letter for text in SPANISH for letter in text.lower() if letter.isalpha()})
    tokens = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    theirs = BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, strip_accents=False)
    theirs.save_pretrained(tmp_path / "theirs")
    artifact = taken_over(tmp_path / "theirs", spanish, tmp_path)
    settings = json.loads(artifact.local_file("tokenizer/tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "BertTokenizer"
    again = AutoTokenizer.from_pretrained(artifact.local_folder("tokenizer"))
    assert type(again) is BertTokenizer
    assert again(list(SPANISH)).input_ids == theirs(list(SPANISH)).input_ids


def test_identity_is_the_content_of_a_tokenizer_not_its_path(
    trained: Artifact, spanish: Artifact, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained.local_folder("tokenizer"), elsewhere)
    first = taken_over(trained.folder, spanish, tmp_path)
    assert taken_over(elsewhere, spanish, tmp_path).folder == first.folder
    assert first.fingerprint != trained.fingerprint
    shorter = taken_over(elsewhere, spanish, tmp_path, max_length=64)
    assert shorter.fingerprint != first.fingerprint
    assert load(shorter).model_max_length == 64

    file = elsewhere / "tokenizer.json"
    changed = json.loads(file.read_text())
    changed["normalizer"]["normalizers"].remove({"type": "Lowercase"})
    file.write_text(json.dumps(changed))
    cased = taken_over(elsewhere, spanish, tmp_path)
    assert cased.fingerprint != first.fingerprint
    assert cased.counters["lowercase"] is False


def test_initialize_from_null_does_not_change_the_fingerprint() -> None:
    assert "initialize_from" not in config_of().identity


def test_truncation_and_padding_of_an_existing_tokenizer_are_disabled(
    trained: Artifact, spanish: Artifact, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(trained.local_folder("tokenizer"), theirs)
    backend = Tokenizer.from_file(str(theirs / "tokenizer.json"))
    backend.enable_truncation(4)
    backend.enable_padding(length=8)
    backend.save(str(theirs / "tokenizer.json"))
    artifact = taken_over(theirs, spanish, tmp_path)
    saved = Tokenizer.from_file(str(artifact.local_file("tokenizer/tokenizer.json")))
    original = Tokenizer.from_file(str(trained.local_file("tokenizer/tokenizer.json")))
    assert saved.encode(SPANISH[0]).ids == original.encode(SPANISH[0]).ids
    assert artifact.counters["num_pieces"] == trained.counters["num_pieces"]


def test_an_existing_tokenizer_with_other_ids(spanish: Artifact, tmp_path: Path) -> None:
    theirs = tmp_path / "bert"
    tokens = ["[PAD]", "[unused0]", "a", *SPECIAL_TOKENS[1:], "##b", "el"]
    theirs.mkdir()
    (theirs / "vocab.txt").write_text("\n".join(tokens))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (theirs / "tokenizer_config.json").write_text(json.dumps(settings))
    artifact = taken_over(theirs, spanish, tmp_path)
    loaded = load(artifact)
    assert loaded.convert_ids_to_tokens(range(len(tokens))) == tokens
    assert loaded("el ab El").input_ids == [4, 8, 2, 7, 3, 5]
    assert artifact.counters["lowercase"] is artifact.counters["strip_accents"] is False
    assert artifact.counters["vocab_size"] == len(tokens)
    # [UNK] occurs, at an id beyond the first five, and is no regular token
    assert quality.measure(loaded, ["zzz a"])["vocabulary_coverage"] == round(1 / 4, 6)


def write_tokenizer(directory: Path, model: object, **roles: str) -> Path:
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), **roles).save_pretrained(directory)
    return directory


def test_an_unusable_tokenizer_is_refused_in_one_line(
    trained: Artifact, spanish: Artifact, tmp_path: Path
) -> None:
    ids = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    named = ("pad_token", "unk_token", "cls_token", "sep_token")
    roles = dict(zip(named, SPECIAL_TOKENS[:4], strict=True))
    word_piece = models.WordPiece(ids, unk_token="[UNK]")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tokenizer.json").write_text("{")
    (tmp_path / "empty").mkdir()
    gap = models.WordPiece(ids | {"a": 9}, unk_token="[UNK]")
    for place, reason in (
        (tmp_path / "nowhere", "no such directory"),
        ("memory://nowhere/tokenizer", "does not exist"),
        ("nobody/nothing", "cannot be loaded as a tokenizer"),
        (tmp_path / "empty", "neither a tokenizer"),
        (broken, "cannot be loaded as a tokenizer"),
        (spanish.folder, "a corpus artifact is not a model"),
        (write_tokenizer(tmp_path / "bpe", models.BPE(ids, [])), "not a WordPiece tokenizer"),
        (write_tokenizer(tmp_path / "maskless", word_piece, **roles), "its mask token is None"),
        (
            write_tokenizer(tmp_path / "gap", gap, **roles, mask_token="[MASK]"),
            "6 tokens with ids up to 9",
        ),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            tokenizer.check(TokenizerConfig(initialize_from=str(place)))
        assert str(error.value).startswith("tokenizer.initialize_from: ")
        assert str(place) in str(error.value)
        assert "\n" not in str(error.value)


def test_training_keys_with_initialize_from_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vocab_size is 150, but initialize_from"):
        TokenizerConfig(initialize_from="x", vocab_size=150)
    printed = TokenizerConfig(initialize_from="x", max_length=64).model_dump()
    assert TokenizerConfig.model_validate(printed).max_length == 64
