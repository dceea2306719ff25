"""A session served on this machine, and a real browser that may ask nobody but it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tsatal.annotator.server import open_server
from tsatal.annotator.session import Session
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotation_file import AnnotationFile
from tsatal.formats.annotations import AnnotatedVideo
from tsatal.formats.labels.find import load_annotations

from ..browser import chromium, empty_tab, wait_until, write_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium", "write_video"]
SAVED = "document.querySelector('#saved').innerText === 'Saved'"


@dataclass
class Served:
    """A session and its server's address."""

    session: Session
    address: str

    @property
    def root(self) -> str:
        return self.address.split("/?")[0]

    def video(self, number: int = 0) -> AnnotatedVideo:
        """What the file says of a video."""
        return load_annotations(self.session.file.path).videos[self.session.ids[number]]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that serves the videos of a folder until the test ends."""
    servers = []

    def served(folder: Path, **more: Any) -> Served:
        paths, _ = assign_ids(find_videos(folder))
        session = Session(paths, AnnotationFile(folder / "annotations.json"), **more)
        server, address = open_server(session)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return Served(session, address)

    yield served
    for server, thread in servers:
        server.shutdown()
        thread.join()


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """An empty tab that may ask this machine alone."""
    local = ("http://127.0.0.1:", "blob:", "data:")
    # A conflict and a full disk are answers, and the page says them.
    answers = ("409", "status of 500")
    with empty_tab(chromium, 900, local=local, answers=answers) as page:
        yield page


def open_video(page: Page, served: Served, number: int = 0) -> None:
    """Enter by the address with the token, and go to a video."""
    served.session.ready(number, wait_sec=60)  # else the page reloads when it is
    page.goto(served.address)
    page.goto(f"{served.root}/video/{number}")
    wait_until(page, "document.querySelector('video').readyState >= 2")


def seek(page: Page, seconds: float) -> None:
    """Bring the playhead to an instant, as a click on the ruler would."""
    page.evaluate(f"document.querySelector('video').currentTime = {seconds}")
    wait_until(page, "!document.querySelector('video').seeking")


def wait_saved(page: Page) -> None:
    wait_until(page, SAVED)
