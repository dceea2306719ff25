"""The report's page: what it says, that it says it safely, and that it can be read anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.diagnosis import KINDS, REASONS, Diagnosis, diagnose
from tsatal.evaluation.events import outcome
from tsatal.evaluation.matching import Measure, match
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.reports.report_page import report_data, report_page
from tsatal.reports.report_words import definitions, findings

from ..browser import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = '<img src=x onerror="document.title=1">'
BREAKOUT = "</script><script>document.title = 2</script>"

AMBIGUOUS = Instance("Ambiguous", 20, 25)

Videos = dict[str, AnnotatedVideo]
Predictions = dict[str, list[Detection]]


def example(name: str = "A", video: str = "v") -> tuple[Videos, Predictions]:
    """The hand-made case of `test_diagnosis`, and a second video in which all is found."""
    truth = [(name, 0, 10), (name, 40, 50), ("B", 20, 30), ("B", 60, 70)]
    found = [
        (name, 0.0, 10.0, 0.9),
        (name, 1.0, 11.0, 0.8),  # double detection
        (name, 20.0, 29.0, 0.7),  # wrong label
        (name, 46.0, 56.0, 0.6),  # localization
        (name, 26.0, 36.0, 0.5),  # confusion
        (name, 80.0, 90.0, 0.4),  # background
        ("B", 20.0, 30.0, 0.95),
    ]
    videos = {
        video: AnnotatedVideo(video, "test", 100.0, tuple(Instance(*i) for i in truth)),
        "w": AnnotatedVideo(
            "w", "test", 30.0, (Instance("B", 5, 9), Instance("Ambiguous", 20, 25))
        ),
        "empty": AnnotatedVideo("empty", "test", None, ()),
    }
    return videos, {
        video: [Detection(*d) for d in found],
        "w": [Detection("B", 5, 9, 0.99)],
    }


def made(
    make: Callable[..., Any],
    videos: Videos,
    predictions: Predictions,
    *,
    protocol: str = "anet",
    tious: Sequence[float] = (0.3, 0.5, 0.9),
    name: str = "run",
    **more: Any,
) -> Any:
    measure = Measure(protocol, tuple(tious))
    evaluation = evaluate(videos, predictions, measure, subset="test")
    return make(evaluation, diagnose(evaluation.matches), name=name, **more)


def diagnosed(videos: Videos, predictions: Predictions) -> Diagnosis:
    return diagnose(match(videos, predictions, Measure("anet", (0.5,)), subset="test"))


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    text = made(report_page, *example())
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)\s*=\s*["\'](?!data:)', text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_data_are_plain_and_complete() -> None:
    data = made(report_data, *example())
    json.dumps(data, allow_nan=False)
    assert data["tious"] == ["0.3", "0.5", "0.9"] and data["shown"] == 1
    assert [k["name"] for k in data["kinds"]] == ["true positive", *KINDS]
    assert [r["name"] for r in data["reasons"]] == list(REASONS)
    assert data["curves"][1] == {"A": [1.0], "B": [1.0, 1.0]}


def test_the_most_confident_mistakes_come_first_and_have_their_kind() -> None:
    mistakes = made(report_data, *example())["mistakes"][1]
    assert [m["kind"] for m in mistakes] == list(KINDS)
    assert mistakes[0] == {
        "video": "v", "label": "A", "start_sec": 1.0, "end_sec": 11.0, "score": 0.8,
        "kind": "double detection",
    }  # fmt: skip


def test_videos_are_ranked_by_their_average_precision() -> None:
    # v: precision 1 at its first two hits, 2 of 4 instances missed: AP 1/2. w: AP 1.
    data = made(report_data, *example(), tious=(0.5,))
    assert [(v["video"], v["AP"]) for v in data["lowest"]] == [("v", [0.5])]
    assert [(v["video"], v["AP"]) for v in data["highest"]] == [("w", [1.0])]
    assert data["lowest"][0]["truth"][0] == {
        "label": "A",
        "start_sec": 0,
        "end_sec": 10,
        "fates": "0",
    }
    assert [d["kinds"] for d in data["lowest"][0]["found"]] == [*"0012345"]


def test_ambiguous_stretches_are_shown_where_they_count() -> None:
    for protocol, number in (("anet", 0), ("thumos14", 1)):
        data = made(report_data, *example(), protocol=protocol)
        assert len(data["highest"][0]["ambiguous"]) == number
        assert any(f"the {protocol} protocol" in words for _, words in data["definitions"])


def test_findings_say_what_costs_most_in_words() -> None:
    # A: AP 1/2, as 1 of 2 is found before any error; B: 2 of 3 found. Errors cost nothing.
    videos, predictions = example()
    diagnosis = diagnosed(videos, predictions)
    assert findings(diagnosis, 0) == [
        "41.7 points are lost: 0.0 to false positives that rank above hits, 41.7 to instances that "
        "no detection hits.",
        "No single kind of error costs half a point.",
        "2 of 5 instances missed; most often (1 of them) they are touched by a detection of the "
        "right label, with boundaries that are off.",
    ]
    # With [40, 50] found last, at rank 7, each of the five errors above costs.
    predictions["v"].append(Detection("A", 40, 50, 0.1))
    words = findings(diagnosed(videos, predictions), 0)
    assert words[1].startswith("Double detections cost 1.2 points: the same action is reported")


def test_findings_of_nothing_and_of_everything() -> None:
    videos, _ = example()
    nothing = diagnosed(videos, {})
    assert findings(nothing, 0) == ["There are no detections: all instances are missed."]
    perfect = {
        k: [Detection(i.label, i.start_sec, i.end_sec, 1.0) for i in v.instances]
        for k, v in videos.items()
    }
    everything = diagnosed(videos, perfect)
    assert findings(everything, 0) == ["Next to nothing is lost at this threshold."]


def test_a_bucket_that_stands_out_is_named() -> None:
    truth = tuple(Instance("A", 20.0 * n, 20.0 * n + 1 + n) for n in range(12))
    videos = {"v": AnnotatedVideo("v", "test", 300.0, truth)}
    found = {"v": [Detection(i.label, i.start_sec, i.end_sec, 0.9) for i in truth[6:]]}
    words = findings(diagnosed(videos, found), 0)
    assert words[-1] == (
        "Found least, by coverage: up to 2.2 %, where 0 % of the instances are found, against 50 % "
        "of all."
    )


def test_every_kind_and_reason_is_defined() -> None:
    videos, predictions = example()
    terms = dict(definitions(diagnosed(videos, predictions)))
    assert {kind.capitalize() for kind in KINDS} | {f"Missed: {r}" for r in REASONS} <= set(terms)


def opened(page: Page, tmp_path: Path, text: str) -> Page:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("hostile", [HOSTILE, BREAKOUT, "__proto__", "constructor", "'\"&$`"])
def test_hostile_names_are_shown_and_do_nothing(
    hostile: str, browser_page: Page, tmp_path: Path
) -> None:
    text = made(report_page, *example(hostile, hostile), name=hostile)
    page = opened(browser_page, tmp_path, text)
    assert page.title() == f"{hostile}: why the mAP is what it is"
    assert page.locator("img, main script").count() == 0
    assert page.locator("#name").inner_text() == hostile
    assert hostile in page.locator("#classes tbody th").all_inner_texts()
    assert hostile in page.locator("#lowest h4").all_inner_texts()
    page.select_option("#class", hostile)
    assert hostile in page.locator("#curves").inner_text()


def test_the_page_shows_the_figures_of_the_evaluation(browser_page: Page, tmp_path: Path) -> None:
    page = opened(browser_page, tmp_path, made(report_page, *example()))
    data = made(report_data, *example())
    assert page.locator("#score").inner_text().startswith(f"mAP {100 * data['average_mAP']:.1f} %")
    for row, (tiou, part) in enumerate(data["diagnosis"]["thresholds"].items()):
        cells = page.locator("#thresholds tbody tr").nth(row).locator("th, td").all_inner_texts()
        assert cells[:2] == [tiou, f"{100 * part['mAP']:.1f}"]
    numbers = page.locator("#impact tbody td:nth-child(2)").all_inner_texts()
    assert numbers == ["1"] * 5
    assert "2 of 5 instances missed at tIoU 0.5, 3 found" in page.locator("#missed").inner_text()
    assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0


def test_time_lines_have_bars_in_lanes_and_a_clock(browser_page: Page, tmp_path: Path) -> None:
    page = opened(browser_page, tmp_path, made(report_page, *example()))
    strip = page.locator("#lowest .strip").first
    truth, found = strip.locator(".band").all()
    assert truth.locator(".action").all_inner_texts() == ["A", "B", "A", "B"]
    assert found.locator(".action").first.inner_text() == "0.95 B"
    title = truth.locator(".action").first.get_attribute("title")
    assert title == "A: found (0:00.0 – 0:10.0)"
    boxes = [bar.bounding_box() for bar in found.locator(".action").all()]
    for one, two in combinations([b for b in boxes if b], 2):
        apart = one["x"] + one["width"] <= two["x"] + 1 or two["x"] + two["width"] <= one["x"] + 1
        assert apart or one["y"] != two["y"]
    assert strip.locator(".tick").all_inner_texts()[:3] == ["0:00", "0:10", "0:20"]
    assert "0:01.0 – 0:11.0" in page.locator("#mistakes").inner_text()


@pytest.mark.parametrize("width", [360, 1280])
def test_what_counts_above_the_thresholds_stands_on_the_page(
    width: int, browser_page: Page, tmp_path: Path
) -> None:
    videos, found = example()
    point = OperatingPoint({"A": 0.75, "B": 0.9, "C": 0.1}, 0.5, "f1", "test", 0.5)
    seen = outcome(videos, found, point, subset="test")
    browser_page.set_viewport_size({"width": width, "height": 800})
    page = opened(browser_page, tmp_path, made(report_page, videos, found, outcome=seen))
    rows = page.locator("#events tbody tr").all()
    lines = [row.locator("th, td").all_text_contents() for row in rows]
    assert lines[0][:2] == ["all", ""] and lines[1][:8] == [
        "A", "0.75", "2", "2", "50.0", "50.0", "50.0", "0.0"
    ]  # fmt: skip
    assert lines[3][:8] == ["C", "0.10", "0", "0", "–", "–", "–", "–"]
    assert "flatters" in page.locator("#events-words").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_thresholds_there_are_no_events(browser_page: Page, tmp_path: Path) -> None:
    page = opened(browser_page, tmp_path, made(report_page, *example()))
    assert page.locator("#events-section").is_hidden()


def test_another_threshold_and_another_order(browser_page: Page, tmp_path: Path) -> None:
    page = opened(browser_page, tmp_path, made(report_page, *example()))
    first = page.locator("#classes tbody th").all_inner_texts()
    assert first == ["B", "A"]  # by AP
    page.get_by_role("button", name="Class").click()
    assert page.locator("#classes tbody th").all_inner_texts() == ["A", "B"]
    assert page.locator("#classes th[aria-sort=ascending]").inner_text().startswith("Class")
    page.select_option("#threshold", label="0.9")
    assert "tIoU 0.9" in page.locator("#impact").inner_text()
    assert "tIoU 0.9" in str(page.locator("#curves svg").get_attribute("aria-label"))


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_nothing_is_wider_than_the_screen(width: int, browser_page: Page, tmp_path: Path) -> None:
    browser_page.set_viewport_size({"width": width, "height": 800})
    page = opened(browser_page, tmp_path, made(report_page, *example("Word" * 60, "id" * 60)))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 320, "height": 800})  # drawn anew, a little later
    wait_until(page, "document.documentElement.scrollWidth <= 320")


def test_a_page_without_detections_opens(browser_page: Page, tmp_path: Path) -> None:
    videos, _ = example()
    page = opened(browser_page, tmp_path, made(report_page, videos, {}))
    assert "no detections to evaluate" in page.locator("#notes").inner_text()
    assert "There are none." in page.locator("#mistakes").inner_text()


def test_a_video_of_no_length_can_be_drawn(browser_page: Page, tmp_path: Path) -> None:
    videos = {"v": AnnotatedVideo("v", "test", None, (Instance("A", 0, 0),))}
    found = {"v": [Detection("A", 0, 0, 0.5)]}
    page = opened(browser_page, tmp_path, made(report_page, videos, found))
    assert "NaN" not in page.content()
    assert "1 instance, 1 missed" in page.locator("#lowest").inner_text()


def test_of_very_many_instances_the_first_are_drawn_and_all_are_counted(
    browser_page: Page, tmp_path: Path
) -> None:
    truth = [Instance("A", 3 * n, 3 * n + 2) for n in reversed(range(1200))]
    videos = {"v": AnnotatedVideo("v", "test", 3600.0, tuple(truth))}
    found = {"v": [Detection("A", 3 * n, 3 * n + 2, 0.5) for n in range(1100)]}
    drawn = made(report_data, videos, found)["lowest"][0]["truth"]
    assert [b["start_sec"] for b in drawn] == [3 * n for n in range(1000)]
    page = opened(browser_page, tmp_path, made(report_page, videos, found))
    words = page.locator("#lowest").inner_text()
    assert "1200 instances, 100 missed. The first 1000 are drawn." in words.replace(",200", "200")
