"""Pictures of ground truth, detections and their average precision, drawn with matplotlib.

`evaluate` and `detect` save them as PNG, training takes a time line's pixels for TensorBoard, a
notebook its SVG. A picture's caption says what it was made from, so that it can be read alone.
Only matplotlib's object interface is used: no window is opened and nothing global is set.
"""

from __future__ import annotations

import contextlib
import io
import math
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MultipleLocator

from ..errors import quantity
from ..evaluation.average_precision import Evaluation, precision_recall
from ..evaluation.matching import ANET, threshold_name
from ..formats.annotations import AMBIGUOUS, Detection, Instance
from ..formats.atomic import replacing

DPI = 100
INK, MUTED, GRID, PAPER, GREY = "#222222", "#666666", "#dddddd", "#f4f4f2", "#c4c4c4"
# Okabe and Ito's colours, which the colour-blind can tell apart; for their pale yellow, a purple.
HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A5195")
SMALL, NORMAL, LARGE = 8, 9, 13  # points
LINE = 0.2  # inches, of text
SMALL_LETTER, LETTER = 6.6, 7.5  # px, about, of each size
LONGEST_LABEL, LONGEST_TITLE = 40, 80  # letters
LEGEND: dict[str, Any] = {"fontsize": NORMAL, "frameon": False, "handlelength": 1.1}

TIMELINE_WIDTH, TIMELINE_AXIS = 1200, 1090  # px: of the picture, and about that of its time axes
LANE, BAR, BAND_GAP = 0.22, 0.8, 0.3  # inches; in lanes, a bar's height and the gap between bands
MAX_STRIPS, MAX_LANES, MAX_TRUTH_LANES, MAX_TRUTH = 8, 6, 12, 1000
READABLE_BAR = 16  # px that the median bar should have before a time line needs no more strips
LEAST_BAR = 4  # px, so that an instance of no length is seen
TICK_STEPS_SEC = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)

CHART_WIDTH = 900  # px
MANY_CLASSES, NAMED_OF_MANY = 10, 3  # above so many, only the best and the worst are named
MOST_BARS = 500  # drawn of the best classes, and as many of the worst


