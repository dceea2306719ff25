"""The viewer's page in a real browser: mouse, keyboard, narrow screens, videos of several kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tsatal.commands import demo
from tsatal.formats.annotations import ActionnessCurve, Detection, Instance
from tsatal.reports import viewer
from tsatal.reports.viewer import write_viewer

from ..browser import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

WriteVideo = Callable[..., Path]
HOSTILE = "</script><img src=x onerror=alert(1)>"
FOUND = [
    Detection("wave", 2.5, 3.5, 0.9),
    Detection("jump", 0.5, 1.2, 0.8),
    Detection("jump", 1.6, 2.2, 0.5),
    Detection("wave", 2.4, 3.6, 0.2),  # below a third of the best: not shown at first
]
TRUTH = [Instance("jump", 0.5, 1.0), Instance("run", 3.0, 3.9)]


@pytest.fixture
def show(browser_page: Page, write_video: WriteVideo, tmp_path: Path) -> Callable[..., Page]:
    """Return a function that writes a page and opens it."""

    def opened(
        found: Sequence[Detection] = FOUND, *, video: Path | None = None, **more: Any
    ) -> Page:
        path = video or write_video(tmp_path / "clip.mp4")
        given: dict[str, Any] = {"video_id": "clip", "truth": TRUTH, **more}
        write_viewer(path, tmp_path / "p.html", detections=found, **given)
        browser_page.goto((tmp_path / "p.html").as_uri())
        if browser_page.locator("#video").is_visible():
            wait_until(browser_page, "document.querySelector('video').readyState >= 2")
        return browser_page

    return opened


def position(page: Page) -> float:
    wait_until(page, "!document.querySelector('video').seeking")
    return float(page.locator("#ruler").get_attribute("aria-valuenow") or "nan")


def chosen(page: Page) -> list[str]:
    return [m.get_attribute("aria-label") or "" for m in page.locator(".mark[aria-current]").all()]


def wait_for_grey(page: Page, grey: int) -> None:
    """Return when the browser shows a picture of this grey, some moments after a seek's end."""
    wait_until(
        page,
        f"""(() => {{
          const canvas = document.createElement("canvas").getContext("2d");
          canvas.drawImage(document.querySelector("video"), 0, 0, 300, 150);
          return Math.abs(canvas.getImageData(50, 50, 1, 1).data[1] - {grey}) <= 6;
        }})()""",
    )


def test_the_page_shows_detections_truth_and_curve(show: Callable[..., Page]) -> None:
    page = show(actionness=ActionnessCurve(0.05, 0.2, tuple(k / 20 for k in range(20))))
    assert page.title() == "clip: detected actions"
    assert page.locator("#summary").inner_text() == (
        "0:04 long · 3 of 4 detections shown · 2 annotated actions"
    )
    assert page.locator(".row:visible .name").all_inner_texts() == [
        "actionness", "jump", "run", "wave",
    ]  # fmt: skip
    assert page.locator(".mark").count() == 3 and page.locator(".truth").count() == 2
    assert page.locator(".item").all_inner_texts()[0].split("\n") == [
        "jump", "0:00.5 – 0:01.2", "0.80",
    ]  # fmt: skip
    assert page.locator("path").get_attribute("d")
    weak, strong = (page.locator(f".mark[aria-label*='score {s}']") for s in ("0.50", "0.80"))
    fills = [m.evaluate("m => m.style.getPropertyValue('--fill')") for m in (weak, strong)]
    assert fills[0][:7] == fills[1][:7] and int(fills[0][7:], 16) < int(fills[1][7:], 16)


def test_clicks_on_marks_and_in_the_list_seek_the_video(show: Callable[..., Page]) -> None:
    page = show()
    page.locator(".mark[aria-label^='wave']").click()
    assert position(page) == 2.5
    wait_for_grey(page, 140)
    assert page.locator("#now").inner_text() == "Now: wave 0.90"
    page.locator(".item", has_text="jump").first.click()
    assert position(page) == 0.5
    wait_for_grey(page, 60)
    assert chosen(page) == ["jump, 0:00.5 – 0:01.2, score 0.80"]
    page.locator(".truth[aria-label*='run']").click()
    assert position(page) == 3.0 and chosen(page) == []


def test_the_ruler_and_empty_places_of_the_time_line_seek(show: Callable[..., Page]) -> None:
    page = show()
    ruler = page.locator("#ruler").bounding_box()
    assert ruler
    middle = ruler["x"] + ruler["width"] / 2
    page.mouse.click(middle, ruler["y"] + 5)
    assert position(page) == pytest.approx(2.0, abs=0.06)
    page.mouse.move(middle, ruler["y"] + 5)
    page.mouse.down()
    page.mouse.move(middle + ruler["width"] / 4, ruler["y"] + 9)
    page.mouse.up()
    assert position(page) == pytest.approx(3.0, abs=0.06)
    page.locator(".track").first.click(position={"x": 5, "y": 5})
    assert position(page) < 0.2
    left = page.locator("#playhead").evaluate("p => parseFloat(p.style.left)")
    assert left == pytest.approx(100 * position(page) / 4, abs=2)


