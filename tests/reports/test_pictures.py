"""Pictures: nothing overlaps or leaves the page, and what they say is what they show."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tsatal.evaluation.average_precision import Evaluation, evaluate
from tsatal.evaluation.matching import Measure
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.reports.pictures import (
    class_colours,
    clock,
    per_class_ap_figure,
    precision_recall_figure,
    shortened,
    timeline,
)

LONG = "An action described by a whole sentence that nobody ever shortened, variant"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved during the test, in order."""
    saved: list[Figure] = []
    original = Figure.savefig

    def savefig(self: Figure, *args: object, **options: object) -> None:
        saved.append(self)
        original(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    undrawn = {
        label
        for axes in figure.axes
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in axis.get_major_ticks()
        if not min(low, high) <= tick.get_loc() <= max(low, high)
        for label in (tick.label1, tick.label2)
    }
    found = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible()]
    found = [t for t in found if t not in undrawn]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_text().strip()]


def said(figure: Figure) -> str:
    return " ".join(words for words, _ in texts(figure))


def bars(figure: Figure) -> list[Bbox]:
    """The bars of a timeline, in pixels."""
    patches = [p for axes in figure.axes for p in axes.patches if isinstance(p, Rectangle)]
    return [p.get_window_extent() for p in patches if p.get_zorder() == 1]


def overlap(a: Bbox, b: Bbox, slack: float = 1.0) -> bool:
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    up = min(a.y1, b.y1) - max(a.y0, b.y0)
    return across > slack and up > slack


def assert_legible(figure: Figure) -> None:
    page = figure.bbox
    found = texts(figure)
    for words, box in found:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{words!r} leaves the page"
    for (one, a), (two, b) in combinations(found, 2):
        assert not overlap(a, b), f"{one!r} lies on {two!r}"
    for c, d in combinations(bars(figure), 2):
        assert not overlap(c, d)


def repeated(number: int, every: float, length: float, labels: list[str]) -> list[Instance]:
    return [Instance(labels[k % len(labels)], k * every, k * every + length) for k in range(number)]


def found(truth: list[Instance], copies: int = 1) -> list[Detection]:
    return [
        Detection(i.label, i.start_sec + c / 2, i.end_sec + c / 4, 0.8 / (1 + c) - n / 1e4)
        for n, i in enumerate(truth)
        for c in range(copies)
    ]


CASES: dict[str, tuple[float, list[Instance], list[Detection]]] = {
    "short": (5.0, repeated(3, 1.5, 1.4, ["dips"]), found(repeated(3, 1.5, 1.4, ["dips"]), 4)),
    "long": (1200.0, repeated(150, 8, 3, ["A", "B"]), found(repeated(150, 8, 3, ["A", "B"]), 3)),
    "hours": (9000.0, repeated(40, 200, 60, ["A"]), found(repeated(40, 200, 60, ["A"]))),
    "no detections": (30.0, repeated(3, 9, 5, ["A"]), []),
    "no truth": (30.0, [], found(repeated(3, 9, 5, ["A"]))),
    "nothing": (30.0, [], []),
    "nothing at all": (0.0, [], []),
    "long names": (30.0, repeated(3, 9, 5, [f"{LONG} {k}" for k in range(3)]), []),
    "many classes": (600.0, repeated(60, 10, 9, [f"class {k}" for k in range(60)]), []),
    "instants": (10.0, [Instance("A", 5, 5), Instance("A", 5, 5)], [Detection("A", 5, 5, 0.0)]),
    "past the end": (10.0, repeated(6, 5, 4, ["A"]), []),
    "stacked": (10.0, [Instance(x, 1, 9) for x in "ABCDEFGHIJ"], []),
    "ambiguous": (10.0, [Instance("Ambiguous", 0, 5), Instance("A", 3, 9)], []),
    "odd labels": (10.0, [Instance("$x_1$", 0, 5), Instance("_hidden", 5, 9)], []),
    "unknown letters": (10.0, [Instance("跳远\n", 0, 5)], [Detection("🤸 跳高", 5, 9, 0.5)]),
    "thousands": (3000.0, repeated(3000, 1, 1.5, ["A", "B"]), found(repeated(900, 1, 1, ["A"]))),
    "before the start": (10.0, [Instance("A", -3, -1), Instance("A", -2, 2)], []),
    "negative scores": (10.0, [], [Detection("A", 0, 5, -3.0), Detection("A", 6, 9, -8.0)]),
}


def draw(path: Path, case: str, *, truth_alone: bool = False) -> None:
    duration, truth, detections = CASES[case]
    detections = [] if truth_alone else detections
    labels = sorted(({i.label for i in truth} | {d.label for d in detections}) - {"Ambiguous"})
    timeline(
        video_id=f"video of {case}",
        duration_sec=duration,
        truth=truth,
        detections=detections,
        labels=labels,
    ).save(path)


