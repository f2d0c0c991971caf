"""Charts as inline SVG for light and dark pages."""

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from electra_pipeline.results.learning_curves import LearningCurve
from electra_pipeline.results.statistics.agreement import Calibration

MetricLine = Mapping[str, Any]
"""One line of a pre-training's metrics.jsonl."""

# Okabe and Ito's colours, distinct with colour blindness, legible on light and dark pages
BLUE, ORANGE, GREY = "#0f8fd6", "#e07b00", "#8a8a8a"
BASELINES = {"random": (ORANGE, "--"), "majority": (GREY, ":")}
STYLE: Any = {
    "svg.fonttype": "none",  # keep text as text: small, selectable, in the page's font
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
class Chart:
    """A metric of both splits over the steps."""

    metric: str
    title: str
    caption: str
    reference: str | None = None
    """A held-out metric to compare it with, drawn as a dashed line."""


CHARTS = (
    Chart(
        "generator_loss",
        "Generator loss",
        "Cross-entropy in nats over masked tokens; it starts near ln(vocabulary size).",
    ),
    Chart(
        "generator_accuracy",
        "Generator accuracy",
        "Fraction of masked tokens that are the generator's most probable token.",
    ),
    Chart(
        "discriminator_loss",
        "Discriminator loss",
        "Binary cross-entropy in nats over all tokens. Dashed: loss of a constant predictor "
        "(entropy of the replacement rate); values below it show learning from the text.",
        reference="prior_entropy",
    ),
    Chart(
        "discriminator_auc",
        "Discriminator AUC",
        "How well replaced and original tokens are separated: 0.5 is chance, 1 is perfect.",
    ),
)


def draw(chart: Chart, lines: Sequence[MetricLine]) -> str | None:
    """Return the chart as an `<svg>` element, or None if there are no values."""
    curves = [("train", chart.metric, GREY), ("held_out", chart.metric, BLUE)]
    if chart.reference is not None:
        curves.append(("held_out", chart.reference, ORANGE))
    series = [(curve, points) for curve in curves if (points := _points(*curve[:2], lines))]
    if not series:
        return None

    def plot(axes: Any) -> None:
        for (split, metric, color), points in series:
            is_reference = metric != chart.metric
            axes.plot(
                *zip(*points, strict=True),
                label=(metric if is_reference else split).replace("_", " "),
                color=color,
                linestyle="--" if is_reference else "-",
                linewidth=1.6 if split == "held_out" else 1.0,
                marker="." if len(points) < 30 and split == "held_out" else None,
            )
        axes.set_xlabel("step")
        axes.legend(frameon=False)

    return _svg(plot, chart.title)


def draw_learning_curve(curve: LearningCurve) -> str:
    """Draw a learning curve: median and range of the seeds in percent; baselines as lines."""

    def plot(axes: Any) -> None:
        steps = [point.step for point in curve.points]
        low, high = ([100 * getattr(p, end) for p in curve.points] for end in ("low", "high"))
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.2, linewidth=0)
        medians = [100 * point.median for point in curve.points]
        axes.plot(steps, medians, color=BLUE, marker=".", linewidth=1.6, label="pre-trained")
        for model, median in curve.baselines.items():
            color, line = BASELINES.get(model, (GREY, "-."))
            axes.axhline(100 * median, label=model, color=color, linestyle=line, linewidth=1.0)
        axes.set_xlabel("pre-training step")
        axes.set_ylabel("%")
        axes.legend(frameon=False)

    return _svg(plot, f"learning curve of {curve.title}")


def draw_scatter(expected: Sequence[float], predicted: Sequence[float], title: str) -> str:
    """Draw predicted against expected values with the diagonal."""

    def plot(axes: Any) -> None:
        ends = [min(expected), max(expected)]
        axes.plot(ends, ends, color=ORANGE, linestyle="--", linewidth=1.0)
        axes.scatter(expected, predicted, s=8, color=BLUE, alpha=0.45, linewidths=0)
        axes.set_xlabel("expected")
        axes.set_ylabel("predicted")

    return _svg(plot, title)


def draw_calibration(calibration: Calibration, title: str) -> str:
    """Draw accuracy against predicted probability by bin."""

    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=ORANGE, linestyle="--", linewidth=1.0)
        largest = max(calibration.counts)
        sizes = [12 + 90 * count / largest for count in calibration.counts]
        points = calibration.confidence, calibration.accuracy
        axes.plot(*points, color=BLUE, linewidth=1.0)
        axes.scatter(*points, s=sizes, color=BLUE, alpha=0.7, linewidths=0)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("accuracy")

    return _svg(plot, title)


def _svg(plot: Callable[[Any], None], title: str) -> str:
    """Return an `<svg>` element with what `plot` draws on the axes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        axes = figure.subplots()
        plot(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), title)


def _points(split: str, metric: str, lines: Sequence[MetricLine]) -> list[tuple[int, float]]:
    return [
        (int(line["step"]), float(line[metric]))
        for line in lines
        if line.get("split") == split and line.get(metric) is not None
    ]


def _inline(svg: str, title: str) -> str:
    """Return only the element: no XML declaration or metadata, ids unique within the page."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    prefix = re.sub(r"[^\w.-]+", "-", title.lower())
    element = re.sub(r'\bid="', f'id="{prefix}-', element)
    element = re.sub(r"url\(#", f"url(#{prefix}-", element)
    element = re.sub(r'href="#', f'href="#{prefix}-', element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
