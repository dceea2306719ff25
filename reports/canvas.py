"""A page laid out in pixels, which the pictures of `visualize` are drawn on.

It stands on matplotlib's object interface: nothing global is touched, no window is opened. Text is
measured before it is placed, so that nothing overlaps and nothing is cut off at the edge.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from ..formats.atomic import replacing

DPI = 100
INK, MUTED, GRID, PAPER = "#222222", "#666666", "#dddddd", "#f4f4f2"
# Okabe and Ito's colours, which the colour-blind can tell apart; for their pale yellow, a purple.
HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A5195")
HATCH = "//////"
SMALL, NORMAL, LARGE = 8.0, 9.0, 13.0  # points
MARGIN, LINE = 24, 18  # px: around a page, and between lines of text
SWATCH, SWATCH_GAP, ENTRY_GAP = 12, 6, 20  # px: in legends
LONGEST_LABEL = 300  # px
MOST_LETTERS = 600  # that a page is wide
TICK_STEPS_SEC = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
FONT = "DejaVu Sans"  # matplotlib brings it along, so a picture is the same on every machine


class Page:
    """A white page of `width` x `height` px whose coordinates start at the top left."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self._whole = self._figure.add_axes((0, 0, 1, 1))
        self._whole.set(xlim=(0, width), ylim=(height, 0))
        self._whole.set_axis_off()

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes that fill this rectangle, transparent and without a frame."""
        bottom = self.height - top - height
        across, up = self.width, self.height
        axes = self._figure.add_axes((left / across, bottom / up, width / across, height / up))
        axes.set_facecolor("none")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=3, color=GRID, labelsize=SMALL, labelcolor=MUTED, pad=4)
        axes.set_axisbelow(True)
        return axes

    def write(
        self,
        x: float,
        y: float,
        words: str,
        size: float = NORMAL,
        *,
        colour: str = INK,
        align: str = "left",
    ) -> None:
        """Write `words` at this place of the page, as `write` does."""
        write(self._whole, x, y, words, size, colour=colour, align=align)

    def header(self, title: str, caption: str) -> None:
        """Write a title, and below it, in as many lines as it takes, what the picture shows."""
        title = shortened(title, LARGE, self.width - 2 * MARGIN, bold=True)
        write(self._whole, MARGIN, MARGIN + 6, title, LARGE, bold=True)
        for k, line in enumerate(_wrapped(caption, self.width - 2 * MARGIN)):
            self.write(MARGIN, MARGIN + 32 + LINE * k, line, colour=MUTED)

    def swatch(self, x: float, y: float, colour: str, *, hatched: bool = False) -> None:
        """Draw a small square of `colour` whose left is at `x` and whose middle is at `y`."""
        square = Rectangle((x, y - SWATCH / 2), SWATCH, SWATCH, edgecolor=colour, linewidth=0.8)
        square.set(facecolor=PAPER if hatched else colour, hatch=HATCH if hatched else None)
        self._whole.add_patch(square)

    def legend(self, top: float, colours: Mapping[str, str], *, hatched: Collection[str]) -> None:
        """Draw a legend over the whole width; `legend_height` says how high it is."""
        for row, x, label in _flowing(colours, self.width - 2 * MARGIN):
            y = top + LINE * (row + 0.5)
            self.swatch(MARGIN + x, y, colours[label], hatched=label in hatched)
            self.write(MARGIN + x + SWATCH + SWATCH_GAP, y, shortened(label))

    def save(self, path: str | Path) -> None:
        """Write the page to `path` as PNG, a pixel for a pixel."""
        with replacing(path) as aside, _boxes_for_unknown_letters():
            self._figure.savefig(aside, format="png", dpi=DPI)

    def pixels(self) -> np.ndarray:
        """Return the page as an image, (height, width, 3) uint8."""
        drawn = FigureCanvasAgg(self._figure)
        with _boxes_for_unknown_letters():
            drawn.draw()
        return np.asarray(drawn.buffer_rgba())[..., :3].copy()


def header_height(caption: str, width: float) -> float:
    """Return where what follows a page's header may start, in px."""
    return MARGIN + 28 + LINE * len(_wrapped(caption, width - 2 * MARGIN))


def legend_height(labels: Iterable[str], width: float) -> float:
    """Return the height of a page's legend in px; 0 without labels."""
    return LINE * (1 + max((row for row, _, _ in _flowing(labels, width - 2 * MARGIN)), default=-1))


def write(
    axes: Axes,
    x: float,
    y: float,
    words: str,
    size: float = NORMAL,
    *,
    colour: str = INK,
    align: str = "left",
    bold: bool = False,
) -> None:
    """Write `words` at (x, y), vertically centred; "$" and "_" in them mean themselves."""
    axes.text(
        x,
        y,
        _printable(words),
        color=colour,
        fontproperties=_font(size, bold=bold),
        horizontalalignment=align,
        verticalalignment="center_baseline",
        parse_math=False,
        zorder=5,
    )


