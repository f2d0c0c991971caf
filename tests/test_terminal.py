import io
import json
import logging
import re

import pytest
from rich.console import Console

from electra_pipeline.progress import Update
from electra_pipeline.terminal import (
    JsonLines,
    LoggedProgress,
    duration,
    progress_line,
    shown_progress,
)


def test_a_line_says_share_rate_and_time_left() -> None:
    update = Update("corpus", 12, 40, "pieces", {"MB/s": 3.21987, "step": "reading"})
    assert progress_line(update, 6, 2.0) == (
        "corpus 12/40 pieces (30%), 3 pieces/s, 9 s left  MB/s 3.22  step reading"
    )
    assert progress_line(Update("x", 0, 10, "steps"), 0, 0) == "x 0/10 steps (0%)"
    assert progress_line(Update("x", 0, 1_000_000, "steps"), 0, 0) == "x 0/1000000 steps (0%)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.4, "9 s"), (119, "119 s"), (150, "2 min"), (7100, "118 min"), (111_900, "31.1 h")],
)
def test_a_duration_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [80, 160])
def test_bars_and_facts_each_take_one_line(width: int) -> None:
    screen = io.StringIO()
    console = Console(width=width, force_terminal=True, file=screen)
    with shown_progress(console) as progress:
        progress(Update("corpus", 12, 12, "pieces", {"documents": "1,000"}))
        progress(Update("pretrain", 1, 1_000_000, "steps", {f"fact {n}": 1.0 for n in range(20)}))
    *_, bar, facts, _ = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).split("\r\n"[1])
    assert "pretrain" in bar and "1/1000000 steps" in bar
    assert facts.strip().startswith("fact 0 1  fact 1 1")
    assert len(facts) <= width


def test_the_end_is_always_logged(caplog) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("INFO")
    progress = LoggedProgress()
    for done in range(1, 101):
        progress(Update("steps", done, 100, "steps"))
    assert len(caplog.records) == 1
    assert "100/100" in caplog.text


def test_a_line_of_json_has_the_run_the_stage_and_the_numbers(caplog) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("INFO")
    LoggedProgress()(Update("pretrain", 20, 20, "steps", {"G loss": 6.5, "lr": "5e-4"}))
    logging.getLogger("electra_pipeline.storage.artifact").warning("%s: waiting", "corpus")
    progress, other = (json.loads(JsonLines("es").format(each)) for each in caplog.records)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", progress.pop("time"))
    assert progress == {
        "level": "info",
        "run": "es",
        "logger": "electra_pipeline.terminal",
        "message": "pretrain 20/20 steps (100%)  G loss 6.5  lr 5e-4",
        "stage": "pretrain",
        "done": 20,
        "total": 20,
        "unit": "steps",
        "facts": {"G loss": 6.5, "lr": "5e-4"},
    }
    assert (other["level"], other["message"]) == ("warning", "corpus: waiting")
