"""Each reason alone, and the verdicts of datatrove 0.10.1 (English); where ours differ, why."""

# ruff: noqa: RUF001 - letters of other scripts are meant
import random

import pytest

from electra_pipeline.corpus.cleaning.filters.gopher import GopherQuality, GopherRepetition
from electra_pipeline.corpus.cleaning.filters.text_view import TextView

FEW = GopherQuality(min_words=10)


def prose(num_words: int = 60, seed: int = 0) -> str:
    """Different words of usual length, with stop words between them."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(num_words)]
    return " ".join(["the", *words[: num_words // 2], "of", *words[num_words // 2 :]]) + "."


def reason(
    rule: GopherQuality | GopherRepetition, text: str, language: str | None = "en"
) -> str | None:
    rejection = rule.reject(TextView(text), language)
    return rejection.reason if rejection else None


@pytest.mark.parametrize("rule", [GopherQuality(), GopherRepetition()])
def test_prose_is_kept(rule: GopherQuality | GopherRepetition) -> None:
    assert reason(rule, prose()) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (prose(40), "few_words"),
        ("- , " * 40 + prose(40), "few_words"),  # symbols are no words
        ("the of a " * 30, "short_words"),
        ("the of " + "interconnection " * 60, "long_words"),
        (prose() + " #" * 10, "hash_signs"),
        (prose() + " ...word" * 5 + " …word" * 5, "ellipses"),
        ("\n".join(f"- {prose(8, seed)}" for seed in range(8)), "bullet_lines"),
        ("\n".join([f"{prose(20, seed)}.." for seed in range(3)] + [prose()]), "ellipsis_lines"),
        (prose() + " 12345" * 20, "few_letters"),
        (prose().replace("the ", ""), "few_stop_words"),
    ],
)
def test_each_quality_rule_fires_alone(text: str, expected: str) -> None:
    assert reason(GopherQuality(), text) == expected


def test_quality_rules_can_be_relaxed() -> None:
    assert reason(GopherQuality(max_words=60), prose(70)) == "many_words"
    assert reason(GopherQuality(max_words=None), prose(70)) is None
    assert reason(GopherQuality(min_stop_words=0), prose().replace("the ", "")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am " * 20, "short_words"),
        ("interconnection " * 20, "long_words"),
        ("# comment " * 20, "hash_signs"),
        ("... comment " * 20, "ellipses"),
    ],
)
def test_quality_as_in_datatrove(text: str, expected: str) -> None:
    assert reason(FEW, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am your father.\n\n" * 4, "duplicate_paragraphs"),
        ("I am your father.\n" * 4, "duplicate_lines"),
        ("I am Frank, I am Frank, I am Frank", "top_2_gram"),
        ("I am Frank, you are Jhon. I am Frank. I am Frank you are Jhon", None),
        ("Seven unique words without any repetition here", None),
    ],
)
def test_repetition_as_in_datatrove(text: str, expected: str | None) -> None:
    # The last two differ. datatrove says top_3_gram for "I am Frank", whose last word is "Frank,"
    # and "Frank." to us; and top_2_gram for a pair that occurs once.
    assert reason(GopherRepetition(), text) == expected


def ngrams_of(n: int, times: int, between: int, different: int = 1) -> str:
    """`different` sequences of `n` words, `times` times each, with new words after each."""
    rng = random.Random(1)

    def words(count: int) -> str:
        return " ".join("".join(rng.choices("abcdefghijklm", k=6)) for _ in range(count))

    sequences = [words(n) for _ in range(different)] * times
    return " ".join(f"{sequence} {words(between)}" for sequence in sequences)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\n".join([prose(70), prose(70), prose(70, 1)]), "duplicate_paragraphs"),
        ("\n".join([prose(70), prose(70), prose(70, 1)]), "duplicate_lines"),
        (ngrams_of(2, 20, 7), "top_2_gram"),
        (ngrams_of(3, 20, 12), "top_3_gram"),
        (ngrams_of(4, 20, 18), "top_4_gram"),
        (ngrams_of(5, 2, 9, different=4), "duplicate_5_grams"),
        (ngrams_of(6, 2, 12, different=4), "duplicate_6_grams"),
        (ngrams_of(7, 2, 16, different=4), "duplicate_7_grams"),
        (ngrams_of(8, 2, 20, different=4), "duplicate_8_grams"),
        (ngrams_of(9, 2, 26, different=4), "duplicate_9_grams"),
        (ngrams_of(10, 2, 32, different=4), "duplicate_10_grams"),
        (ngrams_of(10, 2, 33, different=4), None),
    ],
)
def test_each_repetition_rule_fires_alone(text: str, expected: str | None) -> None:
    assert reason(GopherRepetition(), text) == expected


def test_few_parts_with_most_of_the_characters() -> None:
    paragraphs = [prose(70), prose(70), *(prose(4, seed) for seed in range(1, 4))]
    assert reason(GopherRepetition(), "\n\n".join(paragraphs)) == "duplicate_paragraph_characters"
    assert reason(GopherRepetition(), "\n".join(paragraphs)) == "duplicate_line_characters"


CHINESE = (
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。" * 3
)


def test_languages_use_their_own_word_thresholds() -> None:
    german = "Donaudampfschifffahrtsgesellschaft und der Bundesverfassungsgerichtshof " * 20
    assert reason(GopherQuality(), german, "de") == "long_words"  # 15 characters are usual, not 25
    words = "Lebensmittelgeschäfte und Verkehrsverbindungen der Nachbargemeinden " * 20
    assert reason(GopherQuality(), words, "de") is None
    assert reason(GopherQuality(), words, "en") == "long_words"
    assert reason(GopherQuality(per_language=False), words, "de") == "long_words"
    assert reason(GopherQuality(), prose(), "de") == "few_stop_words"


# Text with and without the marks that a list of usual words leaves out: points, vowel signs,
# tatweel, and marks between words.
MARKED = [
    (
        "he",
        "הוּא הָלַךְ אֶל הַבַּיִת שֶׁל אֲחִיו כִּי לֹא הָיָה שָׁם גַּם אַחֲרֵי הַשַּׁבָּת",
        "הוא הלך אל הבית של אחיו כי לא היה שם גם אחרי השבת",
    ),
    (
        "ar",
        "ذَهَبَ الوَلَدُ الصَّغِيرُ إِلَى المَدْرَسَةِ مِنْ بَيْتِهِ مَعَ أَخِيهِ عَلَى الطَّرِيقِ فِي مُحَافَظَتِهِمُ الجَمِيلَةِ",
        "ذهب الولد الصغير إلى المدرسة من بيته مع أخيه على الطريق في محافظتهم الجميلة",
    ),
    (
        "ar",
        "أحرارا فـــي الكرامة مـــن الحقوق علـــى الطريق",
        "أحرارا في الكرامة من الحقوق على الطريق",
    ),
    (
        "am",
        "የተፈጥሮ፡ማስተዋል፡ያለው፡ነው፡እና፡ላይ፡ሌላውን፡በመንፈስ፡መመልከት፡",
        "የተፈጥሮ ማስተዋል ያለው ነው እና ላይ ሌላውን በመንፈስ መመልከት ",
    ),
]


@pytest.mark.parametrize(("language", "marked", "bare"), MARKED)
def test_optional_marks_do_not_affect_stop_words(language: str, marked: str, bare: str) -> None:
    for text in (marked, bare):
        assert reason(GopherQuality(), f"{text} " * 8, language) is None


def test_long_words_are_long_without_their_vowel_signs() -> None:
    word = "كَلِمَةٌ"  # 5 letters, and as many signs
    rule = GopherQuality(per_language=False, min_stop_words=0, max_mean_word_length=6)
    assert reason(rule, f"{word} " * 60, "ar") is None


def test_languages_without_an_entry_use_only_the_letters_rule() -> None:
    assert reason(GopherQuality(), prose().replace("the ", ""), "la") is None
    assert reason(GopherQuality(), prose() + " 12345" * 20, "la") == "few_letters"
    assert reason(GopherQuality(), prose().replace("the ", ""), None) is None


def test_characters_are_not_judged_by_the_length_of_words() -> None:
    assert reason(GopherQuality(), CHINESE, "zh") is None
    assert reason(GopherQuality(per_language=False, min_stop_words=0), CHINESE, "zh") is None
    assert (
        reason(GopherQuality(), "天地玄黄宇宙洪荒盈昃辰宿列张寒来暑往" * 8, "zh")
        == "few_stop_words"
    )


def test_repeated_characters_are_found() -> None:
    assert reason(GopherRepetition(), CHINESE.replace("。", "")) is not None
    assert reason(GopherRepetition(), CHINESE[: len(CHINESE) // 3]) is None
