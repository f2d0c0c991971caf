"""What templates, variables and functions render, known and unknown, in many editions."""
# ruff: noqa: RUF001

from importlib.resources import files

import pytest
import yaml

from electra_pipeline.corpus import wikitext
from electra_pipeline.corpus.wikitext.convert import to_text
from electra_pipeline.corpus.wikitext.editions import edition, normal_name
from electra_pipeline.corpus.wikitext.template_handlers import HANDLERS
from electra_pipeline.corpus.wikitext.template_patterns import parse_pattern
from electra_pipeline.corpus.wikitext.templates import MAX_ENTRY_CHARACTERS


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{convert|1300|mi|km}} long", "1,300 mi long"),
        ("{{convert|5|ft|9|in|cm}} tall", "5 ft 9 in tall"),
        ("{{Convert|10|to|20|km|mi|abbr=on}} off", "10 to 20 km off"),
        ("{{cvt|3|-|4|m2|0}} {{convert|20|C|F}}", "3–4 m² 20 °C"),
        (
            "{{convert|5+1/2|in}} {{convert|2|e6km2}} {{ft in|5|9}} {{INR}}5",
            "5 1/2 in 2 million km² 5 ft 9 in ₹5",
        ),
        (
            "{{nihongo|A|漢|kan|extra=x}} {{lang-zh|s=简}} {{korean|hangul=가}}",
            "A (漢, kan, x) 简 가",
        ),
        ("{{columns-list|\n* c\n* d}}", "c\nd"),
        ("a{{nbsp}}b{{wbr}}c", "a bc"),
        ("{{formatnum:1234567.5}} {{formatnum:999}}", "1,234,567.5 999"),
        ("{{lang|fr|Bonjour}}, {{lang-de|Hallo}}, {{langx|es|hola}}", "Bonjour, Hallo, hola"),
        ("{{nowrap|a b}} {{ Nowrap | c }} {{Template:nobr|d}} {{not_a typo|e}}", "a b c d e"),
        ("{{subst:nowrap|a}} {{lang|fr|[[Paris|La ville]] = x}}", "a La ville = x"),
        ("({{IPA|/x/}}; {{lang|ru|Москва}}, {{transl|ru|Moskva}})", "(/x/; Москва, Moskva)"),
        ("({{circa|1900}}–{{c.|1950}}, {{reign|1900|1910}})", "(c. 1900–c. 1950, r. 1900–1910)"),
        (
            "{{birth date|1950|5|3}} {{death date and age|2000|1|2|df=y}}",
            "May 3, 1950 2 January 2000",
        ),
        ("{{start date|1820}} {{start date|1820|6}}", "1820 June 1820"),
        ("{{abbr|km|kilometre}} {{small|x}} {{sic|teh}} {{sic}}", "km x teh"),
        (
            "{{val|5.2|0.1|u=km}} {{math|''x'' + 1}} {{frac|1|2}} {{frac|3|1|2}}",
            "5.2±0.1 km x + 1 1/2 3 1/2",
        ),
        ("{{ill|Foo|de|Bar}} {{interlanguage link|A|fr|B|lt=C}} {{w|Paris}}", "Foo C Paris"),
        ("a{{ndash}}b{{spaced ndash}}c{{snd}}d it{{'}}s ''the''{{'s}}", "a–b – c – d it's the's"),
        (
            "{{nihongo|Castle|城|shiro}} {{nihongo|Castle|城}} {{nihongo|Castle}}",
            "Castle (城, shiro) Castle (城) Castle",
        ),
        (
            "{{USD|500}} {{As of|2010|5}} and {{as of|2011|lc=y}}",
            "US$500 As of May 2010 and as of 2011",
        ),
        (
            "x{{sup|2}} H{{sub|2}}O {{flag|France}} {{flagicon|FRA}} [[Spain]]",
            "x² H2O France Spain",
        ),
        ("{{plainlist|\n* a\n* b\n}}", "a\nb"),
        ("of {{hlist|a|b|c}} and {{ubl|x|y}}", "of a, b, c and x, y"),
        ("He said:\n{{quote|Text here.|A. Author}}\nThen.", "He said:\n\nText here.\n\nThen."),
        ("x {{!}} y {{=}} z", "x | y = z"),
        ("{{IPA|fr|mo}} {{IPA|/mo/}} {{w|United Nations|UN}}", "mo /mo/ UN"),
    ],
)
def test_inline_templates_are_replaced_by_their_text(wikitext: str, text: str) -> None:
    assert to_text(wikitext) == text


