"""A real browser, headless, that fails a test whose page complains or asks the network; and
small videos whose pictures say what time it is. Rooms with pages import these in `conftest`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENT_SEC = 60  # beside other programs a page takes its time
FOUR_SECONDS = tuple(k / 20 for k in range(80))


@pytest.fixture(scope="module")  # longer, Playwright's event loop would be in others' way
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine; tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium to open pages in")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def empty_tab(
    browser: Browser, height: int, *, local: tuple[str, ...], answers: tuple[str, ...] = ()
) -> Iterator[Page]:
    """An empty tab, 1200 wide; errors in its console, and requests beyond `local`, fail the test.

    answers: errors with one of these in them are none.
    """
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": height})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENT_SEC)

    def complain(text: str) -> None:
        if not any(answer in text for answer in answers):
            complaints.append(text)

    page.on("console", lambda m: complain(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith(local) else complaints.append(f"asked for {r.url}"),
    )
    yield page
    context.close()
    assert not complaints, complaints


def write_small_video(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[float] = FOUR_SECONDS,
    late_sec: float = 0.0,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """Write grey pictures for these seconds, 20 brighter every half second, from 40 on."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    with av.open(str(path), "w") as file:
        stream = cast(av.VideoStream, file.add_stream(codec, rate=20))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if codec != "mpeg4":
            stream.codec_context.time_base = Fraction(1, 1000)
        for seconds in times:
            grey = np.full((size[1], size[0]), min(235, 40 + 20 * int(2 * seconds)), np.uint8)
            picture = av.VideoFrame.from_ndarray(grey, format="gray")
            picture.pts = round((seconds + late_sec) * 1000)
            picture.time_base = Fraction(1, 1000)
            file.mux(stream.encode(picture.reformat(format=pixels)))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Return a function that writes a small video whose brightness tells the time."""
    return write_small_video


def wait_until(page: Page, condition: str) -> None:
    """Return when a condition of the page's own scripts holds.

    Playwright's own `wait_for_function` would need "eval", which the pages forbid.
    """
    page.evaluate(
        f"""async () => {{
          for (const began = performance.now(); !({condition}); ) {{
            if (performance.now() - began > {1000 * PATIENT_SEC}) throw new Error("it never came");
            await new Promise((done) => setTimeout(done, 10));
          }}
        }}"""
    )