@pytest.mark.filterwarnings("ignore:Glyph")  # measuring the texts here warns, drawing does not
@pytest.mark.parametrize("case", CASES)
def test_timelines_are_legible(case: str, tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "t.png", case)
    assert_legible(figures[0])
    image = imread(tmp_path / "t.png")
    assert image.shape[1] == 1200
    assert image.shape[0] < 2000
    assert f"video of {case}" in said(figures[0])


def test_every_instance_has_its_bar(tmp_path: Path, figures: list[Figure]) -> None:
    for case in ("stacked", "instants", "past the end", "no detections", "long names"):
        draw(tmp_path / "t.png", case, truth_alone=True)
        assert len(bars(figures[-1])) == len(CASES[case][1])
        assert all(box.width >= 1 for box in bars(figures[-1]))


def test_long_videos_are_broken_into_strips(tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "t.png", "long")
    assert said(figures[0]).count("truth") > 3
    narrowest = min(box.width for box in bars(figures[0]))
    assert narrowest > 5  # 3 s of 20 minutes would be 2.7 px on one line
    draw(tmp_path / "t.png", "short")
    assert said(figures[1]).count("truth") == 1


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("short", "the best 10 of 12 detections: scores from 0.2,"),
        ("short", "3 instances"),
        ("no detections", "no detections"),
        ("no truth", "no annotated instances"),
        ("no truth", "3 detections"),
        ("past the end", "6 instances (4 past the end of the video)"),
        ("ambiguous", "1 instance and 1 Ambiguous"),
        ("long", "20:00 min"),
        ("hours", "2:30:00 h"),
        ("thousands", "3,000 instances (1 past the end of the video) (1000 of them drawn)"),
    ],
)
def test_the_caption_counts(case: str, words: str, tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "t.png", case)
    assert words in said(figures[0])


def test_only_the_best_detections_are_shown(tmp_path: Path, figures: list[Figure]) -> None:
    apart = [Detection("A", 10 * k, 10 * k + 5, 1 - k / 100) for k in range(30)]
    page = timeline(video_id="v", duration_sec=300, truth=[], detections=apart, labels=["A"])
    page.save(tmp_path / "t.png")
    assert len(bars(figures[0])) == 10
    assert "the best 10 of 30 detections: scores from 0.91" in said(figures[0])


def test_at_most_six_detections_share_an_instant(tmp_path: Path, figures: list[Figure]) -> None:
    pile = [Detection("A", 0, 9, k / 10) for k in range(1, 10)]
    page = timeline(video_id="v", duration_sec=9, truth=[], detections=pile, labels=["A"])
    page.save(tmp_path / "t.png")
    assert "the best 6 of 9 detections: scores from 0.4" in said(figures[0])
    heights = [box.y1 for box in bars(figures[0])]
    assert heights == sorted(heights, reverse=True)  # the best lies on top


def test_a_class_keeps_its_colour_from_picture_to_picture(tmp_path: Path) -> None:
    labels = ["A", "B", "C"]
    colour = tuple(int(class_colours(labels)["B"][k : k + 2], 16) for k in (1, 3, 5))
    for k, truth in enumerate([[Instance("B", 0, 5)], repeated(3, 3, 2, labels)]):
        page = timeline(video_id="v", duration_sec=10, truth=truth, detections=[], labels=labels)
        page.save(tmp_path / f"{k}.png")
        pixels = (imread(tmp_path / f"{k}.png")[..., :3] * 255).round().astype(int)
        np.testing.assert_array_equal(page.pixels(), pixels)
        assert (pixels == colour).all(axis=-1).sum() > 500


def test_colours_are_distinct_for_twenty_one_classes() -> None:
    labels = [f"class {k}" for k in range(50)]
    colours = class_colours(labels)
    assert len(colours) == 50
    assert len({colours[label] for label in labels[:21]}) == 21


def test_a_legend_names_labels_as_they_are(tmp_path: Path, figures: list[Figure]) -> None:
    draw(tmp_path / "t.png", "odd labels")
    [legend] = figures[0].legends
    drawn = [t.get_text() for t in legend.get_texts()]
    assert [words.replace(r"\$", "$").strip() for words in drawn] == ["$x_1$", "_hidden"]
    assert not any(is_math_text(words) for words in drawn)


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_no_warning(tmp_path: Path) -> None:
    draw(tmp_path / "t.png", "unknown letters")


def test_a_timeline_as_svg_is_one_element() -> None:
    truth, found = [Instance("A < B", 0, 5)], [Detection("A < B", 1, 6, 0.5)]
    page = timeline(video_id="v", duration_sec=9, truth=truth, detections=found, labels=[])
    text = page.svg()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg") and text.startswith("<svg")
    assert root.get("width") == "864pt"  # 1200 px


