"""What annotating costs: seconds and keys per action, by a script that drives the page.

    python benchmarks/annotate_page.py

It drives the page of `tsatal annotate` in a headless Chromium, with a video of the demo and its
known actions: marked by hand from start to end; with suggestions that are right (accepted); with
suggestions that start 0.3 s early (corrected). Every edge must then be within a picture of the
known one, in the file that was saved. A script needs no time to look and think, and the video does
not play, so this is what the page itself costs, in waiting and in keys.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tsatal.annotator.server import open_server
from tsatal.annotator.session import Session
from tsatal.annotator.suggest import Suggested
from tsatal.commands.demo import write_demo_videos
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotation_file import AnnotationFile
from tsatal.formats.annotations import Detection, Instance
from tsatal.formats.labels.find import load_annotations

if TYPE_CHECKING:
    from playwright.sync_api import Page

OFF_SEC = 0.05 + 1e-6  # of an edge: a picture of the demo's videos


def settled(page: Page) -> None:
    """Return when the video stands and all is saved."""
    page.evaluate(
        """async () => {
          const video = document.querySelector("video");
          const saved = document.querySelector("#saved");
          while (video.seeking || !["", "Saved"].includes(saved.innerText)) {
            await new Promise((done) => setTimeout(done, 2));
          }
        }"""
    )


def by_hand(page: Page, action: Instance, number: int) -> int:
    """Mark an action from nothing; return how many keys and clicks it took."""
    x, y = place(page, action.start_sec)
    page.mouse.click(x, y)
    settled(page)
    page.keyboard.press("s")
    x, y = place(page, action.end_sec - 0.02)
    page.mouse.click(x, y)
    settled(page)
    page.keyboard.press("e")
    page.keyboard.press(str(number))
    return 5


def accept(page: Page, action: Instance, number: int) -> int:
    """Accept the suggestion at hand."""
    page.keyboard.press("a")
    return 1


def correct(page: Page, action: Instance, number: int) -> int:
    """Accept the suggestion at hand, and move both of its edges to where they should be."""
    page.keyboard.press("g")
    settled(page)
    page.keyboard.press("c")
    keys = 2
    for key, at in (("[", action.start_sec), ("]", action.end_sec - 0.02)):
        page.mouse.click(*place(page, at))
        settled(page)
        page.keyboard.press(key)
        keys += 2
    return keys


def place(page: Page, seconds: float) -> tuple[float, float]:
    """Return where an instant is on the ruler, px."""
    box = page.locator("#ruler").bounding_box()
    extent = float(page.locator("#ruler").get_attribute("aria-valuemax") or 1)
    assert box
    return box["x"] + box["width"] * seconds / extent, box["y"] + 12


def drive(page: Page, folder: Path, way: Any, shift_sec: float | None) -> tuple[float, float, int]:
    """Annotate the folder's video in one way; return seconds and keys per action, and actions.

    Args:
        shift_sec: how far suggestions are off; None for no suggestions.
    """
    truth = load_annotations(folder / "truth.json").videos
    paths, _ = assign_ids(find_videos(folder))
    (folder / "annotations.json").unlink(missing_ok=True)
    labels = sorted({i.label for v in truth.values() for i in v.instances})
    found = {
        v: [
            Detection(i.label, max(0.0, i.start_sec - (shift_sec or 0)), i.end_sec, 0.9 - n / 100)
            for n, i in enumerate(truth[v].instances)
        ]
        for v in paths
    }
    suggested = Suggested(found if shift_sec is not None else {})
    session = Session(paths, AnnotationFile(folder / "annotations.json"), suggested=suggested)
    session.ready(0, wait_sec=60)
    server, address = open_server(session)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page.goto(address)
    page.locator("#next").click()
    page.wait_for_timeout(500)
    settled(page)
    for label in labels:
        page.keyboard.press("/")
        page.keyboard.type(label)
        page.keyboard.press("Enter")
    actions = truth[session.ids[0]].instances
    keys, started = 0, time.perf_counter()
    known = page.locator("button.label").all_inner_texts()
    for action in actions:
        number = next(n for n, words in enumerate(known, start=1) if action.label in words)
        keys += way(page, action, number)
        settled(page)
    seconds = time.perf_counter() - started
    there = load_annotations(folder / "annotations.json").videos[session.ids[0]].instances
    for one, wanted in zip(there, actions, strict=True):
        off = one.start_sec - wanted.start_sec, one.end_sec - wanted.end_sec
        assert one.label == wanted.label and max(map(abs, off)) <= OFF_SEC, (one, wanted)
    server.shutdown()
    server.server_close()
    return seconds / len(actions), keys / len(actions), len(actions)


def measure(times: int) -> None:
    """Measure the three ways, in turn, and print medians and ranges."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    ways = {"by hand": (by_hand, None), "accepted": (accept, 0.0), "corrected": (correct, 0.3)}
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        folder = Path(scratch)
        write_demo_videos(folder, training=1, validation=0, duration_sec=30.0, seed=0)
        (folder / "annotations.json").rename(folder / "truth.json")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(times):
            for name, (way, shift) in ways.items():
                tab = browser.new_page(viewport={"width": 1200, "height": 900})
                results[name].append(drive(tab, folder, way, shift))
                tab.close()
        browser.close()
    for name, measured in results.items():
        seconds = sorted(m[0] for m in measured)
        print(
            f"{name:>10}: {median(seconds):.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f}) "
            f"and {measured[0][1]:.0f} keys or clicks per action"
        )
    print(f"{results['by hand'][0][2]} actions, median of {times}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5)
    measure(parser.parse_args().times)


if __name__ == "__main__":
    main()
