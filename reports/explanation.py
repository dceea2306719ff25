"""The picture of `tsatal explain`: what TSA believes, relates and adds, over a video's time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from ..config import ModelConfig
from ..errors import quantity
from ..formats.annotations import Detection, Instance
from ..formats.features import TimeAxis
from ..head.explanation import Explanation
from .pictures import (
    DPI,
    GRID,
    HUES,
    INK,
    LANE,
    LARGE,
    LEGEND,
    LINE,
    LONGEST_TITLE,
    MUTED,
    NORMAL,
    PAPER,
    SMALL,
    TIMELINE_WIDTH,
    Picture,
    mixed,
    plain,
    present_colours,
    shortened,
)

CURVES, SQUARE = 1.5, 3.6  # inches
MOST_DETECTIONS = 30
MATRICES = {
    "a": "A: alike by class (Eq. 1)",
    "b": "B: tIoU of proposals (Eq. 2)",
    "g": "G: what TSA mixes by",
}
Bar = tuple[float, float, str, float]  # start, length, label, strength


def explanation_picture(
    told: Explanation,
    axis: TimeAxis,
    *,
    video_id: str,
    reading: str,
    truth: Sequence[Instance],
    detections: Sequence[Detection],
    labels: Sequence[str],
    colours_of: Sequence[str],
) -> Picture:
    """Return a picture of TSA at work: bars, curves, and the matrices A, B and G, all over time.

    Args:
        reading: G as the run's settings make it, in words.
        labels: the run's classes, in the order of the probabilities.
        colours_of: all classes of the data set, which fix the colours.
    """
    rows = len(told.added)
    edges = axis.start_sec + axis.step_sec * (told.first + np.arange(rows + 1) - 0.5)
    start, end = float(edges[0]), float(edges[-1])
    lanes = {
        "truth": [(i.start_sec, i.end_sec - i.start_sec, i.label, 1.0) for i in truth],
        "pre-judged": _stretches(told.probabilities.argmax(1), edges, labels),
        "detected": _best(detections, start, end),
    }
    if not truth:
        del lanes["truth"]
    colours = present_colours(colours_of, {bar[2] for bars in lanes.values() for bar in bars})
    heights = [LANE * 1.6 * len(lanes), CURVES, SQUARE]
    height = sum(heights) + 7 * LINE
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - 3 * LINE / height))
    figure = Figure((TIMELINE_WIDTH / DPI, height), dpi=DPI, facecolor="white", layout=layout)
    grid = figure.add_gridspec(3, 3, height_ratios=heights)
    _draw_lanes(figure.add_subplot(grid[0, :]), lanes, colours, (start, end))
    _draw_curves(figure.add_subplot(grid[1, :]), told, (edges[:-1] + edges[1:]) / 2, (start, end))
    for column, (name, title) in enumerate(MATRICES.items()):
        axes = figure.add_subplot(grid[2, column])
        image = axes.imshow(
            getattr(told, name), extent=(start, end, end, start), cmap="magma_r", vmin=0,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(title, fontsize=NORMAL, color=INK)
        axes.set_xlabel("seconds", fontsize=SMALL, color=MUTED)
        _quiet(axes)
        figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=SMALL, length=0)
    figure.text(
        0.02, 1 - 0.15 / height, plain(shortened(video_id, LONGEST_TITLE)), size=LARGE,
        weight="bold", color=INK, va="top",
    )  # fmt: skip
    seen = f"{quantity(rows, 'row')}, {start:.4g} to {end:.4g} s"
    caption = f"{reading}  ·  {seen}  ·  stronger, higher score"
    figure.text(0.02, 1 - 0.45 / height, plain(caption), size=NORMAL, color=MUTED, va="top")
    entries = [Patch(facecolor=c, label=f" {plain(shortened(k))}") for k, c in colours.items()]
    if entries:
        figure.legend(handles=entries, loc="outside lower left", ncols=6, **LEGEND)
    return Picture(figure)


def reading_of(model: ModelConfig) -> str:
    """Return in words what G is in a head of these settings."""
    if model.tsa_threshold is None:
        weight = "B" if model.tsa_same else "(1 - B)"
    else:
        weight = f"(B {'≥' if model.tsa_same else '<'} {model.tsa_threshold:g})"
    reach = "" if model.tsa_reach is None else f", at most {model.tsa_reach} rows apart"
    return f"G = A {weight} M, A {model.tsa}{reach}"


def _stretches(classes: np.ndarray, edges: np.ndarray, labels: Sequence[str]) -> list[Bar]:
    """Return one bar for each stretch of rows of one class, background left out."""
    bars = []
    changes = np.flatnonzero(np.diff(classes)) + 1
    for first, last in zip([0, *changes], [*changes, len(classes)], strict=True):
        if classes[first]:
            label = labels[classes[first] - 1]
            bars.append((float(edges[first]), float(edges[last] - edges[first]), label, 1.0))
    return bars


def _best(detections: Sequence[Detection], start: float, end: float) -> list[Bar]:
    """Return the best detections within a stretch as bars, the best last and so on top."""
    within = [d for d in detections if d.start_sec < end and d.end_sec > start]
    best = sorted(within, key=lambda d: -d.score)[:MOST_DETECTIONS]
    top = max((d.score for d in best), default=1.0) or 1.0
    return [
        (d.start_sec, d.end_sec - d.start_sec, d.label, max(d.score / top, 0.0))
        for d in reversed(best)
    ]


def _draw_lanes(
    axes: Axes,
    lanes: dict[str, list[Bar]],
    colours: dict[str, str],
    extent: tuple[float, float],
) -> None:
    for y, bars in enumerate(lanes.values()):
        for start, length, label, strength in bars:
            fill = mixed(colours[label], "white", 0.85 * (1 - strength))
            axes.broken_barh(
                [(start, length)], (y + 0.1, 0.8), facecolor=fill, edgecolor="white", linewidth=0.8
            )
    axes.set(xlim=extent, ylim=(len(lanes), 0))
    axes.set_yticks([y + 0.5 for y in range(len(lanes))], [*lanes], fontsize=NORMAL, color=INK)
    _quiet(axes)


def _draw_curves(
    axes: Axes, told: Explanation, seconds: np.ndarray, extent: tuple[float, float]
) -> None:
    curves = {
        "actionness as pre-judged, before TSA": (told.pre_judged, "-"),
        "actionness after TSA": (told.actionness, "-"),
        "what TSA adds, of a row's norm": (told.added, "--"),
    }
    for (name, (values, style)), colour in zip(curves.items(), HUES, strict=False):
        dot = "." if len(seconds) == 1 else None  # which makes no line
        axes.plot(seconds, values, style, marker=dot, color=colour, linewidth=1.4, label=name)
    axes.set(xlim=extent, ylim=(0, max(1.0, 1.05 * float(told.added.max()))))
    axes.legend(loc="upper right", ncols=3, **{**LEGEND, "handlelength": 1.8})
    axes.grid(color=GRID, linewidth=0.8)
    _quiet(axes)


def _quiet(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=4, labelsize=SMALL, labelcolor=MUTED)
