"""Progress over videos: a bar on a terminal, a line now and then in the log otherwise."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)

Item = TypeVar("Item")
PLAIN_EVERY_SEC = 30.0


def counted(items: Collection[Item], doing: str) -> Iterator[Item]:
    """Yield the items, and show how far along they are."""
    bar = tqdm(items, desc=doing, unit="video", disable=None)
    began = last = time.monotonic()
    for done, item in enumerate(bar):
        now = time.monotonic()
        if done and bar.disable and now - last >= PLAIN_EVERY_SEC:
            last, left = now, (len(items) - done) * (now - began) / done / 60
            log.info("%s: %d of %d videos, %.0f min left", doing, done, len(items), left)
        yield item