@dataclass(frozen=True)
class Picture:
    """A figure that can be saved as PNG, or taken as pixels or as SVG."""

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write the picture to `path` as PNG."""
        with replacing(path) as aside, _boxes_for_unknown_letters():
            self.figure.savefig(aside, format="png", dpi=DPI)

    def pixels(self) -> np.ndarray:
        """Return the picture as an image, (height, width, 3) uint8."""
        canvas = FigureCanvasAgg(self.figure)
        with _boxes_for_unknown_letters():
            canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def svg(self) -> str:
        """Return the picture as an SVG element."""
        text = io.StringIO()
        with _boxes_for_unknown_letters():
            self.figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()[text.getvalue().index("<svg") :]


def timeline(
    *,
    video_id: str,
    duration_sec: float,
    truth: Sequence[Instance],
    detections: Sequence[Detection],
    labels: Sequence[str],
) -> Picture:
    """Return a picture of one video's ground truth above its detections.

    A long video with many short actions is broken into strips, as text is into lines. What
    overlaps in time is stacked: detections by falling score, so that the first lane reads like
    the result of a strict suppression. The fill is the stronger, the higher a score is beside the
    video's best. Twice as many of the best are shown as there are instances, at least 10 and at
    most 200, and no more than 6 at one instant; the caption says so.

    Args:
        labels: all classes of the data set, in one order for all pictures: it fixes the colours.
    """
    limit = min(200, max(10, 2 * len(truth)))
    best = sorted(detections, key=lambda d: d.score, reverse=True)[:limit]
    in_time = sorted(truth, key=lambda i: (i.start_sec, i.label))[:MAX_TRUTH]
    edges = _strip_edges(duration_sec, truth, best)
    extent, least_sec = edges[-1], LEAST_BAR * edges[1] / TIMELINE_AXIS
    above = _stacked(in_time, least_sec, MAX_TRUTH_LANES)
    top = max(bar.y for bar in above) + 1 + BAND_GAP if truth else 0.0
    below = _stacked(best, least_sec, MAX_LANES, top=top)
    bottom = max([top, *(bar.y for bar in below)]) + 1
    caption = _timeline_caption(duration_sec, truth, detections, len(above), below)

    colours = present_colours(labels, {bar.action.label for bar in [*above, *below]})
    longest = max((len(shortened(label)) for label in colours), default=0)
    columns = max(1, int(TIMELINE_WIDTH / (LETTER * (longest + 6))))

    strips = len(edges) - 1
    inches = strips * (LANE * bottom + 1.6 * LINE) + LINE * (2 + math.ceil(len(colours) / columns))
    figure, rows = new_figure(video_id, caption, TIMELINE_WIDTH, inches, rows=strips)
    bands = {"truth": BAR / 2, "detected": top + BAR / 2} if truth else {"detected": BAR / 2}
    for axes, start, end in zip(rows, edges[:-1], edges[1:], strict=True):
        axes.set(xlim=(start, end), ylim=(bottom, BAR - 1))
        axes.set_yticks([*bands.values()], [*bands], fontsize=NORMAL, color=INK)
        axes.axvspan(start, max(start, min(duration_sec, end)), color=PAPER, linewidth=0, zorder=0)
        axes.axhline(top - (1 - BAR + BAND_GAP) / 2, color="white", linewidth=2, zorder=0.4)
        # At most a dozen ticks, written to suit the whole video.
        strip = end - start
        every = next((s for s in TICK_STEPS_SEC if strip / s <= 12), strip / 12)
        axes.xaxis.set_major_locator(MultipleLocator(every))
        axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds, extent))
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        _draw_bars(axes, [*above, *below], colours)
    rows[-1].set_xlabel(clock_unit(extent), loc="left", fontsize=SMALL, color=MUTED)
    # The blank is for names that begin with "_", which matplotlib would leave out.
    entries = [Patch(label=f" {plain(shortened(k))}", **_look(k, c)) for k, c in colours.items()]
    figure.legend(handles=entries, loc="outside lower left", ncols=columns, **LEGEND)
    return Picture(figure)


def precision_recall_figure(
    path: str | Path, evaluation: Evaluation, *, tiou: float, labels: Sequence[str] = ()
) -> None:
    """Draw every class's precision over recall, and their mean, and write it to `path` as PNG.

    Up to 10 classes are coloured; of more, only the best and the worst three are coloured and
    named. Of two named classes with one colour, which more than 21 have, the second is dashed.

    Args:
        labels: all classes, which fix the colours; those of the evaluation if not given.
    Raises:
        ValueError: `tiou` is not among the evaluation's thresholds.
    """
    curves = precision_recall(evaluation.matches, tiou=tiou)
    k = [*map(threshold_name, evaluation.tious)].index(threshold_name(tiou))
    ap = {label: float(values[k]) for label, values in evaluation.per_class.items()}
    ranked = sorted(ap, key=lambda label: -ap[label])
    named = ranked
    colours = present_colours(labels, ranked)
    if len(ranked) > MANY_CLASSES:
        named = [*ranked[:NAMED_OF_MANY], *ranked[-NAMED_OF_MANY:]]
        colours = {label: colours[label] for label in named}
    seen: dict[str, str] = {}
    dashed = {label for label in named if seen.setdefault(colours[label], label) != label}

    title = f"mAP {evaluation.mean_ap[k]:.1%} at tIoU {threshold_name(tiou)}"
    figure, [axes] = new_figure(title, evaluation.headline, CHART_WIDTH, 6)
    precision = "precision (monotone envelope)" if evaluation.protocol == ANET else "precision"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel=precision)
    axes.grid(color=GRID, linewidth=0.8)

    others = [label for label in ranked if label not in named]
    words = {label: f"{len(others)} classes between" for label in others[:1]}
    words |= {label: f"{100 * ap[label]:.1f}  {plain(shortened(label, 22))}" for label in named}
    # Named curves grow thinner from the best to the worst, so that those that coincide show.
    widths = dict(zip(named, np.linspace(2.8, 1.2, len(named)), strict=True))
    for label in [*others, *named]:
        # Steps whose area is the average precision.
        recall, precisions = curves[label]
        (line,) = axes.plot([0.0, *recall], [*precisions[:1], *precisions] or [math.nan])
        line.set(drawstyle="steps-pre", clip_on=False, label=words.get(label))
        line.set(color=colours.get(label, GREY), linewidth=widths.get(label, 0.7))
        line.set(linestyle="--" if label in dashed else "-")
    if len(ranked) > 1:
        grid = np.linspace(0, 1, 501)
        # Beyond a curve's last hit its precision is 0.
        at_grid = [np.append(p, 0.0)[np.searchsorted(r, grid - 1e-9)] for r, p in curves.values()]
        (line,) = axes.plot(grid, np.mean(at_grid, axis=0), color=INK, linewidth=3.2)
        line.set(drawstyle="steps-pre", clip_on=False)
        line.set_label(f"{100 * evaluation.mean_ap[k]:.1f}  mean")
    figure.legend(loc="outside right center", title="average precision in %", **LEGEND)
    Picture(figure).save(path)


def per_class_ap_figure(path: str | Path, evaluation: Evaluation) -> None:
    """Draw the average precision of every class as bars, best first, and write it as PNG.

    A bar is the mean over the tIoU thresholds; the line across it spans the thresholds, from the
    least average precision (as a rule at the strictest) to the greatest.
    """
    ranked = sorted(evaluation.per_class, key=lambda k: -evaluation.per_class[k].mean())
    ranked = ranked[:MOST_BARS] + ranked[max(len(ranked) - MOST_BARS, MOST_BARS) :]
    values = 100 * np.array([evaluation.per_class[label] for label in ranked])  # (C, K)
    means, rows = values.mean(axis=1), np.arange(len(ranked))
    tious = ", ".join(map(threshold_name, evaluation.tious))

    title = f"mAP {evaluation.average_map:.1%} at tIoU {tious}"
    caption = f"{evaluation.headline}  ·  after a name: instances and AP in %  ·  dashed: mAP"
    caption += "  ·  bar: mean over tIoU  ·  line: from the least to the greatest"
    if len(evaluation.per_class) > len(ranked):
        caption += f"  ·  the best {MOST_BARS} and the worst"
    figure, [axes] = new_figure(title, caption, CHART_WIDTH, 0.24 * len(ranked) + 2 * LINE)
    axes.barh(rows, means, height=0.62, color=mixed(HUES[0], "white", 0.3))
    axes.hlines(rows, values.min(axis=1), values.max(axis=1), color=INK, linewidth=1.2)
    axes.axvline(100 * evaluation.average_map, color=INK, linewidth=1, linestyle="--")
    axes.set(xlim=(0, min(100, 5 + 1.1 * values.max())), ylim=(len(ranked) - 0.5, -0.5))
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    names = [
        f"{plain(shortened(label))} ({evaluation.instances_per_class[label]:,})  {mean:.1f}"
        for label, mean in zip(ranked, means, strict=True)
    ]
    axes.set_yticks(rows, names, fontsize=NORMAL, color=INK)
    Picture(figure).save(path)


def class_colours(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for every label, the same in all pictures drawn with the same list.

    Seven hues, then the same hues darker, then lighter; after 21 labels they repeat.
    """
    shades = [*HUES, *(mixed(hue, other, 0.45) for other in ("black", "white") for hue in HUES)]
    return {label: shades[k % len(shades)] for k, label in enumerate(labels)}