@pytest.mark.parametrize(
    ("language", "wikitext", "text"),
    [
        (
            "fr",
            "Au {{s|XIX|e}}, {{unité|5000|km}} ; le {{1er}} mai",
            "Au XIXe siècle, 5 000 km ; le 1er mai",
        ),
        (
            "fr",
            "{{abréviation|ONU|Nations unies}} {{w|Lord Kelvin|baron Kelvin}}",
            "ONU baron Kelvin",
        ),
        ("de", "{{§|1|bgb}} m{{hoch|2}} {{Bruch|1|2}} „{{lang|en|x}}“", "§ 1 m² 1/2 „x“"),
        ("zh", "{{le|甲|A|乙}}、{{tsl|en|X|丙|丁}}", "乙、丁"),
        ("uk", "{{нп|А|Б|en|C}} {{comment|в|г}}", "Б в"),
        ("fr", "{{unité|1500|km|2}} au n{{o}} 5", "1 500 km² au no 5"),
        ("ja", "{{仮リンク|甲|en|A|label=乙}}と{{ill2|甲|en|A|label=丙}}", "乙と丙"),
        ("fr", "({{Lien|langue=en|trad=Foo|fr=Texte}}) l{{'}}''Iliade''", "(Texte) l'Iliade"),
        (
            "de",
            "({{enS|House}}; {{lang|en|House}}) {{v. Chr.}}{{FN|1}}.",
            "(englisch House; House) v. Chr.",
        ),
        ("de", "{{SEITENNAME}} {{Vorlage:nowrap|x}} {{formatnum:12345}}", "Seite x 12.345"),
        ("es", "el {{siglo|XIX}} ({{fecha|3|5|1950}}){{cr}}", "el siglo XIX (3 de mayo de 1950)"),
        ("it", "{{formatnum:12345}}{{senza fonte}} {{citazione necessaria|testo}}", "12 345 testo"),
        ("pt", "{{ilc|Foo||Bar}} {{carece de fontes|data=x}} {{fmtn|12345}}", "Foo 12 345"),
        ("nl", "{{formatnum:12345}} m{{bron?}} lang", "12.345 m lang"),
        (
            "ru",
            "({{lang-en|House}}) {{нп5|A|Б|en|C}} {{num|12345}}{{нет АИ}}",
            "(англ. House) Б 12 345",
        ),
        ("uk", "({{lang-en|House}}) {{до н. е.}}", "(англ. House) до н. е."),
        (
            "ja",
            "家（{{lang-en-short|House}}）は{{仮リンク|家屋|en|House}}{{要出典}}。",
            "家（英: House）は家屋。",
        ),
        (
            "ja",
            "これは{{読み仮名|漢字|かんじ}}と{{未知|言葉}}である",
            "これは漢字（かんじ）と言葉である",
        ),
        (
            "zh",
            "房屋（{{lang-en|House}}）和{{link-en|甲|A}}{{来源请求}}。",
            "房屋（英语：House）和甲。",
        ),
        ("pl", "({{ang.|House}}) {{fakt}} i", "(ang. House) i"),
        ("sv", "{{f.Kr.}} {{källa behövs|x}} är", "f.Kr. är"),
        ("ar", "({{إنج|House}})، {{وإو|تر=Foo|عر=بيت}}", "(بالإنجليزية: House)، بيت"),
        ("fa", "({{به انگلیسی|House}}){{مدرک}}", "(به انگلیسی: House)"),
        ("tr", "({{dil|en|House}}) {{kaynak belirt}} ev", "(House) ev"),
        ("no", "({{lang|en|House}}) {{f.Kr.}} {{trenger referanse}} er", "(House) f.Kr. er"),
        ("gsw", "({{enS|House}}) {{Datum|5}}", "(englisch House) 5"),
        ("ca", "el {{segle|XIX}}{{CN|data=x}}", "el segle XIX"),
        ("ko", "({{llang|en|House}}) {{출처}} {{lang|en|House}}이다", "(House) House이다"),
    ],
)
def test_each_edition_has_its_own(language: str, wikitext: str, text: str) -> None:
    assert to_text(wikitext, edition(language), "Seite") == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        (
            "The word {{unk|hello}} is, {{unk|fr|salut}}; {{unk|5|km}} off",
            "The word hello is, salut; 5 km off",
        ),
        ("Text.{{unk|Smith|2000}} Next{{unk|Jones}}, end.", "Text. Next, end."),
        ("{{Unknown box|with text}}\nText.", "Text."),
        ("* {{unk|a}}\n* b", "b"),
        (
            "The length of {{unk}}, of which ({{unk}}; {{unk}}) and “{{unk}}” are",
            "The length of, of which and are",
        ),
        ("A (born {{unk}}; {{unk}}, x) [{{unk|name=x}}] is {{unk}} .", "A (born, x) is."),
        ("A ({{unk}}; {{unk}}, born 1950) is", "A (born 1950) is"),
        ("A, {{unk}}, is; {{unk}}: so {{unk|http://x.org}}", "A, is: so"),
        ("{{unk}}, a town", "a town"),
        ("the {{unk|image.jpg}} {{unk|a = b}} end", "the end"),
    ],
)
def test_unknown_templates_leave_no_gap(wikitext: str, text: str) -> None:
    assert to_text(wikitext) == text


