"""Time stamps to seconds on one clock, and seconds to ticks; before pictures become frames.

Containers' clocks jump, stand still, begin anew where two recordings were joined, and come out of
order. Here every picture gets its seconds from the first one on, and none is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Picture = TypeVar("Picture")

MAX_GAP_SEC = 600.0  # a longer time without a picture is a clock that jumps, not a still picture
MAX_STATED_GAP_SEC = 3600.0  # the same where the container's own duration has room for it
LONG_GAP_SEC = 60.0  # the longest time without a picture is told from here on
MAX_STEP_SEC = 1.0  # a longer distance from picture to picture is a pause, not the usual one
ROUNDED_SEC = 0.0015  # stamps in milliseconds differ by this much from the usual distance
MOST_REORDERED = 16  # pictures that a codec holds back to put them in order, by H.264
FEW_REORDERED = 4  # stamps behind the last one that are disorder; more are a clock set back
MOST_STILL = 8  # pictures of one stamp, from which on the clock has stopped
NO_SPREAD_SEC, SPREAD_SEC = 86_400.0, 60.0  # the clock lasts a day, and this much per picture


@dataclass(frozen=True)
class Reading:
    """What a user says of how a video is to be read.

    zero: time 0 is the first picture, or the start of the container, where sound may begin.
    track: the number of the picture track, from 0; by default the best.
    assume_fps: pictures per second of images and of raw streams, which have no clock.
    """

    zero: Literal["picture", "container"] = "picture"
    track: int | None = None
    assume_fps: float | None = None


BY_ITSELF = Reading()


class ClockError(Exception):
    """A clock that cannot go on; the message says why."""


@dataclass
class ClockSteps:
    """The places where a clock did not go on by itself: what it did, first when, and how often."""

    first: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    skipped_sec: float = 0.0  # that its stamps say and no picture was held for
    longest: tuple[float, float] = (0.0, 0.0)  # the longest time without a new picture, and where

    def add(self, what: str, seconds: float) -> None:
        """Take down a step."""
        self.first.setdefault(what, seconds)
        self.times[what] = self.times.get(what, 0) + 1

    @property
    def words(self) -> list[str]:
        """A sentence for each kind of step."""
        found = []
        for what, seconds in self.first.items():
            more = f" ({self.times[what]} times in all)" if self.times[what] > 1 else ""
            found.append(f"its clock {what} at {seconds:.1f} s{more}; time goes on from there")
        gap, seconds = self.longest
        if gap > LONG_GAP_SEC:
            found.append(f"no picture for {gap:.0f} s after {seconds:.1f} s; the last one is held")
        return found


def in_order(
    pictures: Iterable[tuple[Picture, float | None]], *, shuffled: bool
) -> Iterator[tuple[Picture, float | None]]:
    """Yield the pictures as they come, with their stamps in order where they are shuffled.

    Decoders give pictures in the order in which they are shown, but some containers (AVI) stamp
    them in the order in which they were stored. So of the next 16 stamps the smallest is the next
    picture's. A stamp that is alone far ahead of those around it becomes unknown.

    Args:
        pictures: with their stamps in seconds, None where unknown.
        shuffled: whether that is to be expected from the first picture on; else it is found out.
    """
    coming, window = iter(pictures), deque[tuple[Picture, float | None]]()
    last = None
    while True:
        _fill(window, coming, MOST_REORDERED if shuffled else 1)
        if not window:
            return
        picture, stamp = window[0]
        if last is not None and stamp is not None and not shuffled:
            if stamp < last:
                _fill(window, coming, MOST_REORDERED)
                shuffled = _behind(window, last) <= FEW_REORDERED
            elif stamp > last + MAX_STEP_SEC:
                _fill(window, coming, FEW_REORDERED + 1)
                later = [s for _, s in window if s is not None][1:]
                if later and all(last <= s < stamp for s in later):
                    stamp = None
        if shuffled and stamp is not None:
            smallest = min(range(len(window)), key=lambda n: (window[n][1] is None, window[n][1]))
            window[smallest], stamp = (window[smallest][0], stamp), window[smallest][1]
            if last is not None and stamp is not None and stamp < last:
                stamp = last if _behind(window, last) <= FEW_REORDERED else stamp
        window.popleft()
        last = last if stamp is None else stamp
        yield picture, stamp


def _fill(
    window: deque[tuple[Picture, float | None]],
    coming: Iterator[tuple[Picture, float | None]],
    count: int,
) -> None:
    while len(window) < count and (following := next(coming, None)):
        window.append(following)


def _behind(window: Iterable[tuple[Picture, float | None]], last: float) -> int:
    """The number of pictures that are stamped before `last`."""
    return sum(stamp is not None and stamp < last for _, stamp in window)


def on_one_clock(
    pictures: Iterable[tuple[Picture, float | None]],
    *,
    period_sec: float,
    first_sec: float = 0.0,
    stated_sec: float = 0.0,
    steps: ClockSteps,
) -> Iterator[tuple[Picture, float]]:
    """Yield the pictures with their seconds on a clock that only goes forward.

    A picture whose stamp steps back, jumps too far ahead, is unknown or stands still comes one
    usual distance after the picture before it, and the clock goes on from there.

    Args:
        pictures: with their stamps in seconds; see `in_order`.
        period_sec: from picture to picture, until the stamps say better.
        first_sec: the time of the first picture.
        stated_sec: the time at which the container says that its pictures end; 0 where unknown.
        steps: is told of every step.
    Raises:
        ClockError: few pictures are spread over more than a day.
    """
    offset, last, still = None, first_sec - period_sec, 0
    step, before = period_sec, None
    for count, (picture, stamp) in enumerate(pictures, start=1):
        seconds = last + step if count > 1 else first_sec
        still = still + 1 if stamp is not None and stamp == before else 0
        if still >= MOST_STILL:
            if still == MOST_STILL:
                steps.add("stands still", last)
        elif stamp is not None:
            if offset is None:
                offset = seconds - stamp
            gap = stamp + offset - last
            room = stamp + offset <= stated_sec + MAX_STEP_SEC
            if count > 1 and gap < 0:
                steps.add(f"steps back by {-gap:.2f} s", last)
                offset = seconds - stamp
            elif gap > (MAX_STATED_GAP_SEC if room else MAX_GAP_SEC):
                steps.add(f"jumps ahead by {gap:.1f} s", last)
                steps.skipped_sec += gap - step
                offset = seconds - stamp
            else:
                seconds = stamp + offset
                if count > 1:
                    steps.longest = max(steps.longest, (gap, last))
                if abs(gap - period_sec) < ROUNDED_SEC:
                    step = period_sec
                elif 0 < gap <= MAX_STEP_SEC:
                    step = gap
        before = stamp
        # Where every picture is a still one, the file may say years.
        if seconds > NO_SPREAD_SEC + SPREAD_SEC * count:
            hours = seconds / 3600
            raise ClockError(f"its time stamps spread {count} pictures over {hours:.0f} hours")
        last = seconds
        yield picture, seconds


def at_ticks(
    pictures: Iterable[tuple[Picture, float]],
    *,
    fps: float,
    slack_sec: float,
    end_sec: Callable[[], float],
) -> Iterator[Picture]:
    """Yield for every tick the last picture at or before it, as a player shows it.

    A tick before the first picture has the first one; a video that has a picture has a tick.

    Args:
        pictures: with their seconds, in order.
        fps: ticks per second; tick `k` is at `k / fps` seconds.
        slack_sec: a picture that is this little after a tick is at it.
        end_sec: the time at which the last picture's showing ends, once all have come.
    """
    tick, held = 0, None
    for picture, seconds in pictures:
        held = picture if held is None else held
        while tick / fps + slack_sec < seconds:
            yield held
            tick += 1
        held = picture
    if held is None:
        return
    while tick == 0 or tick / fps + 2 * slack_sec < end_sec():
        yield held
        tick += 1
