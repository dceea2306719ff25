"""The pictures of the documentation: from `tsatal demo`, drawn from the sources, or from a run.

    tsatal demo
    python tests/pictures.py demo

writes docs/pictures/ anew, from the newest run of the demo's folder. It needs Playwright and
Chromium. No picture shows anything but what the demo draws. The one of TSA is drawn from rows of
real video, of which nothing can be seen in it, as docs/lab/tsa.md says:

    python tests/pictures.py RUN VIDEO
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsatal import pipeline

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
FIRST, SECOND = "validation_17", "validation_18"
READY = (
    "document.querySelector('video').readyState >= 2 && !document.querySelector('video').seeking"
)


def wait_for_picture(page: Page) -> None:
    """Return when the video shows a picture; the page's policy forbids `wait_for_function`."""
    for _ in range(100):
        page.wait_for_timeout(100)
        if page.evaluate(READY):
            page.wait_for_timeout(200)  # for what is drawn with it
            return
    raise SystemExit(f"{page.url}: the video does not show")


def photograph(page: Page, path: Path, picture: Path, *, seconds_in: float | None = None) -> None:
    """Write a picture of a viewer's page.

    Args:
        seconds_in: choose the best detection, and show it so many seconds after its start.
    """
    page.goto(path.resolve().as_uri())
    wait_for_picture(page)
    if seconds_in is not None:
        page.locator("button", has_text="by score").click()
        page.locator(".item").first.click()
        wait_for_picture(page)
        page.evaluate(f"document.querySelector('video').currentTime += {seconds_in}")
        page.locator("button", has_text="by time").click()
        wait_for_picture(page)
    page.screenshot(path=str(picture), full_page=True)


def main() -> None:
    """Make all pictures from a folder of the demo, or that of TSA from a run."""
    if len(sys.argv) == 3:
        pipeline.explain(sys.argv[1], sys.argv[2], out=PICTURES / "tsa.png")
        return
    from playwright.sync_api import sync_playwright

    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    runs = sorted((Path(sys.argv[1]) / "runs").glob("demo-*/pages"))
    if not runs:
        raise SystemExit(f"{sys.argv[1]}: holds no run of `tsatal demo`")
    run = runs[-1].parent
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 790})
        photograph(page, run / "pages" / f"{FIRST}.html", PICTURES / "page.png")
        photograph(page, run / "pages" / f"{SECOND}.html", PICTURES / "viewer.png", seconds_in=1.3)
        browser.close()
    shutil.copyfile(run / "timelines" / f"{FIRST}.png", PICTURES / "timeline.png")
    house = [sys.executable, str(ROOT / "tests" / "house.py"), str(PICTURES / "house.svg")]
    subprocess.run(house, check=True)


if __name__ == "__main__":
    main()
