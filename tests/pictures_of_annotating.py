"""The pictures of docs/annotating.md: `python tests/pictures_of_annotating.py` writes them anew.

They show the demo's videos and nothing else. It needs Playwright and Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tsatal.annotator.server import open_server
from tsatal.annotator.session import Session
from tsatal.annotator.suggest import suggest
from tsatal.commands.demo import write_demo_videos
from tsatal.formats.annotation_file import AnnotationFile
from tsatal.formats.annotations import Detection
from tsatal.formats.labels.find import load_annotations

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def session_of(folder: Path) -> Session:
    """Write videos, and return a session with suggestions as a run's are.

    They are the known actions, some moved, one left out and one wrong.
    """
    written = write_demo_videos(folder, training=3, validation=1, duration_sec=16.0, seed=3)
    truth = load_annotations(folder / "annotations.json").videos
    (folder / "annotations.json").unlink()
    found = {
        v: [
            Detection(i.label, i.start_sec + 0.3 * n, i.end_sec + 0.1, 0.82 - 0.17 * n)
            for n, i in enumerate(video.instances[:-1])
        ]
        + [Detection("pulse", 14.0, 15.2, 0.2)]
        for v, video in truth.items()
    }
    suggested = suggest(found, None, dict.fromkeys(found, 16.0))
    paths = {path.stem: path for path in written}
    ordered = {v: paths[v] for v in suggested.order(list(paths))}
    file = AnnotationFile(folder / "annotations.json")
    session = Session(ordered, file, suggested=suggested, order="useful")
    for number in range(2):
        session.ready(number, wait_sec=120)
    return session


def photograph(page: Page, address: str) -> None:
    """Annotate a little in two videos, and take pictures of the second and of the list."""
    page.goto(address)
    page.locator("#next").click()
    page.wait_for_timeout(2000)
    for key in "aad":
        page.keyboard.press(key)
        page.wait_for_timeout(500)
    page.locator("#after").click()
    page.wait_for_timeout(2000)
    for key in ("a", "c", *("ArrowRight",) * 6, "["):
        page.keyboard.press(key)
        page.wait_for_timeout(200)
    page.wait_for_timeout(1000)
    page.screenshot(path=str(PICTURES / "annotate.png"), full_page=True)
    page.goto(address)
    page.screenshot(path=str(PICTURES / "annotate_list.png"), full_page=True)


def main() -> None:
    """Make both pictures."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        server, address = open_server(session_of(Path(scratch) / "videos"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        photograph(browser.new_page(viewport={"width": 1200, "height": 800}), address)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
