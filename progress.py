"""How far long work has come: a bar on a terminal, elsewhere a line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)

Item = TypeVar("Item")
PLAIN_EVERY_SEC = 30.0


class LogHandler(logging.Handler):
    """Writes log lines to standard error, between the bars that are drawn there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; bars are cleared before it and drawn again after it."""
        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:  # as of all handlers: logging must not end the program
            self.handleError(record)


class _Bar(tqdm):  # type: ignore[type-arg]
    """A bar that never says that less than nothing is left."""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar is drawn from."""
        values = dict(super().format_dict)
        total, rate = values["total"], values["rate"]
        values["n"] = max(values["n"] if total is None else min(values["n"], total), 0)
        values["rate"] = rate if rate and rate > 0 else None
        return values


class Progress:
    """Counts an amount of work that is done; close it in the end.

    Args:
        doing: what is under way, in words; may be changed.
        total: how much there is to do, as far as known.
        unit: of `total`, in words.
        shown: False for neither bar nor lines.
    """

    def __init__(self, doing: str, total: float, unit: str, *, shown: bool = True) -> None:
        self.doing, self.total, self.unit, self.shown = doing, total, unit, shown
        self.done = 0.0
        self._began = self._last_line = time.monotonic()
        self._bar = _Bar(
            total=total,
            unit=f" {unit}",
            bar_format="{desc} |{bar}| {n:.0f}/{total:.0f}{unit} [{elapsed}<{remaining}]",
            disable=None if shown else True,
            desc=doing,
        )

    def advance(self, amount: float) -> None:
        """Count an amount as done."""
        self.done += amount
        # More may come than was announced, which tqdm's format would not survive.
        self._bar.total = max(self.total, self.done)
        self._bar.set_description_str(self.doing, refresh=False)
        self._bar.update(amount)
        now = time.monotonic()
        if self.shown and self._bar.disable and now - self._last_line >= PLAIN_EVERY_SEC:
            self._last_line = now
            log.info("%s", self.line())

    def line(self) -> str:
        """The state in words."""
        rate = self.done / max(time.monotonic() - self._began, 1e-9)
        left_sec = max(self.total - self.done, 0.0) / rate if rate else float("inf")
        return (
            f"{self.doing}: {self.done:.0f} of {self.total:.0f} {self.unit}, "
            f"{rate:.1f} per second, {left_sec / 60:.0f} min left"
        )

    def close(self) -> None:
        """Leave the bar as it stands, full if all that was announced is done."""
        self._bar.total = max(self.total, self.done)
        self._bar.close()


def counted(items: Collection[Item], doing: str, *, unit: str = "videos") -> Iterator[Item]:
    """Yield the items, and show how far along they are."""
    with closing(Progress(doing, len(items), unit)) as progress:
        for item in items:
            yield item
            progress.advance(1)
