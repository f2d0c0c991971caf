"""Sentences with a word and its tag a line: published layouts and invalid lines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.conll import tagged_sentences
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.load import load


def read(text, *, labelled=True, **values):
    values = {"name": "own", "type": "tagging", "train": "t", **values}
    task = UserTask(**values).as_task()
    context = ReadContext(task, task.columns, labelled)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [
        list(zip(example.words, example.tags, strict=True))
        for example in tagged_sentences(context, "t.txt", lines)
    ]


CONLLU = """# sent_id = 1
# text = vámonos ya
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tV\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_
2.1\tya\tya\tADV\tR\t_\t_\t_\t_\t_

# newdoc
# text = 3.1
1\t3.1\t3.1\tNUM\tN\t_\t0\troot\t_\t_
"""

LAYOUTS = {
    "conll2003": (
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n# # I-NP O\n\n-DOCSTART- 2\nUN NN B-NP B-ORG",
        {},
        [[("EU", "B-ORG"), ("#", "O")], [("UN", "B-ORG")]],
    ),
    "germeval": (
        "#\thttp://a.de [2009-10-17]\n1\tAnna\tB-PER\tO\n2\t#\tO\tO\n\n#\tb [x]\n1\tda\tO\tO\n",
        {"text_column": 1, "label_column": 2},
        [[("Anna", "B-PER"), ("#", "O")], [("da", "O")]],
    ),
    "conllu": (
        CONLLU,
        {"text_column": 1, "label_column": 3},
        [[("vamos", "VERB"), ("nos", "PRON")], [("3.1", "NUM")]],
    ),
    "multiconer": (
        "# id 5239d808-f300 domain=en\nthe _ _ O\nnile _ _ B-LOC\n\n# id 77 domain=en\n# _ _ O\n",
        {},
        [[("the", "O"), ("nile", "B-LOC")], [("#", "O")]],
    ),
    "multiconer with a tab": ("# id 52\tdomain=en\nnile _ _ B-LOC\n", {}, [[("nile", "B-LOC")]]),
    "ontonotes": (
        "#begin document (bc/cctv); part 000\nbc 0 0 Hong NNP B-GPE\nbc 0 1 Kong NNP I-GPE\n\n"
        "#end document\n",
        {"text_column": 3},
        [[("Hong", "B-GPE"), ("Kong", "I-GPE")]],
    ),
    "wikiann": (
        "en:Rome\tB-LOC\nen:is\tO\nen:en:x\tO\n",
        {},
        [[("Rome", "B-LOC"), ("is", "O"), ("en:x", "O")]],
    ),
    "polyglot": ("Roma\tLOC\nè\tO\n\nx\tO\n", {}, [[("Roma", "LOC"), ("è", "O")], [("x", "O")]]),
    "resume": (
        "高 B-NAME\n勇 E-NAME\n。 O\n",
        {},
        [[("高", "B-NAME"), ("勇", "E-NAME"), ("。", "O")]],
    ),
    "tweets": (
        "#nlp\tO\n#\tO\n@x\tO\nNew York\tB-LOC\n\t\n",
        {},
        [[("#nlp", "O"), ("#", "O"), ("@x", "O"), ("New York", "B-LOC")]],
    ),
    "penn's #": ("# # O\n5 CD O\n", {"label_column": 1}, [[("#", "#"), ("5", "CD")]]),
    "scores": ("3-1 O\nAnna B-PER\n", {}, [[("3-1", "O"), ("Anna", "B-PER")]]),
    "line ends": (
        "a O\r\nb B-X  \r\n \r\n\t\r\nc O\t",
        {},
        [[("a", "O"), ("b", "B-X")], [("c", "O")]],
    ),
    "tabs among spaces": (
        "a NN\tO\nb  NN O\nc\tNN\tO\n",
        {},
        [[("a", "O"), ("b", "O"), ("c", "O")]],
    ),
    "a word of a space": (
        "## klue-ner-v1_train_00000\t<경찰:OG> 앞\n경\tB-OG\n찰\tI-OG\n \tO\n앞\tO\n",
        {},
        [[("경", "B-OG"), ("찰", "I-OG"), (" ", "O"), ("앞", "O")]],
    ),
    "penn treebank": (
        "The/DT 1\\/2/CD cat/NN\n\nIt/PRP ran/VBD ./.\n",
        {},
        [
            [("The", "DT"), ("1\\/2", "CD"), ("cat", "NN")],
            [("It", "PRP"), ("ran", "VBD"), (".", ".")],
        ],
    ),
    "underscores": (
        "The_DT cat_NN\nIt_PRP ran_VBD\n",
        {},
        [[("The", "DT"), ("cat", "NN")], [("It", "PRP"), ("ran", "VBD")]],
    ),
    "tags with slashes": ("a/b X/Y\nc X/Y\n", {}, [[("a/b", "X/Y"), ("c", "X/Y")]]),
    "few-nerd by runs": (
        "Tom\tperson-actor\nHanks\tperson-actor\nran\tO\n",
        {"labels": ["O", "I-person-actor"], "label_values": ["O", "person-actor"]},
        [[("Tom", "I-person-actor"), ("Hanks", "I-person-actor"), ("ran", "O")]],
    ),
    "aligned": ("a   \t O\nbcd \t B-X\n", {}, [[("a", "O"), ("bcd", "B-X")]]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts(name):
    text, values, expected = LAYOUTS[name]
    assert read(text, **values) == expected
    assert read(text.replace("\n", "\r\n"), **values) == expected


@pytest.mark.parametrize("odd", ["\xa0", "\u3000", "\u2028", "\x85", "\u200b", "\x1f", "\u202f"])
@pytest.mark.parametrize("separator", [" ", "\t", "  \t"])
def test_columns_are_separated_by_spaces_and_tabs_only(odd, separator):
    text = f"10{odd}000{separator}O\nx{separator}B-X\n{odd}{separator}O\n{odd}a{separator}O\n"
    words = [word for word, _ in read(text)[0]]
    assert words == [f"10{odd}000", "x", odd, f"{odd}a"]


REFUSED = {
    "a B-X\nb\n": r"t\.txt:2: 'b' has 1 columns; expected 2 or more",
    "a\tO\nNew York\n": r"t\.txt:2: 'New York' has 1 columns",
    "a NN O\n\nNew York NN O\nb NN O\n": r"t\.txt:4: 'b NN O' has 3 columns, line 3 .* has 4",
    "a\tO\n\tO\n": r"t\.txt:2: ' O' has an empty word or tag",
    "#word\na O\n": r"t\.txt:1: '#word' has 1 columns",
    "a O\nb \ud83d\n": r"t\.txt:1: the sentence has half of a character \(\\ud83d\)",
    "1-2\tvámonos\t_\t_\n1\tvamos\tVERB\t_\n2\tnos\tPRON\t_\n": r"counts the words",
    "The/DT\ncat/NN\n": r"t\.txt:1: 'The/DT' has 1 columns",
    "1\ta\tX\n2\tb\tY\n": r"the first column counts the words .* set text_column to 1",
}


@pytest.mark.parametrize("text", REFUSED)
def test_invalid_lines_are_named(text):
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_unlabelled_words_are_read():
    assert read("EU\nrejects\n\n#\n", labelled=False) == [
        [("EU", ""), ("rejects", "")],
        [("#", "")],
    ]


def test_carriage_returns_end_lines(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"Anna B-PER\rsings O\r\rRome B-LOC\r")
    path = str(tmp_path / "t.txt")
    task = UserTask(name="own", type="tagging", train=path, validation=path).as_task()
    assert [e.words for e in load(task, None).train] == [("Anna", "sings"), ("Rome",)]


CHARACTERS = st.characters(exclude_categories=["Cs", "Zs"], exclude_characters="\n\r\t\ufeff#:")
WORDS = st.text(CHARACTERS, min_size=1, max_size=5).filter(lambda word: word.strip())
TAGS = st.sampled_from(["O", "B-X", "I-X"])
SENTENCES = st.lists(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=4), max_size=4)


@settings(deadline=None, max_examples=200)
@given(
    SENTENCES,
    st.sampled_from(["\t", " ", "  ", " \t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_any_words_are_read_unchanged(sentences, separator, end, has_comments):
    lines = []
    for number, sentence in enumerate(sentences):
        lines += [f"# id = {number} x y"] if has_comments else []
        lines += [f"{word}{separator}{tag}" for word, tag in sentence] + [""]
    expected = [list(map(tuple, sentence)) for sentence in sentences]
    assert read(end.join(lines)) == expected
