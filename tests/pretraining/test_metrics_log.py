"""The metrics log: progress line, throughput, warnings, TensorBoard."""

import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from electra_pipeline.core.console import progress_line
from electra_pipeline.core.execution import Worker
from electra_pipeline.core.progress import Update
from electra_pipeline.pretraining import metrics_log
from electra_pipeline.pretraining.checkpoint import ResumePoint
from electra_pipeline.pretraining.metrics_log import (
    MetricsLog,
    Throughput,
    ThroughputMeter,
    tensorboard_writer,
)

TRAIN = {
    "generator_loss": 6.09412,
    "discriminator_loss": 0.36149,
    "prior_entropy": 0.37361,
    "learning_rate": 0.0005,
}
HELD_OUT = {"discriminator_loss": 0.36, "prior_entropy": 0.37, "discriminator_auc": 0.58612}
BEGINNING = ResumePoint(0, [], 0.0)


def start(
    position: ResumePoint = BEGINNING, scalars: SummaryWriter | None = None
) -> tuple[MetricsLog, list[Update]]:
    updates: list[Update] = []
    worker = Worker(progress=updates.append)
    return MetricsLog(1_000_000, worker, position, scalars), updates


def test_the_progress_line_shows_losses_with_baselines_and_fits_a_terminal() -> None:
    log, updates = start()
    log.add(123_000, "held_out", HELD_OUT)
    log.add(123_400, "train", TRAIN, Throughput(114_000.4, 0.123))
    log.report_progress(123_456)
    line = progress_line(updates[0], 456, 45.6)
    assert line == (
        "pretrain 123456/1000000 steps (12%), 10 steps/s, 24.3 h left  "
        "D loss 0.3615 (prior 0.3736)  G loss 6.094  AUC 0.5861  lr 5.0e-04  "
        "tokens/s 114,000  wait 12%"
    )
    assert len(line) <= 160


def test_a_resumed_run_shows_the_latest_metrics_at_once() -> None:
    history = [
        {"step": 50, "split": "train", **TRAIN},
        {"step": 50, "split": "held_out", **HELD_OUT},
    ]
    log, updates = start(ResumePoint(60, history, 10.0))
    log.report_progress(61)
    assert updates[0].metrics["AUC"] == 0.58612
    assert log.seconds >= 10.0


def test_throughput_is_not_in_the_lines() -> None:
    log, _ = start()
    log.add(4, "train", TRAIN, Throughput(1.0, 0.5))
    assert log.lines == [{"step": 4, "split": "train", **TRAIN}]


def test_progress_updates_are_spaced_and_include_the_last_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_log, "REPORT_SECONDS", 60.0)
    log, updates = start()
    for step in (1, 2, 3, 1_000_000):
        log.report_progress(step)
    assert [update.done for update in updates] == [1, 1_000_000]


def test_warnings_reach_the_drivers_log(caplog: pytest.LogCaptureFixture) -> None:
    log, _ = start()
    log.warn("the disk is full")
    assert [record.getMessage() for record in caplog.records] == ["pretrain: the disk is full"]


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def test_the_meter_separates_waiting_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(metrics_log, "time", clock)

    def slow() -> Any:
        for _ in range(3):
            clock.seconds += 0.75
            yield None

    meter = ThroughputMeter()
    for _ in meter.timed(slow()):
        clock.seconds += 0.25
        meter.count(100)
    rates = meter.read()
    assert (rates.waiting_fraction, rates.tokens_per_second) == (0.75, 100.0)
    assert meter.read().tokens_per_second == 0.0


def curve(directory: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(directory))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


@pytest.mark.parametrize("resumed_at", [0, 5])
def test_tensorboard_shows_no_step_twice(tmp_path: Path, resumed_at: int) -> None:
    first = resumed_at + 1 if resumed_at else 0
    for attempt, steps in enumerate((range(8), range(first, 12))):
        scalars = tensorboard_writer(tmp_path, steps.start)
        log, _ = start(scalars=scalars)
        for step in steps:
            log.add(step, "train", TRAIN | {"generator_loss": float(attempt)}, Throughput(7.0, 0.5))
        if attempt == 1:  # the first one is killed
            scalars.close()
    points = curve(tmp_path, "train/generator_loss")
    assert points == [(step, float(step >= first)) for step in range(12)]
    assert curve(tmp_path, "speed/tokens_per_second")[-1] == (11, 7.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_tensorboard_error_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    scalars = tensorboard_writer(tmp_path, 0)
    log, _ = start(scalars=scalars)
    log.add(4, "train", TRAIN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as a full disk
        log.add(8, "train", TRAIN)
        log.add(12, "train", TRAIN)
        for thread in set(threading.enumerate()) - before:  # TensorBoard's, which ends with a trace
            thread.join(20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [line["step"] for line in log.lines] == [4, 8, 12]
    (warning,) = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("electra_pipeline")
    ]
    assert "no more metrics for TensorBoard" in warning
