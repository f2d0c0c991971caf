"""Learning curves as SVG that stands alone in a page, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

MetricLine = Mapping[str, Any]
"""One line of a pre-training's metrics.jsonl."""

# Okabe and Ito's colours for all kinds of sight, legible on white and on near black.
BLUE, ORANGE, GREY = "#0f8fd6", "#e07b00", "#8a8a8a"
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, selectable, in the page's font
    "svg.hashsalt": "electra-pipeline",  # the same curves give the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


@dataclass(frozen=True)
class Curve:
    """One series of a chart: a metric of one split, against the step."""

    label: str
    split: str
    metric: str
    color: str
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves that share an axis, with a sentence that says how to read them."""

    title: str
    caption: str
    curves: tuple[Curve, ...]


def _both(metric: str) -> tuple[Curve, Curve]:
    return (
        Curve("train", "train", metric, GREY),
        Curve("held out", "held_out", metric, BLUE),
    )


CHARTS = (
    Chart(
        "Generator loss",
        "Cross-entropy in nats over masked tokens; it starts near ln(vocabulary size).",
        _both("generator_loss"),
    ),
    Chart(
        "Generator accuracy",
        "How often the generator's first guess is the token that was masked.",
        _both("generator_accuracy"),
    ),
    Chart(
        "Discriminator loss",
        "Binary cross-entropy in nats over all tokens. Who knows only how many tokens are replaced "
        "reaches the dashed line; what lies below it was learned from the text.",
        (
            *_both("discriminator_loss"),
            Curve("prior entropy", "held_out", "prior_entropy", ORANGE, dashed=True),
        ),
    ),
    Chart(
        "Discriminator AUC",
        "How well replaced tokens are told from original ones: 0.5 is chance, 1 is perfect.",
        _both("discriminator_auc"),
    ),
)


def draw(chart: Chart, lines: Sequence[MetricLine]) -> str | None:
    """The chart as an `<svg>` element, or None if there is nothing to draw."""
    series = [(curve, points) for curve in chart.curves if (points := _points(curve, lines))]
    if not series:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        axes = figure.subplots()
        for curve, points in series:
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                label=curve.label,
                color=curve.color,
                linestyle="--" if curve.dashed else "-",
                linewidth=1.6 if curve.split == "held_out" else 1.0,
                marker="." if len(points) < 30 and curve.split == "held_out" else None,
            )
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
        axes.legend(frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), chart.title)


def _points(curve: Curve, lines: Sequence[MetricLine]) -> list[tuple[int, float]]:
    return [
        (int(line["step"]), float(line[curve.metric]))
        for line in lines
        if line.get("split") == curve.split and line.get(curve.metric) is not None
    ]


def _inline(svg: str, title: str) -> str:
    """The element alone: no XML head, no metadata, ids that no other chart of the page has."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", title.lower())
    element = re.sub(r'\bid="', f'id="{prefix}-', element)
    element = re.sub(r"url\(#", f"url(#{prefix}-", element)
    element = re.sub(r'href="#', f'href="#{prefix}-', element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
