"""The report: one file that needs nothing else, with every number that the artifacts have."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electra_pipeline.results.learning_curves import LearningCurve, Point
from electra_pipeline.results.report.charts import CHARTS, draw
from electra_pipeline.results.report.report import write_report
from electra_pipeline.storage.artifact import Written, produce


def artifact(root, stage, counters, files=None, inputs=None):
    def write(draft):
        for name, data in (files or {}).items():
            draft.folder.write_bytes(name, data)
        return Written(counters, {})

    return produce(
        root=str(root),
        stage=stage,
        name="es<small>",
        format_version=1,
        config={},
        inputs=inputs or {},
        write=write,
    )


def metric_lines():
    lines = []
    for step in range(0, 1000, 50):
        for split in ("train", "held_out"):
            line = {"step": step, "split": split, "generator_loss": 10 - step / 200}
            line |= {"generator_accuracy": step / 2000, "discriminator_loss": 0.7 - step / 3000}
            line |= {"discriminator_auc": 0.5 + step / 4000, "prior_entropy": 0.4}
            lines.append(line)
    return lines


def dropped():
    """Samples as a corpus artifact has them."""
    texts = ["Same.", "Same.", "First <b>\nof many", "long " * 200, "", "last"]
    columns = {"reason": ["too_short"] * 6, "value": ["5"] * 6, "source": ["books"] * 6}
    table = pa.table({**columns, "url": [None] * 6, "text": texts})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    return buffer.getvalue().to_pybytes()


@pytest.fixture
def artifacts(tmp_path):
    corpus = artifact(
        tmp_path,
        "corpus",
        {
            "documents": {"train": 12345, "held_out": 123},
            "words": {"train": 7654000, "held_out": 333},
            "characters": {"train": 3, "held_out": 4},
            "bytes": {"train": 5, "held_out": 6},
            "sources": {
                "news <a>": {
                    "read": 12800,
                    "kept": 12268,
                    "dropped": {"duplicate": 500, "too_short": 32},
                    "words": 7654321,
                    "licences": ["CC BY 2.5", "MIT"],
                    "weights": [1.0, 2.5],
                },
                "books": {
                    "read": 207,
                    "kept": 200,
                    "dropped": {"duplicate": 7},
                    "words": 12,
                    "licences": [],
                    "weights": [1.0],
                },
            },
            "languages": {"es": 12400, "und": 68},
            "words_by_language": {"es": 7654330, "und": 3},
            "documents_by_words": {"1": 0, "256": 12000, "1024": 468},
            "near_duplicate_clusters": {"1": 12459, "2": 1, "10": 8},
            "contaminated_by_task": {"cola": 17},
        },
        {"dropped.parquet": dropped()},
        {"news <a>/00000.jsonl.gz": "ab" * 32, "books/00001.txt": "cd" * 32},
    )
    sequences = artifact(
        tmp_path,
        "sequences",
        {
            split: {
                "tokens_by_source": {"news <a>": 1000 * n, "books": 11 * n},
                "tokens_by_language": {"es": 1010 * n, "und": n},
            }
            for split, n in (("train", 90), ("held_out", 1))
        },
        inputs={"corpus": corpus.fingerprint},
    )
    tokenizer = artifact(
        tmp_path,
        "tokenizer",
        {"vocab_size": 8192, "lowercase": True, "fertility": 1.2345678, "unknown_fraction": 0.0},
    )
    data = b"".join(orjson.dumps(x, option=orjson.OPT_APPEND_NEWLINE) for x in metric_lines())
    pretrain = artifact(
        tmp_path,
        "pretrain",
        {
            "steps": 1000,
            "tokens_seen": 16384000,
            "parameters": {"generator": 1, "discriminator": 2, "joint": 3},
            "held_out": {"discriminator_auc": 0.75},
        },
        {"metrics.jsonl": data},
        {"corpus": corpus.fingerprint, "tokenizer": tokenizer.fingerprint},
    )
    made = {"corpus": corpus, "tokenizer": tokenizer, "pretrain": pretrain}
    return made | {"sequences": sequences}


def rows():
    return [
        {
            "run": "es<small>",
            "model": model,
            "fingerprint": "abcdef012345",
            "task": "cola",
            "metric": "matthews",
            "split": "validation",
            "seed": seed,
            "value": value,
            "examples": 1043,
            "seconds": 1.0,
            "trial": f"{model}{seed}",
            "created_at": "2026-11-21T12:00:00+00:00",
        }
        for model, values in (
            ("pretrained", (0.5, 0.6)),
            ("random", (0.1, 0.2)),
            ("majority", (0, 0)),
        )
        for seed, value in enumerate(values)
    ]


class Page(HTMLParser):
    """Checks that tags nest, and gathers texts, ids and references."""

    VOID = ("meta", "br", "link", "img", "use", "path")

    def __init__(self, html):
        super().__init__()
        self.open, self.texts, self.ids, self.references = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.references += [v for name, v in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.references += [v for name, v in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_report_is_whole_and_stands_alone(artifacts):
    html = write_report(run_name="es<small>", rows=rows(), artifacts=artifacts)
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(reference.startswith("#") for reference in page.references)
    assert {r.removeprefix("#") for r in page.references} <= set(page.ids)
    assert {f"#{name}" for name in re.findall(r"url\(#([^)]*)\)", html)} <= {
        f"#{name}" for name in page.ids
    }
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert "http:" not in without_namespaces and "https:" not in without_namespaces
    assert html.count("<svg") == len(CHARTS)
    assert "es&lt;small&gt;" in html and "es<small>" not in html


def test_every_number_is_there_and_can_be_traced(artifacts):
    texts = Page(write_report(run_name="run", rows=rows(), artifacts=artifacts)).texts
    for expected in ("55.0 [50.0, 60.0]", "15.0 [10.0, 20.0]", "+40.0", "1,043"):
        assert expected in texts
    for expected in ("12,345", "12,800", "532", "507", "32", "news <a>", "es", "duplicate"):
        assert expected in texts
    for expected in ("7,654,321", "256 to 511", "12,000", "12,459", "8", "cola", "17"):
        assert expected in texts
    for expected in ("CC BY 2.5; MIT", "not stated", "1; 2.5", "ab" * 6, "cd" * 6, "91,000"):
        assert expected in texts
    for expected in ("8,192", "True", "1.235", "16,384,000", "0.75"):
        assert expected in texts
    fingerprints = [artifact.fingerprint for artifact in artifacts.values()]
    for expected in (*fingerprints, "abcdef012345", "pretrained0", "random1"):
        assert expected in texts


class Tables(HTMLParser):
    """The cells of each table, by its caption."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.rows, self.into = {}, [], None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.into = tag if tag in ("td", "th", "caption") else self.into

    def handle_endtag(self, tag):
        if tag == "table":
            self.tables[self.caption] = self.rows
        self.into = None if tag == self.into else self.into

    def handle_data(self, data):
        if self.into == "caption":
            self.caption += data
        elif self.into is not None:
            self.rows[-1][-1] += data.strip()


