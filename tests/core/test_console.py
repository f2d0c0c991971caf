import io
import json
import logging
import re
import time

import pytest
from rich.console import Console

from electra_pipeline.core.console import (
    JsonLines,
    LoggedProgress,
    duration,
    progress_display,
    progress_line,
)
from electra_pipeline.core.progress import Update, throttled


def test_progress_line_has_percentage_rate_and_time_left() -> None:
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
def test_durations_are_formatted(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [80, 160])
def test_bars_and_metrics_each_take_one_line(width: int) -> None:
    screen = io.StringIO()
    console = Console(width=width, force_terminal=True, file=screen)
    with progress_display(console) as progress:
        progress(Update("corpus", 12, 12, "pieces", {"documents": "1,000"}))
        progress(Update("pretrain", 1, 1_000_000, "steps", {f"fact {n}": 1.0 for n in range(20)}))
    *_, bar, facts, _ = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).split("\r\n"[1])
    assert "pretrain" in bar and "1/1000000 steps" in bar
    assert facts.strip().startswith("fact 0 1  fact 1 1")
    assert len(facts) <= width


def test_each_running_item_has_a_line_of_its_own_until_it_ends() -> None:
    screen = io.StringIO()
    console = Console(width=100, force_terminal=True, file=screen)
    with progress_display(console) as progress:
        progress(Update("finetune", 0, 2, "trials"))
        for done in (1, 2):
            progress(Update("finetune", done, 3, "steps", {"loss": 0.5}, item="a, cola, seed 0"))
            progress(Update("finetune", 7 * done, 40, "steps", {"loss": 0.25}, item="a, rte"))
        progress(Update("finetune", 3, 3, "steps", {"loss": 0.5}, item="a, cola, seed 0"))
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).rsplit("0/2 trials", 1)[1]
    assert re.search(r"a, rte 14/40 steps \(35%\), .* steps/s, .* left  loss 0\.25", last)
    assert "cola" not in last


def test_concurrent_items_are_logged_independently(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock) // 2))
    progress = LoggedProgress()
    for step in range(1, 21):
        for item in ("a", "b"):
            progress(Update("finetune", step, 1000, "steps", {"loss": 1 / step}, item=item))
    lines = [record.getMessage() for record in caplog.records]
    assert {line.split()[1] for line in lines} == {"a", "b"} and len(lines) >= 8
    assert all(re.search(r"steps/s, .* left  loss 0\.\d+", line) for line in lines)


def test_throttled_progress_keeps_first_last_and_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    heard: list[Update] = []
    progress = throttled(heard.append, 10.0)
    for step in range(1, 26):
        progress(Update("x", step, 25, "steps", message="warn" if step == 4 else ""))
    assert [update.done for update in heard] == [1, 4, 14, 24, 25]


def test_the_last_update_is_always_logged(caplog) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("INFO")
    progress = LoggedProgress()
    for done in range(1, 101):
        progress(Update("steps", done, 100, "steps"))
    assert len(caplog.records) == 1
    assert "100/100" in caplog.text


def test_json_log_lines_have_run_stage_and_metrics(caplog) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("INFO")
    LoggedProgress()(Update("pretrain", 20, 20, "steps", {"G loss": 6.5, "lr": "5e-4"}))
    logging.getLogger("electra_pipeline.storage.artifact").warning("%s: waiting", "corpus")
    progress, other = (json.loads(JsonLines("es").format(each)) for each in caplog.records)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", progress.pop("time"))
    assert progress == {
        "level": "info",
        "run": "es",
        "logger": "electra_pipeline.core.console",
        "message": "pretrain 20/20 steps (100%)  G loss 6.5  lr 5e-4",
        "stage": "pretrain",
        "done": 20,
        "total": 20,
        "unit": "steps",
        "metrics": {"G loss": 6.5, "lr": "5e-4"},
    }
    assert (other["level"], other["message"]) == ("warning", "corpus: waiting")
