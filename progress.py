"""How far long work has come: a bar on a terminal, elsewhere a line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)

Item = TypeVar("Item")
FIRST_AFTER_SEC, PLAIN_EVERY_SEC = 5.0, 30.0  # of lines where there is no terminal
MARK_EVERY_SEC = 1.0
EARLY, EARLY_SEC = 0.01, 20.0  # share and time in which nobody can say how long it takes


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
        already: how much of it was done before.
    """

    def __init__(
        self, doing: str, total: float, unit: str, *, shown: bool = True, already: float = 0.0
    ) -> None:
        self.doing, self.total, self.unit, self.shown = doing, total, unit, shown
        self.done = self._already = already
        now = time.monotonic()
        self._next_line = now + min(FIRST_AFTER_SEC, PLAIN_EVERY_SEC)
        self._early_until = now + EARLY_SEC
        self._marks = deque([(now, already)])  # when how much was done
        self._bar = _Bar(
            total=total,
            initial=already,
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
        if now - self._marks[-1][0] >= MARK_EVERY_SEC:
            self._marks.append((now, self.done))
        if self.shown and self._bar.disable and now >= self._next_line:
            self._next_line = now + PLAIN_EVERY_SEC
            log.info("%s", self.line())

    def line(self) -> str:
        """The state in words."""
        rate, done = self._rate(), self.done - self._already
        so_far = f"{self.doing}: {self.done:.0f} of {self.total:.0f} {self.unit}"
        if rate <= 0 or (done < EARLY * self.total and time.monotonic() < self._early_until):
            return so_far
        left_sec = max(self.total - self.done, 0.0) / rate
        return f"{so_far}, {rate:.1f} per second, {duration(left_sec)} left"

    def _rate(self) -> float:
        """Return the amount per second in the later half of what was done.

        A machine may have become busy, or free, since the work began.
        """
        half = (self._already + self.done) / 2
        while len(self._marks) > 1 and self._marks[1][1] <= half:
            self._marks.popleft()
        then, before = self._marks[0]
        return (self.done - before) / max(time.monotonic() - then, 1e-9)

    def close(self) -> None:
        """Leave the bar as it stands, full if all that was announced is done."""
        self._bar.total = max(self.total, self.done)
        self._bar.close()


def duration(seconds: float) -> str:
    """Return a length of time in the unit that people would take: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def counted(items: Collection[Item], doing: str, *, unit: str = "videos") -> Iterator[Item]:
    """Yield the items, and show how far along they are."""
    with closing(Progress(doing, len(items), unit)) as progress:
        for item in items:
            yield item
            progress.advance(1)
