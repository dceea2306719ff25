"""Video files in, RGB frames on a steady clock out; the first step of stage one.

Pictures are chosen by the container's time stamps, never by counting: a stated frame rate is
often wrong, and many videos have none. PyAV decodes (FFmpeg's libraries, as in OpenCV, whose
pictures are the same bit for bit), because it says which pictures are damaged, goes on after a
damaged packet, and knows the containers' own clock.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from .clock import (
    BY_ITSELF,
    MAX_STATED_GAP_SEC,
    ClockError,
    Reading,
    at_ticks,
    in_order,
    on_one_clock,
)
from .container import (
    HDR,
    INDEXED,
    MAX_PIXEL_ASPECT,
    DecodeReport,
    VideoError,
    decoded_pictures,
    no_rate,
    open_container,
    picture_track,
    promised_sec,
    rate_without_clock,
    track_in_words,
    unit_sec,
)
from .images import image_pictures
from .scale import frame_of

ONLY_STAMPED = 25.0  # pictures per second until stamps say better, where they alone tell the time
LATE_SEC = 0.1  # pictures that begin this much after the sound are worth a remark
LONG_LAST_SEC = 10.0  # a last picture is shown for longer only if the container's duration says so


def probe_duration(path: str | Path, reading: Reading = BY_ITSELF) -> float:
    """Read the duration in seconds that the container promises; 0 where unknown or unreadable."""
    try:
        if Path(path).is_dir():
            return 0.0
        with open_container(Path(path)) as container:
            return promised_sec(container, picture_track(container, Path(path), reading.track))
    except (ValueError, ArithmeticError, LookupError, OSError, av.error.FFmpegError):
        return 0.0


def read_frames(
    path: str | Path,
    *,
    fps: float = 10.0,
    resize: int = 128,
    crop: int = 112,
    reading: Reading = BY_ITSELF,
    report: DecodeReport | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frame for every tick of a clock, each (crop, crop, 3) uint8, RGB, upright.

    Frame `k` is the last picture at or before `k / fps` seconds, as a player shows it; one picture
    serves several ticks where the source is slower than the clock. The last frame is that of the
    last tick before the end of the last picture.

    Args:
        path: a video, or a folder of numbered images.
        fps: ticks per second.
        resize: length in pixels that the shorter side is scaled to, keeping the aspect.
        crop: side in pixels of the centred square that is cut out, at most `resize`.
        report: filled in on the way; complete when the frames are exhausted.
    Raises:
        VideoError: the file gives no picture at all; a video that breaks off gives what it has.
    """
    path, report = Path(path), report or DecodeReport()
    made: tuple[av.VideoFrame, np.ndarray] | None = None
    with open_pictures(path, report, reading) as source:
        ticks = at_ticks(
            source.pictures,
            fps=fps,
            slack_sec=source.slack_sec,
            end_sec=lambda: report.decoded_sec,
        )
        for picture in ticks:
            if made is None or made[0] is not picture:
                aspect = source.pixel_aspect
                frame = frame_of(picture, resize=resize, crop=crop, pixel_aspect=aspect)
                made = picture, frame
            report.frames += 1
            yield made[1]
    if not report.frames:
        raise no_picture(path)


def no_picture(path: Path) -> VideoError:
    """The error for a video of which nothing can be decoded."""
    return VideoError(
        f"{path}: no picture could be decoded"
        "; if it plays, try: ffmpeg -i VIDEO -c:v libx264 NEW.mp4"
    )


@dataclass(frozen=True)
class Pictures:
    """A video's pictures with their seconds, and what one must know to show them.

    pixel_aspect: width of a pixel over its height.
    slack_sec: how far their seconds are off where the container rounds its time stamps.
    rate: pictures per second, as far as it is known.
    """

    pictures: Iterator[tuple[av.VideoFrame, float]]
    pixel_aspect: float = 1.0
    slack_sec: float = 1e-9
    rate: float = 25.0