def test_the_slider_filters_marks_and_list(show: Callable[..., Page]) -> None:
    page = show()
    slide = page.locator("#threshold")
    for threshold, shown in ((0.6, 2), (0.85, 1), (0, 4)):
        slide.fill(str(threshold))
        assert page.locator(".mark").count() == page.locator(".item").count() == shown
        assert page.locator("#shown").inner_text() == f"{shown} of 4"
    slide.focus()
    page.keyboard.press("End")  # the best one stays
    assert page.locator(".mark").count() == 1 and position(page) == 0


def test_at_first_what_reaches_the_thresholds_of_its_class_is_shown(
    show: Callable[..., Page],
) -> None:
    thresholds = {"wave": 0.1, "jump": 0.6}
    page = show(thresholds=thresholds)
    own = page.locator("#by-thresholds")
    assert own.is_checked() and page.locator(".mark").count() == page.locator(".item").count() == 3
    page.locator("#threshold").fill("0")
    assert not own.is_checked() and page.locator(".item").count() == 4
    own.check()
    assert page.locator(".item").count() == 3
    page = show(thresholds=thresholds, min_score=0.0)
    assert not page.locator("#by-thresholds").is_checked()
    assert page.locator(".item").count() == 4
    page = show(thresholds={"wave": 0.95, "jump": 0.95})
    assert "what the run asks for" in page.locator("#nothing").inner_text()
    assert show().locator("#by-run").is_hidden()


def test_arrow_keys_go_from_action_to_action(show: Callable[..., Page]) -> None:
    page = show()
    seen = []
    for key in ("ArrowRight", "ArrowRight", ".", "ArrowRight", "ArrowLeft", ","):
        page.keyboard.press(key)
        seen.append(position(page))
    assert seen == [0.5, 1.6, 2.5, 2.5, 1.6, 0.5]
    assert page.locator("#said").inner_text().startswith("jump, 0:00.5")


def test_every_action_can_be_reached_and_chosen_by_keyboard_alone(
    show: Callable[..., Page],
) -> None:
    page = show()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.item')"):
            break
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert position(page) == 1.6 and focused.startswith("jump, 0:01.6")
    page.locator(".mark[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("wave")
    page.keyboard.press("Home")
    page.locator("#ruler").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert position(page) == 1.0


def test_space_plays_and_the_playhead_runs(show: Callable[..., Page]) -> None:
    page = show()
    page.locator(".mark[aria-label^='jump']").first.click()  # which has the focus now
    page.keyboard.press(" ")
    wait_until(page, "document.querySelector('video').currentTime > 0.8")
    assert page.locator("#play").inner_text() == "Pause"
    page.keyboard.press(" ")
    assert page.locator("video").evaluate("v => v.paused")
    wait_until(
        page,
        """Math.abs(
          parseFloat(document.querySelector("#playhead").style.left)
            - 100 * document.querySelector("video").currentTime / 4
        ) < 1""",
    )


def test_an_action_is_repeated_on_demand(show: Callable[..., Page]) -> None:
    page = show([Detection("jump", 1.0, 1.3, 0.9)])
    page.keyboard.press("r")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    most = page.evaluate(
        """async () => {
          const video = document.querySelector("video");
          let most = 0;
          const began = performance.now();
          while (video.currentTime >= most && performance.now() - began < 60000) {
            most = video.currentTime;
            await new Promise(requestAnimationFrame);
          }
          return most;
        }"""
    )
    assert 1.25 < most < 2.5  # and then it went back
    assert not page.locator("video").evaluate("v => v.paused || v.ended")


def test_an_action_at_the_very_end_is_repeated_too(show: Callable[..., Page]) -> None:
    page = show([Detection("jump", 3.6, 4.2, 0.9)])
    page.locator("#repeat").click()
    page.keyboard.press("ArrowRight")
    page.locator("#play").click()
    page.evaluate("() => new Promise((done) => setTimeout(done, 1200))")
    now = page.locator("video").evaluate("v => [v.currentTime, v.paused]")
    assert 3.55 < now[0] <= 4.0 and now[1] is False


def test_names_are_text_whatever_they_say(show: Callable[..., Page]) -> None:
    labels = [HOSTILE, "__proto__", "constructor", "ж" * 300]
    found = [Detection(label, k, k + 0.9, 0.9) for k, label in enumerate(labels)]
    page = show(found, video_id=HOSTILE, truth=[Instance(HOSTILE, 0, 1)])
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    assert page.locator(".item .label").all_inner_texts() == labels
    page.keyboard.press("ArrowRight")
    assert HOSTILE in page.locator("#now").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("name", "codec", "late_sec"),
    [
        ("a.avi", "mpeg4", 0.0),
        ("a.mp4", "mpeg4", 2.0),
        ("a.mkv", "libx264", 2.0),
        ("a.mp4", "libx264", 2.0),
        ("a.webm", "libvpx", 2.0),
    ],
)
def test_a_copy_shows_at_an_action_what_the_video_shows_there(
    show: Callable[..., Page],
    write_video: WriteVideo,
    tmp_path: Path,
    name: str,
    codec: str,
    late_sec: float,
) -> None:
    """Time 0 is the first picture, wherever the container's clock begins."""
    page = show(video=write_video(tmp_path / name, codec=codec, late_sec=late_sec))
    for start, grey in ((0.5, 60), (1.6, 100), (2.5, 140)):
        page.locator(f".item[aria-label*='0:0{start}']").click()
        assert position(page) == start
        wait_for_grey(page, grey)


