from electra_pipeline.progress import Update
from electra_pipeline.terminal import LoggedProgress, progress_line


def test_a_line_says_share_rate_and_time_left() -> None:
    update = Update("corpus", 12, 40, "pieces", {"MB/s": 3.21987, "step": "reading"})
    assert progress_line(update, 6, 2.0) == (
        "corpus 12/40 pieces (30%), 3 pieces/s, 9 s left  MB/s 3.22  step reading"
    )
    assert progress_line(Update("x", 0, 10, "steps"), 0, 0) == "x 0/10 steps (0%)"


def test_the_end_is_always_logged(caplog) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("INFO")
    progress = LoggedProgress()
    for done in range(1, 101):
        progress(Update("steps", done, 100, "steps"))
    assert len(caplog.records) == 1
    assert "100/100" in caplog.text