@contextlib.contextmanager
def open_pictures(
    path: Path, report: DecodeReport, reading: Reading = BY_ITSELF, *, all_threads: bool = False
) -> Iterator[Pictures]:
    """Open a video, or a folder of numbered images, for reading its pictures in order.

    Args:
        report: filled in while pictures are read.
        all_threads: decode several pictures at once; damage then looks different each time.
    Raises:
        VideoError: it cannot be opened, or has no clock and no rate.
    """
    if path.is_dir():
        fps = reading.assume_fps
        yield Pictures(image_pictures(path, fps, report), rate=fps or 0.0)
        return
    with open_container(path) as container:
        stream = picture_track(container, path, reading.track)
        stream.thread_type = "AUTO" if all_threads else "SLICE"
        # Stamps of a fine clock are rounded: in Matroska's milliseconds the picture at 2/30 s is
        # stamped 0.067, and must still be the one at tick 2 of a 30 Hz clock. A coarse unit is one
        # frame, and its stamps are not rounded.
        unit = unit_sec(stream)
        yield Pictures(
            timed_pictures(container, stream, report, path, reading),
            pixel_aspect=pixel_aspect(stream),
            slack_sec=1e-9 + (unit / 2 if unit <= 0.001 else 0.0),
            rate=float(stream.average_rate or stream.base_rate or 25),
        )


def picture_seconds(path: Path, reading: Reading = BY_ITSELF) -> array[float]:
    """Return the seconds of all pictures of a video, and last the end of the last one.

    Raises:
        VideoError: no picture can be decoded.
    """
    report = DecodeReport()
    with open_pictures(path, report, reading) as source:
        times = array("d", (seconds for _, seconds in source.pictures))
    if not times:
        raise no_picture(path)
    times.append(max(report.decoded_sec, times[-1]))
    return times


def pixel_aspect(stream: av.VideoStream) -> float:
    """Return the width of a pixel over its height; 1 where nothing credible is stated."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT else 1.0


def timed_pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    report: DecodeReport,
    path: Path,
    reading: Reading = BY_ITSELF,
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield every picture with its seconds from time 0, in order; see `clock`.

    Raises:
        VideoError: a raw stream whose rate nobody states.
    """
    report.promised_sec = promised_sec(container, stream)
    unit, rate = unit_sec(stream), rate_without_clock(container, stream, path, reading.assume_fps)
    if rate:
        report.promised_sec = 0.0  # FFmpeg's, of 25 pictures a second
        report.remarks.append(f"a raw stream without a clock, read at {rate:g} pictures per second")
    if words := track_in_words(container, stream):
        report.remarks.append(words)
    pictures = decoded_pictures(container, stream, report, path)
    if (first := next(pictures, None)) is None:
        return
    _remark_on(first, report)
    start = None if rate else _stamp(first)
    stated = rate or float(stream.average_rate or stream.base_rate or reading.assume_fps or 0)
    if start is None and not stated:
        raise no_rate(path)
    period = 1 / (stated or ONLY_STAMPED)
    lead = 0.0
    if start is not None and container.start_time is not None:
        lead = max(start * unit - container.start_time / av.time_base, 0.0)
    report.lead_sec = lead
    from_container = reading.zero == "container"
    if from_container:
        report.promised_sec += lead if report.promised_sec else 0.0
    elif lead > LATE_SEC:
        report.remarks.append(
            f"its first picture is {lead:.2f} s after the start of the file; times count from that "
            "picture, a player may count from the start (--time-zero container does)"
        )

    def stamped() -> Iterator[tuple[av.VideoFrame, float | None]]:
        yield first, None if start is None else start * unit
        for picture in pictures:
            stamp = None if rate else _stamp(picture)
            yield picture, None if stamp is None else stamp * unit

    shuffled = container.format.name == "avi" and stream.codec_context.has_b_frames
    covered = report.promised_sec if container.format.name in INDEXED else 0.0
    timed = on_one_clock(
        in_order(stamped(), shuffled=shuffled),
        period_sec=period,
        first_sec=lead if from_container else 0.0,
        stated_sec=covered,
        steps=report.steps,
    )
    try:
        for picture, seconds in timed:
            shown = (picture.duration or 0) * unit if not rate else 0.0
            if shown > LONG_LAST_SEC:
                shown = min(shown, covered - seconds, MAX_STATED_GAP_SEC)
            report.decoded_sec = seconds + (shown if shown > 0 else period)
            yield picture, seconds
    except ClockError as e:
        report.broken = str(e)
    report.remarks += report.steps.words


def _stamp(picture: av.VideoFrame) -> int | None:
    return picture.pts if picture.pts is not None else picture.dts


def _remark_on(picture: av.VideoFrame, report: DecodeReport) -> None:
    if kind := HDR.get(int(picture.color_trc or 0)):
        report.remarks.append(
            f"its pictures are HDR ({kind}), and are taken as they are, paler than the network "
            "knows them; FFmpeg's tonemap filter makes ordinary ones"
        )
