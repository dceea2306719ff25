"""The page in a real browser: keys, mouse, finger, every kind of clock, what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest

from tsatal.annotator.suggest import Suggested
from tsatal.extract.picture_times import picture_times
from tsatal.formats.annotations import Detection, Instance

from ..browser import wait_until
from .conftest import Served, open_video, seek, wait_saved

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Serve = Callable[..., Served]
WriteVideo = Callable[..., Path]
PICTURE_SEC = 0.05
# Ten actions with known times, in pictures of 1/20 s; some overlap.
TEN = [(0.2, 0.5), (0.6, 1.0), (0.9, 1.3), (1.35, 1.4), (1.5, 1.9)]
TEN += [(2.0, 2.3), (2.35, 2.8), (2.6, 3.0), (3.1, 3.35), (3.5, 3.95)]


def name_label(page: Page, label: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(label)
    page.keyboard.press("Enter")


def mark(page: Page, start: float, end: float) -> None:
    """By keys: from the picture at `start` to the last one before `end`."""
    seek(page, start + 0.01)
    page.keyboard.press("s")
    seek(page, end - 0.01)
    page.keyboard.press("e")


def at(page: Page, seconds: float, extent: float = 4.0) -> float:
    """The place of an instant on the time line, px."""
    box = page.locator("#ruler").bounding_box()
    assert box
    return box["x"] + box["width"] * seconds / extent


def drag(page: Page, x: float, to: float, y: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move((x + to) / 2, y + 1, steps=3)
    page.mouse.move(to, y, steps=3)
    page.mouse.up()


def middle(place: Locator) -> float:
    box = place.bounding_box()
    assert box
    return box["y"] + box["height"] / 2


def spans(served: Served, number: int = 0) -> list[tuple[float, float]]:
    return [(i.start_sec, i.end_sec) for i in served.video(number).instances]


def test_ten_actions_by_keys_and_by_mouse_are_each_within_a_picture(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    name_label(tab, "jump")
    for start, end in TEN[:5]:
        mark(tab, start, end)
    for start, end in TEN[5:]:
        track = tab.locator(".row.actions .track")
        box = track.bounding_box()
        assert box
        drag(tab, at(tab, start), at(tab, end), box["y"] + box["height"] - 3)
    wait_saved(tab)
    found = spans(served)
    assert len(found) == 10 and {i.label for i in served.video().instances} == {"jump"}
    assert np.abs(np.subtract(found, TEN)).max() <= PICTURE_SEC + 1e-6
    assert found[:5] == pytest.approx(np.array(TEN[:5]))  # keys mark the very pictures


def test_edges_are_dragged_and_stepped_from_picture_to_picture(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    name_label(tab, "jump")
    mark(tab, 1.0, 2.0)
    y = middle(tab.locator(".span.chosen .mark"))
    edge = tab.get_by_role("slider", name="Start of jump").bounding_box()
    assert edge
    drag(tab, edge["x"] + edge["width"] / 2, at(tab, 1.42), y)
    wait_saved(tab)
    assert spans(served) == [(1.4, 2.0)]
    end = tab.get_by_role("slider", name="End of jump")
    assert end.get_attribute("aria-valuenow") == "2.000"
    end.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "PageUp"):
        tab.keyboard.press(key)
    wait_saved(tab)
    assert spans(served) == [(1.4, 2.55)]
    assert tab.evaluate("document.activeElement.dataset.edge") == "end_sec"
    tab.locator("h1").click()
    seek(tab, 1.12)
    tab.keyboard.press("[")
    tab.keyboard.press("ArrowRight")  # one picture on
    wait_saved(tab)
    assert spans(served) == [(1.1, 2.55)]
    assert "picture 24 of 80" in tab.locator("#clock").inner_text()


def write_rotated(path: Path, times: list[float], *, late_sec: float = 0.0) -> Path:
    """Write a video with a display matrix of a quarter turn, as phones do."""
    with av.open(str(path), "w") as file:
        stream = cast(av.VideoStream, file.add_stream("libx264", rate=20))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for seconds in times:
            grey = np.full((64, 96), min(235, 40 + 20 * int(2 * seconds)), np.uint8)
            picture = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            picture.pts, picture.time_base = round((seconds + late_sec) * 1000), Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    content = bytearray(path.read_bytes())
    # The matrix stands in the track's header (tkhd), after 40 bytes of other values.
    place = content.index(b"tkhd") + 4 + 40
    turn = (0, 1, 0, -1, 0, 0, 64 << 16, 0, 0x4000)
    values = [n << 16 if abs(n) == 1 else n for n in turn]
    content[place : place + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in values)
    path.write_bytes(content)
    return path


UNEVEN = [0.0, 0.04, 0.3, 0.34, 0.9, 1.0, 1.1, 1.5, 1.52, 2.2, 2.6, 2.7, 3.0, 3.5, 3.6]


@pytest.mark.parametrize("kind", ["uneven", "rotated", "late", "late.mkv", "old.avi"])
def test_every_kind_of_clock_is_the_one_of_the_first_picture(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path, kind: str
) -> None:
    if kind == "rotated":
        video = write_rotated(tmp_path / "a.mp4", UNEVEN)
    elif kind == "old.avi":
        video = write_video(tmp_path / "a.avi", codec="mpeg4")
    else:
        ending = ".mkv" if kind.endswith(".mkv") else ".mp4"
        late = 2.0 if kind.startswith("late") else 0.0
        video = write_video(tmp_path / f"a{ending}", times=UNEVEN, late_sec=late)
    known = picture_times(video)
    shown = [*known.seconds, known.end_sec]
    served = serve(tmp_path)
    open_video(tab, served)
    size = tab.evaluate("(v => [v.videoWidth, v.videoHeight])(document.querySelector('video'))")
    assert (size[0] < size[1]) == (kind == "rotated")
    name_label(tab, "jump")
    wanted = [(shown[4], shown[7]), (shown[8], shown[11])]
    for start, end in wanted:
        mark(tab, start, end)
    wait_saved(tab)
    assert np.abs(np.subtract(spans(served), wanted)).max() < 1e-3
    # By mouse, between the two: a drag ends at the nearest boundary of pictures.
    extent = tab.evaluate("extent")
    box = tab.locator(".row.actions .track").bounding_box()
    assert box
    low = box["y"] + box["height"] - 3
    drag(tab, at(tab, shown[1] + 0.02, extent), at(tab, shown[3] - 0.01, extent), low)
    wait_saved(tab)
    assert np.abs(np.subtract(spans(served)[0], (shown[1], shown[3]))).max() < 1e-3
    edge = tab.get_by_role("slider", name="End of jump").first
    place = edge.bounding_box()
    assert place
    x = place["x"] + place["width"] / 2
    drag(tab, x, at(tab, shown[4] + 0.02, extent), middle(edge))
    wait_saved(tab)
    assert np.abs(np.subtract(spans(served)[0], (shown[1], shown[4]))).max() < 1e-3
    tab.locator("h1").click()  # arrows are no longer the edge's
    # And by pictures: the third from the start.
    seek(tab, 0.0)
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    wait_until(tab, "!document.querySelector('video').seeking")
    now = tab.evaluate("document.querySelector('video').currentTime")
    assert shown[2] <= now + 1e-3 < shown[3]


def test_marks_while_it_plays_are_those_of_the_picture_on_the_screen(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    name_label(tab, "jump")
    tab.keyboard.press(" ")
    wait_until(tab, "document.querySelector('video').currentTime > 0.5")
    tab.keyboard.press("s")
    wait_until(tab, "document.querySelector('video').currentTime > 1.5")
    tab.keyboard.press("e")
    tab.keyboard.press(" ")
    wait_saved(tab)
    [(start, end)] = spans(served)
    assert start > 0.3 and start + 0.5 < end
    assert round(start / PICTURE_SEC, 4) % 1 == 0 and round(end / PICTURE_SEC, 4) % 1 == 0


FOUND = [
    Detection("jump", 0.51, 1.22, 0.9),
    Detection("wave", 2.5, 3.5, 0.6),
    Detection("jump", 3.6, 3.9, 0.3),
]


def test_suggestions_are_accepted_corrected_and_rejected_by_one_key(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path, suggested=Suggested({"a": FOUND}))
    open_video(tab, served)
    assert "1 of 3: jump, 0:00.51" in tab.locator("#suggested").inner_text()  # best first
    tab.keyboard.press("a")
    assert "1 of 2: wave" in tab.locator("#suggested").inner_text()
    tab.keyboard.press("c")
    seek(tab, 2.62)
    tab.keyboard.press("[")
    tab.keyboard.press("x")
    wait_saved(tab)
    assert served.video().instances == (
        Instance("jump", 0.5, 1.2), Instance("wave", 2.6, 3.5),
    )  # fmt: skip
    assert not tab.locator("#suggestion").is_visible()
    tab.reload()  # what was rejected stays so
    wait_until(tab, "document.querySelectorAll('.item').length === 2")
    assert not tab.locator("#suggestion").is_visible()
    tab.evaluate("document.activeElement.blur()")
    assert json.loads(served.session.file.path.read_text())["database"]["a"]["rejected"]


def test_undo_redo_notes_answers_and_stretches(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    name_label(tab, "jump")
    mark(tab, 1.0, 2.0)
    name_label(tab, "run")  # for the chosen action
    tab.keyboard.press("m")
    tab.keyboard.type("left foot")
    tab.keyboard.press("Tab")
    tab.locator("h1").click()
    tab.keyboard.press("1")
    wait_saved(tab)
    assert [i.label for i in served.video().instances] == ["jump"]
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+z")
    wait_saved(tab)
    labels = served.session.labels(0)[0]
    assert [(a.label, a.note) for a in labels.actions] == [("run", "")]
    tab.keyboard.press("Control+y")
    wait_saved(tab)
    assert served.session.labels(0)[0].actions[0].note == "left foot"
    seek(tab, 3.0)
    tab.keyboard.press("u")
    seek(tab, 3.49)
    tab.keyboard.press("u")
    tab.keyboard.press("d")
    wait_saved(tab)
    assert served.video().ignored == ((3.0, 3.5), (4.0, 1e9))
    tab.keyboard.press("n")
    assert "There are actions here" in tab.locator("#said").inner_text()
    served.session.ready(1, wait_sec=60)
    tab.keyboard.press("PageDown")
    tab.wait_for_url("**/video/1")
    assert tab.locator("h1").inner_text() == "b"
    tab.keyboard.press("n")
    wait_saved(tab)
    assert served.video(1).instances == () and served.video(1).ignored == ()
    tab.goto(served.root)
    assert "2 of 2 videos done" in tab.locator("#summary").inner_text()
    assert "nothing here" in tab.locator("#videos").inner_text()


@pytest.mark.parametrize(
    ("choice", "left"), [("keep-both", 2), ("keep-mine", 1), ("take-theirs", 1)]
)
def test_two_windows_cannot_write_over_each_other(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path, choice: str, left: int
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    other = tab.context.new_page()
    open_video(other, served)
    name_label(tab, "jump")
    mark(tab, 1.0, 2.0)
    wait_saved(tab)
    name_label(other, "run")
    mark(other, 2.5, 3.0)
    other.locator("#conflict").wait_for()
    assert spans(served) == [(1.0, 2.0)]  # nothing was overwritten
    assert "changed in another window" in other.locator("#conflict").inner_text()
    assert other.locator(".span.actions").count() == other.locator(".span.theirs").count() == 1
    other.locator(f"#{choice}").click()
    wait_saved(other)
    assert len(spans(served)) == left
    if choice == "take-theirs":
        other.keyboard.press("Control+z")  # what was here is not lost
        wait_saved(other)
        assert spans(served) == [(2.5, 3.0)]
    other.close()


def test_when_the_program_has_ended_the_page_says_so_and_keeps_the_edit(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    open_video(tab, served)
    name_label(tab, "jump")
    tab.route("**/labels/0", lambda route: route.fulfill(status=500, body="No space left"))
    mark(tab, 1.0, 2.0)
    wait_until(tab, "document.querySelector('#saved').innerText.includes('No space left')")
    tab.unroute("**/labels/0")
    mark(tab, 3.0, 3.5)
    wait_saved(tab)
    assert spans(served) == [(1.0, 2.0), (3.0, 3.5)]


def test_what_was_corrected_does_not_come_back_as_a_suggestion(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path
) -> None:
    """Neither by another label nor by far edges; back at its place, it is accepted."""
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path, suggested=Suggested({"a": FOUND[:2]}))
    open_video(tab, served)
    tab.keyboard.press("c")
    tab.keyboard.press("2")  # a wave, not a jump
    assert "1 of 1: wave, 0:02.50" in tab.locator("#suggested").inner_text()
    tab.keyboard.press("c")
    seek(tab, 3.21)
    tab.keyboard.press("[")
    assert not tab.locator("#suggestion").is_visible()
    wait_saved(tab)
    assert served.video().instances == (Instance("wave", 0.5, 1.2), Instance("wave", 3.2, 3.5))
    assert len(served.session.labels(0)[0].rejected) == 2
    seek(tab, 2.52)
    tab.keyboard.press("[")  # nearly as suggested after all
    wait_saved(tab)
    assert [r.label for r in served.session.labels(0)[0].rejected] == ["jump"]
    tab.reload()
    wait_until(tab, "document.querySelectorAll('.item').length === 2")
    assert not tab.locator("#suggestion").is_visible()


@pytest.mark.parametrize("size", [(1200, 900), (820, 700)])
def test_the_time_line_stays_under_the_pointer_while_actions_come_in(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path, size: tuple[int, int]
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path, suggested=Suggested({"a": FOUND}))
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    open_video(tab, served)
    ruler, places = tab.locator("#ruler"), []
    for key in ("", "g", "c", "a", "x"):
        if key:
            tab.keyboard.press(key)
        places.append(ruler.bounding_box())
    for n, (start, end) in enumerate(TEN):
        name_label(tab, f"label {n}")
        mark(tab, start, end)
        places.append(ruler.bounding_box())
    wait_saved(tab)
    assert len(spans(served)) == 12
    assert all(place == places[0] for place in places)


@pytest.mark.parametrize("size", [(360, 740), (600, 400), (820, 1180)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_small_screens_twice_the_zoom_and_the_dark(
    serve: Serve, tab: Page, write_video: WriteVideo, tmp_path: Path,
    size: tuple[int, int], scheme: Any,
) -> None:  # fmt: skip
    """At 200 %, a window of 1200 x 800 has 600 x 400 pixels."""
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path, suggested=Suggested({"a": [Detection("long_name_" * 12, 1, 2, 0.5)]}))
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    tab.emulate_media(color_scheme=scheme)
    tab.goto(served.address)
    assert tab.evaluate("document.documentElement.scrollWidth") == size[0]
    open_video(tab, served)
    tab.keyboard.press("c")
    assert tab.evaluate("document.documentElement.scrollWidth") == size[0]
    ground, ink = tab.evaluate(
        "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
    )
    assert (light(ground) > light(ink)) == (scheme == "light")
    for name in ("#play", "#start", "#end", "#done", "#delete"):
        box = tab.locator(name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= size[0] and box["height"] >= 24


def light(colour: str) -> float:
    return sum(float(v) for v in colour.strip("rgba()").split(",")[:3])


def test_a_finger_marks_and_drags(
    serve: Serve, chromium: Any, write_video: WriteVideo, tmp_path: Path
) -> None:
    """A tablet: no mouse, no keys."""
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path, suggested=Suggested({"a": FOUND[:1]}))
    context = chromium.new_context(
        viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    open_video(page, served)
    page.locator("#correct").tap()
    edge = page.get_by_role("slider", name="End of jump")
    box = edge.bounding_box()
    assert box and box["width"] >= 44 - 1
    page.locator("#picture-on").tap()
    page.locator("#start-here").tap()
    x, y = box["x"] + 4, box["y"] + 10
    session = context.new_cdp_session(page)
    for kind, to in (
        ("touchStart", x),
        ("touchMove", x + 40),
        ("touchMove", at(page, 2.02)),
        ("touchEnd", None),
    ):
        points = [] if to is None else [{"x": to, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    wait_saved(page)
    assert spans(served) == [(0.55, 2.0)]
    context.close()


@pytest.mark.parametrize("keyboard", [0, 336])  # px that one on the screen takes
def test_naming_a_label_on_a_phone_leaves_the_video_in_view(
    serve: Serve, chromium: Any, write_video: WriteVideo, tmp_path: Path, keyboard: int
) -> None:
    write_video(tmp_path / "a.mp4")
    served = serve(tmp_path)
    size = {"width": 390, "height": 844 - keyboard}
    context = chromium.new_context(viewport=size, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_video(page, served)
    page.locator("#start").tap()  # there is no label yet, so it asks for one
    assert page.evaluate("document.activeElement.id") == "find"
    assert page.evaluate("visualViewport.scale") == 1
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).fontSize)") >= 16

    def in_view(name: str) -> float:
        """The share of a thing's height that is on the screen."""
        box = page.locator(name).bounding_box()
        assert box
        top, bottom = max(box["y"], 0), min(box["y"] + box["height"], size["height"])
        return max(0.0, bottom - top) / float(box["height"])

    assert in_view("#find") > 0.98 and in_view("#start") > 0.98
    assert in_view("#video") >= (0.5 if keyboard else 1)
    before = page.evaluate("scrollY")
    page.keyboard.type("jump")
    assert page.evaluate("scrollY") == before
    page.locator("#labels button").tap()
    page.locator("#start").tap()
    page.locator("#end").tap()
    wait_saved(page)
    assert [i.label for i in served.video().instances] == ["jump"]
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    context.close()
