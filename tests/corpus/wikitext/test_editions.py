"""Names of namespaces, redirects and functions in the languages of MediaWiki."""

import pytest

from electra_pipeline.corpus.wikitext.editions import edition

TITLES = [
    *(("de", "Datei:a"), ("de", "Bild:a"), ("es", "Archivo:a"), ("es", "Imagen:a")),
    *(("fr", "Fichier:a"), ("fr", "Image:a"), ("pt", "Ficheiro:a"), ("pl", "Grafika:a")),
    *(("ru", "Изображение:a"), ("uk", "Зображення:a"), ("ja", "画像:a"), ("zh", "檔案:a")),
    *(("zh", "文件:a"), ("ko", "그림:a"), ("ar", "صورة:a"), ("fa", "پرونده:a"), ("he", "תמונה:a")),
    *(("tr", "Resim:a"), ("ca", "Imatge:a"), ("sr", "Слика:a"), ("sr", "Slika:a")),
    *(("de-at", "Datei:a"), ("gsw", "Datei:a"), ("be-tarask", "Выява:a"), ("xx", "File:a")),
    *(("nl", "afbeelding : a"), ("simple", "image:a")),
]


@pytest.mark.parametrize(("language", "title"), TITLES)
def test_file_namespaces_of_every_edition_are_recognized(language: str, title: str) -> None:
    assert edition(language).namespace(title) == "6"


@pytest.mark.parametrize(
    ("language", "title", "namespace"),
    [
        ("en", "Talk:River", "1"),
        ("en", "user_talk:X", "3"),
        ("en", "Wikipedia:Rules", "4"),
        ("fr", "Modèle:Boîte", "10"),
        ("fr", "Catégorie:Ville", "14"),
        ("de", "Benutzerin:X", "2"),
        ("en", "River", "0"),
        ("en", "2001: A Space Odyssey", "0"),
        ("en", ":File:x", "0"),
    ],
)
def test_namespaces_of_titles(language: str, title: str, namespace: str) -> None:
    assert edition(language).namespace(title) == namespace


def test_names_of_the_dump_take_precedence() -> None:
    names = edition("en").with_namespaces({"Portal": "100", "Image": "6", "Story": "0", "": "0"})
    assert names.namespace("Portal:Arts") == "100"
    assert names.namespace("story:x") == "0"
    assert names.namespace("File:x") == "6"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "#REDIRECT [[River]]"),
        ("en", " #redirect:[[River]] {{R from move}}"),
        ("es", "#REDIRECCIÓN [[Río]]"),
        ("de", "#WEITERLEITUNG [[Fluss]]"),
        ("de", "#REDIRECT[[Fluss]]"),
        ("fr", "#REDIRECTION [[Rivière]]"),
        ("ru", "#перенаправление [[Река]]"),
        ("uk", "#ПЕРЕНАПРАВЛЕННЯ [[Ріка]]"),
        ("zh", "#重定向 [[河]]"),
        ("ja", "#転送 [[川]]"),
        ("pl", "#PATRZ [[Rzeka]]"),
        ("ar", "#تحويل [[نهر]]"),
    ],
)
def test_redirects_are_recognized_in_every_language(language: str, text: str) -> None:
    assert edition(language).redirect.match(text)
    assert not edition(language).redirect.match(f"See {text}")
    assert not edition(language).redirect.match("#redirect" + " " * 100_000)  # in little time