def column(table, name):
    """The numbers of a column, top to bottom."""
    header, *rows = table
    return [int(row[header.index(name)].replace(",", "")) for row in rows]


def test_the_numbers_of_the_corpus_balance(artifacts):
    tables = Tables(write_report(run_name="run", rows=[], artifacts=artifacts)).tables
    sizes = next(table for caption, table in tables.items() if caption.startswith("Kept text"))
    sources = next(table for caption, table in tables.items() if caption.startswith("Sources"))
    drops, languages = tables["Documents dropped, by reason and source"], tables["Languages"]
    lengths = [int(row[1].replace(",", "")) for row in tables["Documents by number of words"]]
    assert sizes[0] == ["", "train", "held out"]
    assert [row[0] for row in tables["Documents by number of words"]] == [
        "256 to 511",
        "1,024 to 2,047",
    ]
    clusters = tables["Clusters of near-duplicates by number of documents"]
    assert [row[:2] for row in clusters] == [["1", "12,459"], ["2", "1"], ["10", "8"]]
    read, gone, kept = (column(sources, name) for name in ("read", "dropped", "kept"))
    assert read == [a + b for a, b in zip(gone, kept, strict=True)]
    assert gone == [sum(column(drops, label)) for label in ("news <a>", "books")]
    assert sum(gone) == sum(column(drops, "all"))
    documents, words, *_, tokens = (
        sum(int(cell.replace(",", "")) for cell in row[1:]) for row in sizes[1:]
    )
    assert documents == sum(kept) == sum(column(languages, "documents")) == sum(lengths)
    assert words == sum(column(sources, "words kept")) == sum(column(languages, "words"))
    assert tokens == sum(column(sources, "tokens")) == sum(column(languages, "tokens"))


def test_samples_of_what_was_dropped_can_be_read(artifacts):
    html = write_report(run_name="run", rows=[], artifacts=artifacts)
    assert html.count("<blockquote>") == 3  # each text once, none without text
    assert "<blockquote>First &lt;b&gt; of many<footer>" in html
    assert f"{('long ' * 200)[:400]}…<footer>books, value: 5</footer>" in html


