"""The time of every picture of a video on the clock of `clock`; actions begin and end at these."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np

from .clock import BY_ITSELF, ClockSteps, Reading, on_one_clock
from .container import (
    INDEXED,
    DecodeReport,
    next_recording,
    open_container,
    picture_track,
    unit_sec,
)
from .video import no_picture, open_pictures

COMPARED = 64  # pictures that are decoded before the container's stamps are believed
SAME_SEC = 1e-6


@dataclass(frozen=True)
class PictureTimes:
    """When each picture is shown.

    seconds: of each picture from time 0, rising, (N,) float64.
    end_sec: the time at which the last one's showing ends.
    steady: whether a player that keeps the file's own stamps has the same clock, from its first
        picture on.
    """

    seconds: np.ndarray
    end_sec: float
    steady: bool


def picture_times(path: Path, reading: Reading = BY_ITSELF) -> PictureTimes:
    """Return the times of a video's pictures.

    Containers with a stamp for each picture are not decoded, but for the first pictures, whose
    times must be those of the stamps. All others are decoded.

    Raises:
        VideoError: it cannot be opened, or has no picture.
    """
    return _by_stamps(path, reading) or _by_decoding(path, reading)


def _by_decoding(path: Path, reading: Reading) -> PictureTimes:
    report = DecodeReport()
    with open_pictures(path, report, reading, all_threads=True) as source:
        found = [seconds for _, seconds in source.pictures]
    if not found:
        raise no_picture(path)
    steady = not report.steps.first and not report.broken and not path.is_dir()
    return PictureTimes(np.unique(found), report.decoded_sec, steady)


def _by_stamps(path: Path, reading: Reading) -> PictureTimes | None:
    """Return the times that the container states; None where they would not do."""
    if path.is_dir() or reading.zero != "picture":
        return None
    with open_container(path) as container:
        stream = picture_track(container, path, reading.track)
        if container.format.name not in INDEXED:
            return None
        unit, rate = unit_sec(stream), float(stream.average_rate or stream.base_rate or 0)
        packets, end, whole = [], 0, True
        try:
            for packet in container.demux(stream):
                end = max(end, (packet.pos or 0) + packet.size)
                if packet.size:
                    whole &= not packet.is_corrupt and not packet.is_discard
                    packets.append((packet.pts, packet.duration))
        except av.error.FFmpegError:
            return None
        whole &= not next_recording(container, path, end)
    if not rate or not whole or not packets or any(pts is None for pts, _ in packets):
        return None
    packets.sort()
    stamps = np.array([pts for pts, _ in packets])
    if (np.diff(stamps) <= 0).any():
        return None
    steps = ClockSteps()
    given = ((n, float(stamp) * unit) for n, stamp in enumerate(stamps))
    seconds = np.array([s for _, s in on_one_clock(given, period_sec=1 / rate, steps=steps)])
    if steps.first or (np.diff(seconds) <= 0).any():
        return None
    with open_pictures(path, DecodeReport(), reading) as source:
        decoded = [(p.pts or 0, s) for p, s in islice(source.pictures, COMPARED)]
    believed = np.column_stack([stamps, seconds])[:COMPARED]
    if believed.shape != np.shape(decoded) or abs(believed - decoded).max() > SAME_SEC:
        return None
    last = (packets[-1][1] or 0) * unit
    shown = last if 0 < last <= 10 else 1 / rate
    return PictureTimes(seconds, float(seconds[-1] + shown), True)