@lru_cache(maxsize=10_000)
def text_width(words: str, size: float = NORMAL, *, bold: bool = False) -> float:
    """Return how wide `words` will be, in px."""
    if len(words) > MOST_LETTERS:
        return math.inf
    font = _font(size, bold=bold)
    with _boxes_for_unknown_letters():
        words = _printable(words)
        width, _, _ = _renderer().get_text_width_height_descent(words, font, ismath=False)
    return float(width)


def shortened(
    words: str, size: float = NORMAL, room: float = LONGEST_LABEL, *, bold: bool = False
) -> str:
    """Return `words`, or where they are wider than `room` px, their start and end around a "…"."""
    if text_width(words, size, bold=bold) <= room:
        return words
    kept, too_many = 0, min(len(words), MOST_LETTERS)
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        if text_width(_ends(words, middle), size, bold=bold) <= room:
            kept = middle
        else:
            too_many = middle
    return _ends(words, kept)


def _ends(words: str, kept: int) -> str:
    """Return so many letters of the start and end of `words` around a "…"."""
    head = math.ceil(kept * 0.6)
    return words[:head].rstrip() + "…" + words[len(words) - kept + head :].lstrip()


def time_axis(axes: Axes, start_sec: float, end_sec: float, *, extent_sec: float) -> None:
    """Make x run over these seconds; the ticks are written to suit a video `extent_sec` long."""
    step = tick_step(end_sec - start_sec)
    numbers = range(math.ceil(start_sec / step), math.floor(end_sec / step + 1e-9) + 1)
    axes.set_xlim(start_sec, end_sec)
    axes.set_xticks([k * step for k in numbers], [clock(k * step, extent_sec) for k in numbers])
    axes.grid(axis="x", color=GRID, linewidth=0.8)


def tick_step(span_sec: float) -> float:
    """Return the distance of ticks, in seconds, that puts at most a dozen on an axis."""
    return next((s for s in TICK_STEPS_SEC if span_sec / s <= 12), span_sec / 12)


def clock(seconds: float, extent_sec: float) -> str:
    """Return an instant of a video `extent_sec` long, as `clock_unit` says."""
    if extent_sec < 120:
        return f"{seconds:.4g}"
    hours, rest = divmod(round(seconds), 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}"
    return minutes if extent_sec < 3600 else f"{hours}:{minutes.zfill(5)}"


def clock_unit(extent_sec: float) -> str:
    """Return how the instants of a video `extent_sec` long are written."""
    return "seconds" if extent_sec < 120 else "min:s" if extent_sec < 3600 else "h:min:s"


def class_colours(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for every label, the same in all pictures drawn with the same list.

    Seven hues, then the same hues darker, then lighter; after 21 labels they repeat.
    """
    shades = [*HUES, *(mixed(h, "black", 0.45) for h in HUES)]
    shades += [mixed(h, "white", 0.45) for h in HUES]
    return {label: shades[k % len(shades)] for k, label in enumerate(labels)}


def mixed(colour: str, other: str, share: float) -> str:
    """Return `colour` with a share (0 to 1) of `other` in it."""
    pairs = zip(to_rgb(colour), to_rgb(other), strict=True)
    r, g, b = ((1 - share) * one + share * two for one, two in pairs)
    return to_hex((r, g, b))


def ink_on(fill: str) -> str:
    """Return the text colour that reads better on `fill`."""
    r, g, b = to_rgb(fill)
    return INK if 0.3 * r + 0.59 * g + 0.11 * b > 0.52 else "white"


def _wrapped(words: str, room: float) -> list[str]:
    """Return `words` broken at blanks into lines of at most `room` px, longer words shortened."""
    lines: list[str] = []
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, NORMAL, room))
    return lines


def _flowing(labels: Iterable[str], room: float) -> list[tuple[int, float, str]]:
    """Return (row, x, label) of legend entries set like words in a paragraph `room` px wide."""
    places: list[tuple[int, float, str]] = []
    row, x = 0, 0.0
    for label in labels:
        width = SWATCH + SWATCH_GAP + text_width(shortened(label))
        if places and x + width > room:
            row, x = row + 1, 0.0
        places.append((row, x, label))
        x += width + ENTRY_GAP
    return places


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def _printable(words: str) -> str:
    """Return `words` with blanks for line breaks and control characters."""
    return words if words.isprintable() else "".join(c if c.isprintable() else " " for c in words)


@contextlib.contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Let letters that the font lacks be drawn as boxes, which speak for themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def _font(size: float, *, bold: bool = False) -> FontProperties:
    return FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