def test_a_corpus_of_an_older_format_has_its_report(tmp_path):
    counters = {name: {"train": 2} for name in ("documents", "words", "characters", "bytes")}
    counters |= {"languages": {"es": 2}, "sources": {"a": {"read": 2, "kept": 2, "dropped": {}}}}
    corpus = artifact(tmp_path, "corpus", counters)
    html = write_report(run_name="run", rows=[], artifacts={"corpus": corpus})
    tables = Tables(html).tables
    assert tables["Languages"][1] == ["es", "2", "unknown", "unknown"]
    assert "No document was dropped." in html


def test_rows_about_pretraining_stay_out_of_the_table_of_tasks(artifacts):
    about = {"task": "pretraining", "metric": "discriminator_auc", "split": "held_out"}
    extended = [*rows(), {**rows()[0], **about}]
    html = write_report(run_name="run", rows=extended, artifacts=artifacts)
    assert html == write_report(run_name="run", rows=rows(), artifacts=artifacts)


def test_any_number_of_models_stand_side_by_side_in_their_order(artifacts):
    bert = [
        {**row, "model": f"google/<bert>-{size}", "value": row["value"] + 0.3}
        for row in rows()
        if row["model"] == "pretrained"
        for size in ("base", "large")
    ]
    page = Page(write_report(run_name="run", rows=[*rows(), *bert], artifacts=artifacts))
    names = ["pre-trained", "google/<bert>-base", "google/<bert>-large", "random", "majority"]
    start = page.texts.index("pre-trained")
    assert [text for text in page.texts[start:] if text][:6] == [*names, "difference"]
    assert page.texts.count("85.0 [80.0, 90.0]") == 2
    alone = [row for row in rows() if row["model"] == "pretrained"]
    texts = Page(write_report(run_name="run", rows=alone, artifacts=artifacts)).texts
    assert "random" not in texts and "majority" not in texts


def test_intervals_and_notes_stand_below_the_score(artifacts):
    plain = write_report(run_name="run", rows=rows(), artifacts=artifacts)
    said = [
        {
            **row,
            "lower": row["value"] - 0.04 if row["model"] == "pretrained" else None,
            "upper": row["value"] + 0.02 if row["model"] == "pretrained" else None,
            "note": "degenerate" if row["model"] == "random" else None,
        }
        for row in rows()
    ]
    texts = Page(write_report(run_name="run", rows=said, artifacts=artifacts)).texts
    assert "46.0 to 52.0" in texts  # of the seed with the lower of the two middle scores
    assert "degenerate (seeds 0, 1)" in texts
    absent = [{**row, "lower": None, "upper": None, "note": None} for row in rows()]
    assert write_report(run_name="run", rows=absent, artifacts=artifacts) == plain


def test_the_history_has_a_chart_for_each_score_and_the_errors_a_link(artifacts):
    points = (Point(100, 0.25, 0.2, 0.3), Point(200, 0.5, 0.4, 0.6))
    curves = [
        LearningCurve("cola", metric, "validation", points, {"random": 0.1, "google/<bert>": 0.7})
        for metric in ("matthews", "accuracy")
    ]
    html = write_report(
        run_name="run",
        rows=rows(),
        learning_curves=curves,
        errors="run-errors.html",
        artifacts=artifacts,
    )
    page = Page(html)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert html.count("<svg") == len(CHARTS) + 2
    assert [r for r in page.references if not r.startswith("#")] == ["run-errors.html"]
    for expected in ("cola matthews, validation", "google/<bert>", "pre-training step"):
        assert expected in page.texts


def test_missing_artifacts_are_named(tmp_path):
    html = write_report(run_name="run", rows=[], artifacts={})
    texts = " ".join(Page(html).texts)
    for expected in ("No results", "no finished pre-training", "no finished corpus"):
        assert expected in texts
    assert "<svg" not in html


def test_charts_draw_each_split_and_leave_out_what_is_not_measured():
    loss, *_ = CHARTS
    svg = draw(loss, metric_lines())
    root = ElementTree.fromstring(svg)
    texts = {"".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")}
    assert {"train", "held out", "step"} <= texts
    assert draw(loss, metric_lines()) == svg
    assert draw(loss, [{"step": 1, "split": "train", "loss": 1.0}]) is None
    only_train = [line for line in metric_lines() if line["split"] == "train"]
    assert "held out" not in draw(loss, only_train)