@pytest.mark.parametrize(
    "text",
    [
        "Le mot : « oui » ; quoi ? Non !",
        "a ( b ) , c ; ; \"\" ''",
        "print() and f( ) ; x , y . . . z",
        "¿Qué? ¡No! – (1950 – )",
    ],
)
def test_the_authors_punctuation_is_kept(text: str) -> None:
    assert to_text(f"{text}\n{{{{unk}}}}").split() == text.replace("''", "").split()
    assert to_text(f"mot{{{{unk}}}} ; suite {{{{unk}}}} ; fin {{{{unk}}}} ! {text}").startswith(
        "mot ; suite ; fin ! "
    )


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{PAGENAME}} and {{FULLPAGENAME}}", "Title and Title"),
        ("{{lc:ABC}} {{uc:abc}} {{ucfirst:abc}} {{lcfirst:ABC}}", "abc ABC Abc aBC"),
        ("{{#if:x|yes|no}} {{#if: |yes|no}} {{#ifeq:a|a|same|not}}", "yes no same"),
        ("{{#switch:b|a=1|b=2|#default=3}} {{#switch:z|a=1|#default=3}}", "2 3"),
        ("{{#switch:a|a|b=2|c=3}} {{#expr:5}}", "2 5"),
        ("{{plural:1|one|many}} {{PLURAL:3|one|many}}", "one many"),
        ("in {{CURRENTYEAR}} {{#time:Y}}, {{#invoke:x|y}} it", "in, it"),
        ("{{DEFAULTSORT:x}}{{DISPLAYTITLE:''x''}}text", "text"),
        ("{{#tag:ref|note}} and {{#tag:nowiki|text}}", "and text"),
    ],
)
def test_variables_and_functions(wikitext: str, text: str) -> None:
    assert to_text(wikitext, title="Title") == text


def test_boxes_notes_and_hatnotes_are_removed() -> None:
    page = "{{Infobox town\n| name = {{lang|fr|Ville}}\n| map = {{location map|x}}\n}}\n"
    page += "{{Main|Foo}}\n{{See also|Bar}}\nText{{sfn|A|2000}}.{{efn|{{lang|fr|n}}}} More "
    page += "{{citation needed|date=May 2000}} text{{who}} ({{coord|1|2|N}}).\n{{Navbox|x}}"
    assert to_text(page) == "Text. More text."


def test_the_table_is_sound() -> None:
    table = yaml.safe_load((files(wikitext) / "templates.yaml").read_text(encoding="utf-8"))
    assert {"all", "de", "fr", "es", "it", "pt", "nl", "ru", "ja", "zh", "pl", "sv"} <= set(table)
    for patterns in table.values():
        names = [name for entries in patterns.values() for name in entries.split("; ")]
        assert len(names) == len(set(names)), "a name has two patterns"
        assert names == [normal_name(name) for name in names]
        assert max(map(len, names)) <= MAX_ENTRY_CHARACTERS
        for pattern in patterns:
            assert pattern in HANDLERS if pattern.startswith("!") else parse_pattern(pattern)


@pytest.mark.parametrize("pattern", ["[{1}", "{1}]"])
def test_unbalanced_brackets_of_a_pattern_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="without its"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("language", "wikitext", "text"),
    [
        (
            "en",
            "A mass of {{val|1.5|e=5|u=kg}} or {{val|2|3|u=kg}}.",
            "A mass of 1.5×10⁵ kg or 2±3 kg.",
        ),
        ("en", "About 6{{x10^|23}} atoms, {{sqrt|2}} wide.", "About 6×10²³ atoms, √2 wide."),
        ("en", "In Hawai{{okina}}i, {{MS|Estonia}} sank.", "In Hawaiʻi, MS Estonia sank."),
        ("en", "As {{harvtxt|Smith|2000}} found{{harv|Smith|2000}}.", "As Smith found."),
        ("en", "* {{see|name=Tower|url=x|content=A tall one.}}", "Tower. A tall one."),
        ("en", "{{see|Main article}}\nWords.", "Words."),
        ("en", "It ran {{hws|for|forward}} {{hwe|ward|forward}} on.", "It ran forward on."),
        ("fa", "می{{نیم‌فاصله}}رود", "می\u200cرود"),
        ("fr", "Avec {{Mme|Dupont}} et {{Mlle}} Durand.", "Avec Mme Dupont et Mlle Durand."),
        ("ja", "彼は{{要出典|範囲=死んだ|date=2010年}}。", "彼は死んだ。"),
        ("ja", "字{{JIS2004|辻}}、{{CP932フォント|髙}}、と。", "字辻、髙、と。"),
    ],
)
def test_templates_that_give_a_number_a_letter_or_a_name(
    language: str, wikitext: str, text: str
) -> None:
    assert to_text(wikitext, edition(language)) == text
