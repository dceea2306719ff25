"""Progress of an extraction: videos, seconds of video per second, time left by duration."""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

log = logging.getLogger(__name__)

PLAIN_EVERY_SEC = 30.0
FORMAT = "{desc} |{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}, {rate_fmt}]"


class Progress:
    """A bar on a terminal, a line now and then in the log otherwise.

    Args:
        videos: how many there are to do.
        total_sec: how long they are together, as far as known.
        shown: False for neither.
    """

    def __init__(self, videos: int, total_sec: float, *, shown: bool = True) -> None:
        self.videos, self.total_sec, self.shown = videos, total_sec, shown
        self.finished, self.done_sec = 0, 0.0
        self._began = self._last_line = time.monotonic()
        self._bar = tqdm(
            total=total_sec,
            unit="s",
            bar_format=FORMAT,
            disable=None if shown else True,
            desc=f"0/{videos} videos",
        )

    def advance(self, seconds: float) -> None:
        """Count `seconds` of video as done."""
        self.done_sec += seconds
        self._bar.update(seconds)
        now = time.monotonic()
        if self.shown and self._bar.disable and now - self._last_line >= PLAIN_EVERY_SEC:
            self._last_line = now
            log.info("%s", self.line())

    def finish_video(self) -> None:
        """Count one more video as finished, whether it gave rows or not."""
        self.finished += 1
        self._bar.set_description_str(f"{self.finished}/{self.videos} videos")

    def line(self) -> str:
        """Return the state in words."""
        rate = self.done_sec / max(time.monotonic() - self._began, 1e-9)
        left = max(self.total_sec - self.done_sec, 0.0) / rate if rate else float("inf")
        return (
            f"{self.finished} of {self.videos} videos, {self.done_sec:.0f} of "
            f"{self.total_sec:.0f} s of video, {rate:.1f} s per second, {left / 60:.0f} min left"
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