@pytest.mark.parametrize(
    ("seconds", "extent_sec", "words"),
    [(1.25, 16, "1.25"), (65, 600, "1:05"), (65, 3599, "1:05"), (3665.4, 7200, "1:01:05")],
)
def test_an_instant_is_written_to_suit_its_video(
    seconds: float, extent_sec: float, words: str
) -> None:
    assert clock(seconds, extent_sec) == words


def test_drawing_is_repeatable(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "long")
    draw(tmp_path / "b.png", "long")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_shortened_labels_keep_both_ends() -> None:
    one, two = (shortened(f"{LONG} {k}", 30) for k in range(2))
    assert one != two
    assert one.startswith("An action") and one.endswith(" 0") and "…" in one
    assert len(one) == 30
    assert shortened("A") == "A"
    assert [len(shortened("ABCDEFGH", n)) for n in (1, 2, 3, 7, 8, 9)] == [1, 2, 3, 7, 8, 8]


def evaluated(classes: int, protocol: str, *, hits: bool = True, name: str = "class") -> Evaluation:
    """Classes of rising quality: class k finds its 12 instances but for every (k + 2)-nd."""
    labels = [f"{name} {k:03}" for k in range(classes)]
    truth = [Instance(label, 10.0 * n, 10.0 * n + 9) for label in labels for n in range(12)]
    detections = [
        Detection(i.label, i.start_sec + (100 if n % (k + 2) == 0 else 0), i.end_sec + 101, 0.5)
        if n % (k + 2) == 0
        else Detection(i.label, i.start_sec, i.end_sec - n / 4, 1 - n / 20)
        for k in range(classes)
        for n, i in enumerate(truth[12 * k : 12 * k + 12])
    ]
    videos = {"v": AnnotatedVideo("v", "validation", 120.0, tuple(truth))}
    predictions = {"v": detections if hits else []}
    measure = Measure(protocol, (0.5, 0.75, 0.9))
    return evaluate(videos, predictions, measure, subset="validation")


@pytest.mark.parametrize(
    ("classes", "protocol"),
    [(1, "anet"), (6, "thumos14"), (10, "anet"), (11, "thumos14"), (100, "anet")],
)
def test_charts_are_legible(
    classes: int, protocol: str, tmp_path: Path, figures: list[Figure]
) -> None:
    evaluation = evaluated(classes, protocol)
    precision_recall_figure(tmp_path / "pr.png", evaluation, tiou=0.5)
    per_class_ap_figure(tmp_path / "ap.png", evaluation)
    for figure in figures:
        assert_legible(figure)
        assert evaluation.headline in said(figure)
        assert "tIoU" in said(figure)


def test_charts_cope_with_long_names_and_no_hits(tmp_path: Path, figures: list[Figure]) -> None:
    for name, hits in ((LONG, True), ("class", False)):
        evaluation = evaluated(6, "anet", hits=hits, name=name)
        precision_recall_figure(tmp_path / "pr.png", evaluation, tiou=0.5)
        per_class_ap_figure(tmp_path / "ap.png", evaluation)
    for figure in figures:
        assert_legible(figure)


def test_bars_name_every_class_and_curves_the_best_and_worst(
    tmp_path: Path, figures: list[Figure]
) -> None:
    evaluation = evaluated(20, "anet")
    per_class_ap_figure(tmp_path / "ap.png", evaluation)
    precision_recall_figure(tmp_path / "pr.png", evaluation, tiou=0.5)
    ranked = sorted(evaluation.per_class, key=lambda k: -evaluation.per_class[k][0])
    assert all(label in said(figures[0]) for label in ranked)
    named = [label for label in ranked if label in said(figures[1])]
    assert named == [*ranked[:3], *ranked[-3:]]
    assert "14 classes between" in said(figures[1])


def test_bars_grow_with_the_number_of_classes(tmp_path: Path) -> None:
    heights = []
    for classes in (2, 200):
        per_class_ap_figure(tmp_path / "ap.png", evaluated(classes, "anet"))
        heights.append(imread(tmp_path / "ap.png").shape[0])
    assert heights[1] - heights[0] == 198 * 24


def test_a_threshold_that_was_not_evaluated_is_refused(tmp_path: Path) -> None:
    evaluation = evaluated(1, "anet")
    with pytest.raises(ValueError, match=r"tIoU 0.6 was not evaluated; there are: 0.5, 0.75, 0.9"):
        precision_recall_figure(tmp_path / "pr.png", evaluation, tiou=0.6)


def test_no_window_system_is_touched() -> None:
    code = "import sys, tsatal.reports.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
