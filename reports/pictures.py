"""Pictures of ground truth, detections and their average precision, as PNG files.

Every picture says in its header what it was made from, so that it can be read alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..evaluation.average_precision import Curve, Evaluation, quantity, threshold_name
from ..evaluation.matching import ANET
from ..formats.annotations import AMBIGUOUS, Detection, Instance
from . import canvas
from .canvas import GRID, INK, LINE, MARGIN, MUTED, PAPER, SMALL, Page, class_colours

TIMELINE_WIDTH, TIMELINE_LEFT = 1200, 104  # px
TIMELINE_AXIS = TIMELINE_WIDTH - TIMELINE_LEFT - MARGIN - 6
LANE, BAR, PAD, TICKS = 22, 18, 6, 34  # px: heights within a strip, and of what is below it
MAX_STRIPS, MAX_LANES, MAX_TRUTH_LANES, MAX_TRUTH = 8, 6, 40, 1000
READABLE_BAR = 16  # px that the median bar should have before a timeline needs no more strips
LEAST_BAR = 4  # px, so that an instance of no length is seen
ROOM_FOR_WORDS = 60  # px, from which on a shortened label still tells something

CHART_WIDTH = 900  # px
CURVES_LEFT, CURVES_SIDE = 60, 520  # px
MANY_CLASSES, NAMED_OF_MANY = 10, 3  # above so many, only the best and the worst are named
GREY = "#c4c4c4"  # of the curves that are not
MOST_BARS = 500  # drawn of the best classes, and as many of the worst
BARS_ROW, BARS_COUNTS, BARS_VALUES = 24, 68, 72  # px: a row's height, and two columns' widths


def timeline(
    *,
    video_id: str,
    duration_sec: float,
    truth: Sequence[Instance],
    detections: Sequence[Detection],
    labels: Sequence[str],
) -> Page:
    """Return a page with one video's ground truth above its detections.

    A long video with many short actions is broken into strips, as text is into lines. What
    overlaps in time is stacked: detections by falling score, so that the first row reads like the
    result of a strict suppression. The fill is the stronger, the higher a score is beside the
    video's best. Twice as many of the best are shown as there are instances, at least 10 and at
    most 200, and no more than 6 at one instant; the header says so.

    Args:
        labels: all classes of the data set, in one order for all pictures: it fixes the colours.
    """
    limit = min(200, max(10, 2 * len(truth)))
    best = sorted(detections, key=lambda d: d.score, reverse=True)[:limit]
    spans = _strip_spans(duration_sec, truth, best)
    least_sec = LEAST_BAR * (spans[0][1] - spans[0][0]) / TIMELINE_AXIS
    above = _stacked(_truth_marks(truth)[:MAX_TRUTH], least_sec, max_lanes=MAX_TRUTH_LANES)
    below = _stacked(_found_marks(best), least_sec, max_lanes=MAX_LANES)
    strips = [
        _Strip(*span, _within(above, span) if truth else None, _within(below, span))
        for span in spans
    ]

    colours = _timeline_colours(labels, [*above, *below])
    caption = _timeline_caption(duration_sec, truth, below, len(detections), len(above))
    legend_top = canvas.header_height(caption, TIMELINE_WIDTH)
    top = legend_top + canvas.legend_height(colours, TIMELINE_WIDTH) + 2 * PAD
    page = Page(TIMELINE_WIDTH, top + sum(s.height + TICKS for s in strips) + PAD)
    page.header(video_id, caption)
    page.legend(legend_top, colours, hatched=[AMBIGUOUS])
    for strip in strips:
        axes = page.axes(TIMELINE_LEFT, top, TIMELINE_AXIS, strip.height)
        _draw_strip(axes, strip, colours, duration_sec=duration_sec, extent_sec=spans[-1][1])
        _name_bands(page, top, strip, canvas.clock_unit(spans[-1][1]))
        top += strip.height + TICKS
    return page


def precision_recall_figure(
    path: str | Path, evaluation: Evaluation, curves: Mapping[str, Curve], *, tiou: float
) -> None:
    """Draw every class's precision over recall, and their mean, and write it to `path` as PNG.

    Up to 10 classes have the colours of `class_colours` over the evaluation's sorted labels; of
    more, only the best and the worst three are coloured and named.

    Args:
        curves: from `evaluation.precision_recall` at this threshold.
        tiou: one of the evaluation's thresholds.
    Raises:
        ValueError: `tiou` is not among the evaluation's thresholds.
    """
    names = [threshold_name(t) for t in evaluation.tious]
    if threshold_name(tiou) not in names:
        raise ValueError(f"tIoU {tiou} was not evaluated; there are: {', '.join(names)}")
    k = names.index(threshold_name(tiou))
    ap = {label: float(values[k]) for label, values in evaluation.per_class.items()}
    ranked = sorted(ap, key=lambda label: -ap[label])
    colours = _curve_colours(ranked)

    top = canvas.header_height(evaluation.headline, CHART_WIDTH) + 2 * LINE
    page = Page(CHART_WIDTH, top + CURVES_SIDE + 60)
    page.header(f"mAP {evaluation.mean_ap[k]:.1%} at tIoU {names[k]}", evaluation.headline)
    axes = page.axes(CURVES_LEFT, top, CURVES_SIDE, CURVES_SIDE)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=np.arange(6) / 5, yticks=np.arange(6) / 5)
    axes.grid(color=GRID, linewidth=0.8)
    precision = "precision (monotone envelope)" if evaluation.protocol == ANET else "precision"
    page.write(MARGIN, top - LINE, precision, colour=MUTED)
    middle, below = CURVES_LEFT + CURVES_SIDE / 2, top + CURVES_SIDE + 36
    page.write(middle, below, "recall", colour=MUTED, align="center")

    _draw_curves(axes, {label: curves[label] for label in ranked}, colours)
    _curve_legend(page, top, float(evaluation.mean_ap[k]), ap, colours)
    page.save(path)


def per_class_ap_figure(path: str | Path, evaluation: Evaluation) -> None:
    """Draw the average precision of every class as bars, best first, and write it as PNG.

    A bar is the mean over the tIoU thresholds; the line across it spans the thresholds, from the
    least average precision (as a rule at the strictest) to the greatest.
    """
    ranked = sorted(evaluation.per_class, key=lambda k: -evaluation.per_class[k].mean())
    ranked = ranked[:MOST_BARS] + ranked[max(len(ranked) - MOST_BARS, MOST_BARS) :]
    values = 100 * np.array([evaluation.per_class[label] for label in ranked])  # (C, K)
    names_right = MARGIN + max(canvas.text_width(canvas.shortened(label)) for label in ranked)
    counts_right, values_right = names_right + BARS_COUNTS, CHART_WIDTH - MARGIN
    title, caption = _bars_words(evaluation)

    top = canvas.header_height(caption, CHART_WIDTH) + 2 * LINE
    page = Page(CHART_WIDTH, top + BARS_ROW * len(ranked) + 48)
    page.header(title, caption)
    page.write(counts_right, top - LINE / 2, "instances", SMALL, colour=MUTED, align="right")
    page.write(values_right, top - LINE / 2, "AP in %", SMALL, colour=MUTED, align="right")
    for row, (label, value) in enumerate(zip(ranked, values.mean(axis=1), strict=True)):
        y, count = top + BARS_ROW * (row + 0.5), f"{evaluation.instances_per_class[label]:,}"
        page.write(names_right, y, canvas.shortened(label), align="right")
        page.write(counts_right, y, count, colour=MUTED, align="right")
        page.write(values_right, y, f"{value:.1f}", align="right")
    left, right = counts_right + 14, values_right - BARS_VALUES
    axes = page.axes(left, top, right - left, BARS_ROW * len(ranked))
    _draw_bars(axes, values, mean=100 * evaluation.average_map)
    page.save(path)


@dataclass(frozen=True)
class _Mark:
    """What a bar of a timeline stands for; `strength` (0 to 1) is that of its fill."""

    label: str
    start_sec: float
    end_sec: float
    score: float | None = None
    strength: float = 1.0
    lane: int = 0

    def words(self, room: float) -> str:
        """Return what may be written into a bar of `room` px."""
        if self.score is not None:
            choices = [f"{self.label} {self.score:.2g}", f"{self.score:.2g}"]
        elif self.label == AMBIGUOUS:
            choices = []
        elif room < ROOM_FOR_WORDS:
            choices = [self.label]
        else:
            choices = [canvas.shortened(self.label, SMALL, room)]
        return next((w for w in choices if canvas.text_width(w, SMALL) <= room), "")


@dataclass(frozen=True)
class _Strip:
    """One line of a timeline: from when to when (seconds), and what lies in it.

    `truth` is None where the whole video has none: its band is then left out.
    """

    start_sec: float
    end_sec: float
    truth: list[_Mark] | None
    found: list[_Mark]

    @property
    def found_top(self) -> float:
        if self.truth is None:
            return PAD
        return 2 * PAD + LANE * (1 + max((m.lane for m in self.truth), default=0))

    @property
    def height(self) -> float:
        return self.found_top + PAD + LANE * (1 + max((m.lane for m in self.found), default=0))


def _truth_marks(truth: Iterable[Instance]) -> list[_Mark]:
    ordered = sorted(truth, key=lambda i: (i.start_sec, i.label))
    return [_Mark(i.label, i.start_sec, i.end_sec) for i in ordered]


def _found_marks(best: Sequence[Detection]) -> list[_Mark]:
    floor = min([0.0, *(d.score for d in best)])
    scale = max((d.score - floor for d in best), default=0.0) or 1.0
    strengths = [0.15 + 0.85 * (d.score - floor) / scale for d in best]
    return [
        _Mark(d.label, d.start_sec, d.end_sec, d.score, strength)
        for d, strength in zip(best, strengths, strict=True)
    ]


def _strip_spans(
    duration_sec: float, truth: Sequence[Instance], best: Sequence[Detection]
) -> list[tuple[float, float]]:
    """Return the strips' spans: as many as it takes to make the median bar readable."""
    extent = max([duration_sec, 1e-3, *(i.end_sec for i in truth)])
    lengths = [e.end_sec - e.start_sec for e in truth or best]
    median = max(statistics.median(lengths or [extent]), 1e-6)
    wanted = math.ceil(READABLE_BAR * extent / (TIMELINE_AXIS * median))
    strips = min(MAX_STRIPS, wanted, 1 + len(lengths) // 8)
    if strips == 1:
        return [(0.0, extent)]
    step = canvas.tick_step(extent / strips)
    span = math.ceil(extent / strips / step) * step
    return [(k * span, (k + 1) * span) for k in range(math.ceil(extent / span))]


def _stacked(marks: Sequence[_Mark], least_sec: float, max_lanes: int | None = None) -> list[_Mark]:
    """Return the marks, each in the first lane that is free there; none past `max_lanes`."""
    lanes: list[list[tuple[float, float]]] = []
    placed = []
    for mark in marks:
        start, end = mark.start_sec, max(mark.end_sec, mark.start_sec + least_sec)
        taken = [any(start < e and s < end for s, e in lane) for lane in lanes]
        lane = taken.index(False) if False in taken else len(lanes)
        if lane == max_lanes:
            continue
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((start, end))
        placed.append(replace(mark, lane=lane))
    return placed


def _within(marks: Iterable[_Mark], span: tuple[float, float]) -> list[_Mark]:
    return [m for m in marks if m.start_sec < span[1] and (m.end_sec > span[0] or not span[0])]


def _timeline_colours(labels: Sequence[str], marks: Iterable[_Mark]) -> dict[str, str]:
    present = {mark.label for mark in marks}
    every = [*labels, *sorted(present - {*labels, AMBIGUOUS})]
    colours = {**class_colours(every), AMBIGUOUS: MUTED}
    return {label: colour for label, colour in colours.items() if label in present}


def _timeline_caption(
    duration_sec: float, truth: Sequence[Instance], shown: Sequence[_Mark], number: int, drawn: int
) -> str:
    unit, _, _ = canvas.clock_unit(duration_sec).partition(":")
    ambiguous = sum(i.label == AMBIGUOUS for i in truth)
    instances = quantity(len(truth) - ambiguous, "instance") if truth else "no annotated instances"
    instances += f" and {ambiguous} {AMBIGUOUS}" if ambiguous else ""
    parts = [f"{canvas.clock(duration_sec, duration_sec)} {unit}", instances]
    beyond = sum(i.end_sec > duration_sec + 1e-3 for i in truth)
    parts[-1] += f" ({beyond} past the end of the video)" if beyond else ""
    parts[-1] += f" ({drawn} of them drawn)" if drawn < len(truth) else ""
    if len(shown) == number:
        parts.append(quantity(number, "detection") if number else "no detections")
    else:
        least = min((m.score for m in shown if m.score is not None), default=math.inf)
        parts.append(
            f"the best {len(shown)} of {quantity(number, 'detection')}: "
            f"scores from {least:.2g}, at most {MAX_LANES} at an instant"
        )
    return "  ·  ".join([*parts, "stronger fill, higher score"] if shown else parts)


def _draw_strip(
    axes: Axes,
    strip: _Strip,
    colours: Mapping[str, str],
    *,
    duration_sec: float,
    extent_sec: float,
) -> None:
    canvas.time_axis(axes, strip.start_sec, strip.end_sec, extent_sec=extent_sec)
    axes.set(ylim=(strip.height, 0), yticks=[])
    lasts = max(0.0, min(duration_sec, strip.end_sec) - strip.start_sec)
    axes.add_patch(Rectangle((strip.start_sec, 0), lasts, strip.height, fc=PAPER, zorder=0))
    if strip.truth is not None:
        axes.axhline(strip.found_top - PAD / 2, color="white", linewidth=2, zorder=0.4)
    for marks, top in ((strip.truth or [], PAD), (strip.found, strip.found_top)):
        for mark in marks:
            _draw_mark(axes, strip, mark, top + LANE * mark.lane, colours[mark.label])


def _draw_mark(axes: Axes, strip: _Strip, mark: _Mark, y: float, colour: str) -> None:
    pixel = (strip.end_sec - strip.start_sec) / TIMELINE_AXIS
    start, end = max(mark.start_sec, strip.start_sec), min(mark.end_sec, strip.end_sec)
    hatched = mark.label == AMBIGUOUS
    fill = PAPER if hatched else canvas.mixed(colour, "white", 1 - mark.strength)
    # A pixel less on either side keeps bars apart that touch.
    corner = (start + pixel, y + (LANE - BAR) / 2)
    bar = Rectangle(corner, max(end - start, LEAST_BAR * pixel) - 2 * pixel, BAR, facecolor=fill)
    bar.set(edgecolor=colour, linewidth=0.8, hatch=canvas.HATCH if hatched else None, zorder=3)
    axes.add_patch(bar)
    words, ink = mark.words((end - start) / pixel - 8), canvas.ink_on(fill)
    canvas.write(axes, (start + end) / 2, y + LANE / 2, words, SMALL, colour=ink, align="center")


def _name_bands(page: Page, top: float, strip: _Strip, unit: str) -> None:
    page.write(TIMELINE_LEFT - 12, top + strip.found_top + LANE / 2, "detected", align="right")
    if strip.truth is not None:
        page.write(TIMELINE_LEFT - 12, top + PAD + LANE / 2, "truth", align="right")
    y = top + strip.height + 14
    page.write(TIMELINE_LEFT - 32, y, unit, SMALL, colour=MUTED, align="right")


def _curve_colours(ranked: Sequence[str]) -> dict[str, str]:
    """Return the colours of the curves that have one, best first."""
    if len(ranked) <= MANY_CLASSES:
        colours = class_colours(sorted(ranked))
        return {label: colours[label] for label in ranked}
    named = [*ranked[:NAMED_OF_MANY], *ranked[-NAMED_OF_MANY:]]
    return dict(zip(named, canvas.HUES, strict=False))


def _draw_curves(axes: Axes, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> None:
    """Draw the steps whose area is the average precision, and above them their mean.

    Coloured curves grow thinner from the best to the worst, so that those that coincide show.
    """
    widths = dict(zip(colours, np.linspace(2.8, 1.2, len(colours)), strict=True))
    for label in [*(k for k in curves if k not in colours), *colours]:
        recall, precision = curves[label]
        x, y = [0.0, *recall], [*precision[:1], *precision]
        if len(recall):
            (line,) = axes.plot(x, y, drawstyle="steps-pre", clip_on=False)
            line.set(color=colours.get(label, GREY), linewidth=widths.get(label, 0.7))
    if len(curves) > 1:
        grid = np.linspace(0, 1, 501)
        mean = np.mean([_precision_at(curve, grid) for curve in curves.values()], axis=0)
        axes.plot(grid, mean, color=INK, linewidth=3.2, drawstyle="steps-pre", clip_on=False)


def _precision_at(curve: Curve, grid: np.ndarray) -> np.ndarray:
    """Return the precision at the recalls `grid`; beyond the last hit it is 0."""
    recall, precision = curve
    return np.append(precision, 0.0)[np.searchsorted(recall, grid - 1e-9)]


def _curve_legend(
    page: Page, top: float, mean: float, ap: Mapping[str, float], colours: Mapping[str, str]
) -> None:
    """Write the mean and the average precisions of the coloured classes beside the curves."""
    left, y = CURVES_LEFT + CURVES_SIDE + 48, top - LINE
    page.write(left, y, "average precision in %", colour=MUTED)
    rows = [(label, ap[label], colour) for label, colour in colours.items()]
    if len(ap) > 1:
        rows.insert(0, ("mean", mean, INK))
    if len(ap) > len(colours):
        between = quantity(len(ap) - len(colours), "class", "classes")
        rows.insert(1 + NAMED_OF_MANY, (f"{between} between", math.nan, GREY))
    for label, value, colour in rows:
        y += 22
        page.swatch(left, y, colour)
        page.write(left + 62, y, "" if math.isnan(value) else f"{100 * value:.1f}", align="right")
        page.write(left + 74, y, canvas.shortened(label, room=CHART_WIDTH - left - 74 - MARGIN))


def _bars_words(evaluation: Evaluation) -> tuple[str, str]:
    names = [threshold_name(t) for t in evaluation.tious]
    headline = evaluation.headline
    if len(evaluation.per_class) > 2 * MOST_BARS:
        headline += f"  ·  the best {MOST_BARS} and the worst"
    if len(names) == 1:
        return f"mAP {evaluation.average_map:.1%} at tIoU {names[0]}", headline
    title = f"mAP {evaluation.average_map:.1%}, average over {len(names)} tIoU thresholds"
    return title, (
        f"{headline}  ·  bar: mean over tIoU {', '.join(names)}"
        "  ·  line: from the least to the greatest"
    )


def _draw_bars(axes: Axes, values: np.ndarray, *, mean: float) -> None:
    """Draw the rows of `values` (C, K), in percent, as bars from the top down, and their mean."""
    rows = np.arange(len(values)) + 0.5
    limit = min(100, 10 * math.ceil(values.max() / 10 + 0.1))
    axes.set(xlim=(0, limit), ylim=(len(values), 0), yticks=[])
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    blue = canvas.mixed(canvas.HUES[0], "white", 0.3)
    axes.barh(rows, values.mean(axis=1), height=0.62, color=blue)
    if values.shape[1] > 1:
        axes.hlines(rows, values.min(axis=1), values.max(axis=1), color=INK, linewidth=1.2)
    axes.axvline(mean, color=INK, linewidth=1, linestyle=(0, (4, 3)), clip_on=False)
    side = "left" if mean < 0.8 * limit else "right"
    canvas.write(axes, mean, -LINE / 2 / BARS_ROW, f"mean {mean:.1f}", SMALL, align=side)
