"""The report: one file that needs nothing else, with every number that the artifacts have."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import orjson
import pytest

from electra_pipeline.artifact import Written, produce
from electra_pipeline.evaluation.results.charts import CHARTS, draw
from electra_pipeline.evaluation.results.history import LearningCurve, Point
from electra_pipeline.evaluation.results.report import write_report


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


@pytest.fixture
def artifacts(tmp_path):
    corpus = artifact(
        tmp_path,
        "corpus",
        {
            "documents": {"train": 12345, "held_out": 123},
            "words": {"train": 1, "held_out": 2},
            "characters": {"train": 3, "held_out": 4},
            "bytes": {"train": 5, "held_out": 6},
            "sources": {
                "news <a>": {
                    "read": 13000,
                    "kept": 12468,
                    "dropped": {"duplicate": 500, "too_short": 32},
                    "words": 7654321,
                }
            },
            "languages": {"es": 12468},
            "documents_by_words": {"1": 0, "256": 6543},
        },
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
    return {"corpus": corpus, "tokenizer": tokenizer, "pretrain": pretrain}


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
            "leg": f"{model}{seed}",
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
    html = write_report(run_name="es<small>", rows=rows(), **artifacts)
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
    texts = Page(write_report(run_name="run", rows=rows(), **artifacts)).texts
    for expected in ("55.0 [50.0, 60.0]", "15.0 [10.0, 20.0]", "+40.0", "1,043"):
        assert expected in texts
    for expected in ("12,345", "13,000", "532", "500", "32", "news <a>", "es", "duplicate"):
        assert expected in texts
    for expected in ("7,654,321", "256", "6,543"):
        assert expected in texts
    for expected in ("8,192", "True", "1.235", "16,384,000", "0.75"):
        assert expected in texts
    fingerprints = [artifact.fingerprint for artifact in artifacts.values()]
    for expected in (*fingerprints, "abcdef012345", "pretrained0", "random1"):
        assert expected in texts


def test_rows_about_pretraining_stay_out_of_the_table_of_tasks(artifacts):
    about = {"task": "pretraining", "metric": "discriminator_auc", "split": "held_out"}
    extended = [*rows(), {**rows()[0], **about}]
    html = write_report(run_name="run", rows=extended, **artifacts)
    assert html == write_report(run_name="run", rows=rows(), **artifacts)


def test_any_number_of_models_stand_side_by_side_in_their_order(artifacts):
    bert = [
        {**row, "model": f"google/<bert>-{size}", "value": row["value"] + 0.3}
        for row in rows()
        if row["model"] == "pretrained"
        for size in ("base", "large")
    ]
    page = Page(write_report(run_name="run", rows=[*rows(), *bert], **artifacts))
    names = ["pre-trained", "google/<bert>-base", "google/<bert>-large", "random", "majority"]
    start = page.texts.index("pre-trained")
    assert [text for text in page.texts[start:] if text][:6] == [*names, "difference"]
    assert page.texts.count("85.0 [80.0, 90.0]") == 2
    alone = [row for row in rows() if row["model"] == "pretrained"]
    texts = Page(write_report(run_name="run", rows=alone, **artifacts)).texts
    assert "random" not in texts and "majority" not in texts


def test_intervals_and_notes_stand_below_the_score(artifacts):
    plain = write_report(run_name="run", rows=rows(), **artifacts)
    said = [
        {
            **row,
            "lower": row["value"] - 0.04 if row["model"] == "pretrained" else None,
            "upper": row["value"] + 0.02 if row["model"] == "pretrained" else None,
            "note": "degenerate" if row["model"] == "random" else None,
        }
        for row in rows()
    ]
    texts = Page(write_report(run_name="run", rows=said, **artifacts)).texts
    assert "46.0 to 52.0" in texts  # of the seed with the lower of the two middle scores
    assert "degenerate (seeds 0, 1)" in texts
    absent = [{**row, "lower": None, "upper": None, "note": None} for row in rows()]
    assert write_report(run_name="run", rows=absent, **artifacts) == plain


def test_the_history_has_a_chart_for_each_score_and_the_errors_a_link(artifacts):
    points = (Point(100, 0.25, 0.2, 0.3), Point(200, 0.5, 0.4, 0.6))
    curves = [
        LearningCurve("cola", metric, "validation", points, {"random": 0.1, "google/<bert>": 0.7})
        for metric in ("matthews", "accuracy")
    ]
    html = write_report(
        run_name="run", rows=rows(), history=curves, errors="run-errors.html", **artifacts
    )
    page = Page(html)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert html.count("<svg") == len(CHARTS) + 2
    assert [r for r in page.references if not r.startswith("#")] == ["run-errors.html"]
    for expected in ("cola matthews, validation", "google/<bert>", "pre-training step"):
        assert expected in page.texts


def test_what_is_not_there_is_said(tmp_path):
    html = write_report(run_name="run", rows=[], pretrain=None, corpus=None, tokenizer=None)
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
