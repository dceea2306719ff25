"""An empty tab for pages that are files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ..browser import chromium, empty_tab, write_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium", "write_video"]


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    """An empty tab that may open files of this machine alone."""
    with empty_tab(chromium, 800, local=("file:", "blob:", "data:")) as page:
        yield page