def test_the_demos_videos_play(show: Callable[..., Page], tmp_path: Path) -> None:
    """They are MPEG-4 part 2, which browsers do not decode."""
    [video] = demo.write_demo_videos(
        tmp_path / "v", training=1, validation=0, duration_sec=4.0, seed=0
    )
    page = show(video=video)
    assert page.locator("video").evaluate("v => v.duration") == pytest.approx(4.0, abs=0.06)
    assert "a copy of the video is inside" in page.locator("#media-note").inner_text()


def test_a_linked_video_plays_from_its_file(
    show: Callable[..., Page], write_video: WriteVideo, tmp_path: Path
) -> None:
    page = show(video=write_video(tmp_path / "100% #1 <b>.mp4"), embed=False)
    page.keyboard.press("ArrowRight")
    assert position(page) == 0.5


def test_without_a_picture_the_page_says_so_and_its_clock_runs(
    show: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    page = show(video=tmp_path / "a.mp4")
    assert not page.locator("video").is_visible()
    assert "There is no picture: a.mp4: not a video" in page.locator("#no-picture").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    wait_until(page, "document.querySelector('#clock').innerText > '0:00.8'")
    assert page.locator("#now").inner_text() == "Now: jump 0.80"


def test_a_video_that_a_browser_gives_up_on_leaves_the_rest_working(
    show: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    monkeypatch.setattr(viewer, "obstacle", lambda *_: "")
    page = show(video=tmp_path / "a.mp4")
    page.locator("#no-picture").wait_for()
    assert "This browser cannot play the video" in page.locator("#no-picture").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#clock").inner_text().startswith("0:00.5")


def test_whoever_wants_less_motion_gets_less(show: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    page = show(video=tmp_path / "a.mp4")
    count = """async () => {
      const seen = new Set();
      const head = document.querySelector("#playhead");
      document.querySelector("#play").click();
      for (const began = performance.now(); performance.now() - began < 1000; ) {
        await new Promise(requestAnimationFrame);
        seen.add(head.style.left);
      }
      document.querySelector("#play").click();
      return seen.size;
    }"""
    lively = page.evaluate(count)
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(count) <= 6 < lively


def test_nothing_found_is_said(show: Callable[..., Page]) -> None:
    page = show([], truth=None)
    assert "No action was detected in this video." in page.locator("#nothing").inner_text()
    page.keyboard.press("ArrowRight")
    assert not page.locator("#truth-legend").is_visible()


@pytest.mark.parametrize("width", [360, 390, 768, 1200])
def test_the_page_is_as_wide_as_the_screen(show: Callable[..., Page], width: int) -> None:
    page = show([*FOUND, Detection("a_name_without_a_blank_" * 9, 1, 2, 0.9)])
    page.set_viewport_size({"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("#zoom-in").click()  # the time line scrolls, the page does not
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for name in ("#play", "#previous", "#threshold", "#zoom-in"):
        box = page.locator(name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 24


def test_an_hour_with_two_thousand_detections_is_filtered_and_zoomed(
    show: Callable[..., Page], tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    labels = [f"action {k:02d}" for k in range(20)]
    found = [Detection(labels[k % 20], 1.8 * k, 1.8 * k + 4, 1 - k / 4000) for k in range(2000)]
    page = show(found, video=tmp_path / "a.mp4")
    page.locator("#threshold").fill("0")
    assert page.locator(".mark").count() == 2000
    page.locator("#threshold").fill("0.9")
    page.locator("h1").click()  # out of the slider
    page.keyboard.press("ArrowRight")
    for _ in range(12):
        page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    mark, box = (page.locator(s).bounding_box() for s in (".mark[aria-current]", "#scroller"))
    assert mark and box and box["x"] <= mark["x"] < box["x"] + box["width"] and mark["width"] > 30
    assert page.locator("#zoom-in").is_disabled()


@pytest.mark.parametrize("size", [(1280, 720), (1200, 790), (1920, 1080), (900, 900)])
@pytest.mark.parametrize("number", [8, 9, 10, 40])
def test_no_entry_is_hidden_beside_a_blank(
    show: Callable[..., Page], size: tuple[int, int], number: int
) -> None:
    """The list shows all it has, or the page fills the window."""
    page = show([Detection("wave", n / 12, n / 12 + 0.5, 0.9) for n in range(number)])
    page.set_viewport_size({"width": size[0], "height": size[1]})
    wait_until(
        page,
        """(() => {
          const list = document.getElementById("list");
          const hidden = list.scrollHeight - list.clientHeight;
          return hidden < 1 || innerHeight - document.body.getBoundingClientRect().height < 1;
        })()""",
    )