def present_colours(labels: Sequence[str], present: Collection[str]) -> dict[str, str]:
    """Return the colours of the present labels, in the order of all labels; Ambiguous is grey."""
    unlisted = sorted({*present} - {*labels, AMBIGUOUS})
    colours = {**class_colours([*labels, *unlisted]), AMBIGUOUS: MUTED}
    return {label: colour for label, colour in colours.items() if label in present}


def clock(seconds: float, extent_sec: float) -> str:
    """Return an instant of a video `extent_sec` long in the unit that `clock_unit` names."""
    if extent_sec < 120:
        return f"{seconds:.4g}"
    hours, rest = divmod(round(seconds), 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}"
    return minutes if extent_sec < 3600 else f"{hours}:{minutes.zfill(5)}"


def clock_unit(extent_sec: float) -> str:
    """Return the unit in which the instants of a video `extent_sec` long are written."""
    return "seconds" if extent_sec < 120 else "min:s" if extent_sec < 3600 else "h:min:s"


@dataclass(frozen=True)
class _Bar:
    """An action on a time line: its lane, from the top, and the `strength` (0 to 1) of its fill."""

    action: Instance | Detection
    y: float
    strength: float


def _strip_edges(
    duration_sec: float, truth: Sequence[Instance], best: Sequence[Detection]
) -> list[float]:
    """Return the edges, in seconds, of so many strips that the median bar is readable."""
    extent = max([duration_sec, 1e-3, *(i.end_sec for i in truth)])
    lengths = [e.end_sec - e.start_sec for e in truth or best]
    median = max(np.median(lengths or [extent]), 1e-6)
    wanted = math.ceil(READABLE_BAR * extent / (TIMELINE_AXIS * median))
    strips = min(MAX_STRIPS, wanted, 1 + len(lengths) // 8)
    return [extent * k / strips for k in range(strips + 1)]


def _stacked(
    actions: Sequence[Instance | Detection], least_sec: float, max_lanes: int, *, top: float = 0.0
) -> list[_Bar]:
    """Return the actions as bars, each in the first lane that is free then; none past the last."""
    scores = [a.score for a in actions if isinstance(a, Detection)]
    floor = min([0.0, *scores])
    scale = max([0.0, *scores]) - floor or 1.0
    lanes: list[list[tuple[float, float]]] = [[] for _ in range(max_lanes)]
    bars = []
    for action in actions:
        start, end = action.start_sec, max(action.end_sec, action.start_sec + least_sec)
        for k, lane in enumerate(lanes):
            if all(start >= e or s >= end for s, e in lane):
                lane.append((start, end))
                share = (action.score - floor) / scale if isinstance(action, Detection) else 1.0
                bars.append(_Bar(action, top + k, 0.15 + 0.85 * share))
                break
    return bars


def _timeline_caption(
    duration_sec: float,
    truth: Sequence[Instance],
    detections: Sequence[Detection],
    drawn: int,
    shown: Sequence[_Bar],
) -> str:
    """Return the caption: length of the video, numbers of instances and detections, and shown."""
    unit, _, _ = clock_unit(duration_sec).partition(":")
    ambiguous = sum(i.label == AMBIGUOUS for i in truth)
    instances = quantity(len(truth) - ambiguous, "instance") if truth else "no annotated instances"
    instances += f" and {ambiguous} {AMBIGUOUS}" if ambiguous else ""
    beyond = sum(i.end_sec > duration_sec + 1e-3 for i in truth)
    instances += f" ({beyond} past the end of the video)" if beyond else ""
    instances += f" ({drawn} of them drawn)" if drawn < len(truth) else ""
    found = quantity(len(detections), "detection") if detections else "no detections"
    if len(shown) < len(detections):
        least = min(bar.action.score for bar in shown if isinstance(bar.action, Detection))
        found = f"the best {len(shown)} of {found}: scores from {least:.2g}"
        found += f", at most {MAX_LANES} at an instant"
    parts = [f"{clock(duration_sec, duration_sec)} {unit}", instances, found]
    return "  ·  ".join([*parts, "stronger fill, higher score"] if shown else parts)


def _draw_bars(axes: Axes, bars: Sequence[_Bar], colours: Mapping[str, str]) -> None:
    """Draw the bars that are within the axes, and into them label and score, or score, or none."""
    first, last = axes.get_xlim()
    pixel = (last - first) / TIMELINE_AXIS
    for bar in bars:
        action = bar.action
        if action.start_sec >= last or (action.end_sec <= first and first > 0):
            continue
        start = max(action.start_sec, first)
        length = max(min(action.end_sec, last) - start, LEAST_BAR * pixel)
        look = _look(action.label, colours[action.label], bar.strength)
        # A pixel less on either side keeps bars apart that touch.
        corner, width = (start + pixel, bar.y), length - 2 * pixel
        axes.add_patch(Rectangle(corner, width, BAR, linewidth=0.8, **look))
        score = f"{action.score:.2g}" if isinstance(action, Detection) else ""
        letters = (length / pixel - 8) / SMALL_LETTER
        words = f"{action.label} {score}".strip()
        words = words if len(words) <= letters else score if len(score) <= letters else ""
        if words and action.label != AMBIGUOUS:
            is_light = np.dot(to_rgb(look["facecolor"]), (0.3, 0.59, 0.11)) > 0.52
            axes.text(
                start + length / 2, bar.y + BAR / 2, plain(words), fontsize=SMALL, in_layout=False,
                color=INK if is_light else "white", ha="center", va="center_baseline",
            )  # fmt: skip


def new_figure(
    title: str, caption: str, width_px: int, inches: float, *, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a header, and so many inches of axes for the layout engine to place."""
    caption = "\n".join(textwrap.wrap(plain(caption), int(width_px / LETTER)))
    header = LINE * (caption.count("\n") + 3)
    height = header + inches
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.06, rect=(0, 0, 1, inches / height))
    figure = Figure((width_px / DPI, height), dpi=DPI, facecolor="white", layout=layout)
    title = plain(shortened(title, LONGEST_TITLE))
    figure.text(0.02, 1 - 0.15 / height, title, size=LARGE, weight="bold", color=INK, va="top")
    figure.text(0.02, 1 - 0.45 / height, caption, size=NORMAL, color=MUTED, va="top")
    every = list(figure.subplots(rows, squeeze=False)[:, 0])
    for axes in every:
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=6, labelsize=SMALL, labelcolor=MUTED)
    return figure, every


def shortened(words: str, letters: int = LONGEST_LABEL) -> str:
    """Return `words`, or of more than so many letters their start and end around a "…"."""
    if len(words) <= letters:
        return words
    head = int(0.6 * letters)
    return f"{words[:head]}…{words[len(words) - letters + head + 1 :]}"


def _look(label: str, colour: str, strength: float = 1.0) -> dict[str, Any]:
    """Return the colours of a label's bars, and the hatch of Ambiguous ones."""
    if label == AMBIGUOUS:
        return {"edgecolor": colour, "facecolor": PAPER, "hatch": "//////"}
    return {"edgecolor": colour, "facecolor": mixed(colour, "white", 1 - strength)}


def plain(words: str) -> str:
    """Return `words` so that matplotlib draws them as they are: no formulas, no odd characters."""
    return "".join(c if c.isprintable() else " " for c in words).replace("$", r"\$")


def mixed(colour: str, other: str, share: float) -> str:
    """Return `colour` with a share (0 to 1) of `other` in it."""
    mean = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))
    return to_hex(tuple(mean))


@contextlib.contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Let letters that the font lacks be drawn as boxes, which speak for themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield
