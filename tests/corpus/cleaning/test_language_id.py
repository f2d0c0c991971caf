# ruff: noqa: RUF001 - letters of other scripts are meant
import pytest

from electra_pipeline.corpus.cleaning import language_id
from electra_pipeline.corpus.cleaning.language_id import (
    _other_codes,
    check_language,
    identify,
    supported_languages,
)

TEXTS = {
    "en": "All human beings are born free and equal in dignity and rights, and have reason.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y razón.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren, mit Vernunft begabt.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl sahibidirler.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "fa": "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
    * 2,
}


@pytest.mark.parametrize("code", TEXTS)
def test_languages_are_identified(code: str) -> None:
    verdict = identify(TEXTS[code])
    assert verdict.code == code
    assert 0.5 < verdict.score <= 1.01  # fastText's probabilities may exceed 1 by rounding


def test_line_ends_do_not_matter() -> None:
    assert identify(TEXTS["de"].replace(" ", "\n")) == identify(TEXTS["de"])


@pytest.mark.parametrize("text", ["", "Too short to tell.", "12,345.67 -- 89 % " * 50])
def test_texts_with_too_few_letters_have_no_language(text: str) -> None:
    assert identify(text).code is None


def test_a_preface_in_another_language_does_not_decide() -> None:
    book = (TEXTS["en"] + "\n") * 20 + (TEXTS["es"] + "\n") * 200
    verdict = identify(book)
    assert verdict.code == "es"
    assert verdict.score < 0.99


def test_the_score_is_the_mean_over_windows() -> None:
    scores = identify((TEXTS["en"] + " ") * 50 + (TEXTS["ru"] + " ") * 50)
    assert 0.4 < scores.score < 0.65


@pytest.mark.parametrize("min_score", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("wanted", [None, "en", "ru"])
def test_reading_stops_early_with_the_same_verdict(wanted: str | None, min_score: float) -> None:
    for num_english in range(0, 24, 3):
        text = (TEXTS["en"] + " ") * num_english + (TEXTS["ru"] + " ") * (21 - num_english)
        whole, verdict = identify(text), identify(text, wanted, min_score)
        assert verdict.code == whole.code
        assert (verdict.score >= min_score) == (whole.score >= min_score)
        assert verdict.score == whole.score or wanted in (None, whole.code)


def test_windows_that_cannot_matter_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[str] = []
    model = language_id._model()

    class Recorder:
        def predict(self, window: str, k: int) -> object:
            windows.append(window)
            return model.predict(window, k)

    monkeypatch.setattr(language_id, "_model", Recorder)
    for wanted, min_score, expected in ((None, 0.0, 3), ("en", 0.5, 3), ("de", 0.5, 4)):
        windows.clear()
        identify((TEXTS["en"] + " ") * 50, wanted, min_score)
        assert len(windows) == expected


def test_unsupported_codes_are_refused_with_the_supported_ones() -> None:
    assert check_language("es") == "es"
    assert len(supported_languages()) == 176
    with pytest.raises(ValueError, match=r"language 'tlh' cannot be identified; set it.* eo es "):
        check_language("tlh")


@pytest.mark.parametrize(
    ("given", "right"),
    [
        *(("spa", "es"), ("deu", "de"), ("ger", "de"), ("German", "de"), ("cmn", "zh")),
        *(("nb", "no"), ("nb-NO", "no"), ("nob", "no"), ("nn-NO", "nn"), ("nno", "nn")),
        *(("zh-hans", "zh"), ("zh_Hant_TW", "zh"), ("zh-CN", "zh"), ("zho_Hans", "zh")),
        *(
            ("pt-BR", "pt"),
            ("en_US.UTF-8", "en"),
            ("EN", "en"),
            ("sr-Latn", "sr"),
            ("es-419", "es"),
        ),
        *(("iw", "he"), ("in", "id"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro"), ("arb_Arab", "ar")),
        *(("jp", "ja"), ("ua", "uk"), ("gr", "el"), ("cz", "cs"), ("simple", "en"), (" fr ", "fr")),
    ],
)
def test_other_notations_of_a_language_suggest_the_code(given: str, right: str) -> None:
    with pytest.raises(ValueError, match=rf"cannot be identified; did you mean '{right}'\? "):
        check_language(given)


def test_other_codes_map_to_supported_ones() -> None:
    assert set(_other_codes().values()) <= set(supported_languages())
    assert not set(_other_codes()) & set(supported_languages())
