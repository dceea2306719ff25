"""Video files in, RGB frames on a steady clock out; the first step of stage one.

Pictures are chosen by the container's time stamps, never by counting: a stated frame rate is
often wrong, and many videos have none. PyAV decodes (FFmpeg's libraries, as in OpenCV, whose
pictures are the same bit for bit), because it says which pictures are damaged, goes on after a
damaged packet, and knows the containers' own clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np

from ..errors import InputError
from .scale import scaled_centre

MAX_GAP_SEC = 600.0  # a longer jump of the time stamps is a broken clock, not a still picture
MAX_PERIOD_SEC = 2.0  # so is a longer mean time from picture to picture, beyond one such gap
MAX_PIXELS = 8192 * 8192
MAX_ASPECT = 32
TIME = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
PLAYLISTS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
FORMATS = ",".join(sorted(av.formats_available - PLAYLISTS))
MISSING_SEC = 0.5  # an end that is this much too early is not worth a warning


class VideoError(InputError):
    """A video that gives no frames: the message names the file and why."""


@dataclass
class DecodeReport:
    """The account of one video; filled in while its frames are read."""

    frames: int = 0  # on the clock
    pictures: int = 0  # in the video, of which some are damaged
    damaged: int = 0
    lost_packets: int = 0
    decoded_sec: float = 0.0  # from the first picture on
    promised_sec: float = 0.0  # the same by the container; 0 where it does not say
    broken: str = ""  # why reading ended early

    @property
    def missing_sec(self) -> float:
        """The part of the promised duration that did not come out; 0 where all did."""
        missing = self.promised_sec - self.decoded_sec
        return missing if missing > MISSING_SEC else 0.0

    @property
    def partial(self) -> str:
        """What is missing or damaged, in words; empty where nothing is."""
        found = []
        if self.missing_sec:
            found.append(f"{self.missing_sec:.1f} s of {self.promised_sec:.1f} s are missing")
        if self.lost_packets:
            found.append(f"{self.lost_packets} packets could not be decoded")
        if self.damaged:
            found.append(f"{self.damaged} of {self.pictures} pictures are damaged")
        if self.broken:
            found.append(self.broken)
        return "; ".join(found)


def probe_duration(path: str | Path) -> float:
    """Read the duration in seconds that the container promises; 0 where unknown or unreadable."""
    try:
        with open_container(Path(path)) as container:
            return promised_sec(container, picture_stream(container, Path(path)))
    except (ValueError, ArithmeticError, LookupError, OSError, av.error.FFmpegError):
        return 0.0


def read_frames(
    path: str | Path,
    *,
    fps: float = 10.0,
    resize: int = 128,
    crop: int = 112,
    report: DecodeReport | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frame for every tick of a clock, each (crop, crop, 3) uint8, RGB, upright.

    Frame `k` is the first picture at or after `k / fps` seconds from the start of the picture
    stream; one picture serves several ticks where the source is slower than the clock. The last
    frame is that of the last tick that still has a picture at or after it.

    Args:
        fps: ticks per second.
        resize: length in pixels that the shorter side is scaled to, keeping the aspect.
        crop: side in pixels of the centred square that is cut out, at most `resize`.
        report: filled in on the way; complete when the frames are exhausted.
    Raises:
        VideoError: the file gives no picture at all; a video that breaks off gives what it has.
    """
    path, report = Path(path), report or DecodeReport()
    with open_container(path) as container:
        stream = picture_stream(container, path)
        # Decoding several frames at once would conceal the same damage differently each time.
        stream.thread_type = "SLICE"
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        report.promised_sec = promised_sec(container, stream)
        # Stamps of a fine clock are rounded: in Matroska's milliseconds the picture at 1/30 s is
        # stamped 0.033, and must still be the one at tick 1 of a 30 Hz clock. A coarse unit is one
        # frame, and its stamps are not rounded.
        unit = _unit(stream)
        slack = 1e-9 + (unit / 2 if unit <= 0.001 else 0.0)
        pictures = decoded_pictures(container, stream, report, path)
        for picture, seconds in timed_pictures(pictures, stream, report):
            frame = None
            while report.frames / fps <= seconds + slack:
                frame = _frame(picture, resize, crop) if frame is None else frame
                report.frames += 1
                yield frame
    if not report.frames:
        raise VideoError(
            f"{path}: no picture could be decoded"
            "; if it plays, try: ffmpeg -i VIDEO -c:v libx264 NEW.mp4"
        )


def open_container(path: Path) -> av.container.InputContainer:
    """Open a video; nothing but that file is read, whatever is in it.

    Raises:
        VideoError: it is not there, empty, or no video.
    """
    try:
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: empty (0 bytes); copy it again")
        # "file:", because FFmpeg takes the text before a colon for a protocol. No other protocol
        # and no format that names other files: a playlist could name anything.
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        return av.open(f"file:{path}", metadata_errors="ignore", options=options)
    except (av.error.FFmpegError, OSError) as e:
        if isinstance(e, av.error.InvalidDataError):
            raise VideoError(
                f"{path}: not a video, or cut off before its index"
                "; copy it again, or try a repair tool such as untrunc"
            ) from None
        if isinstance(e, av.error.ArgumentError) and _is_text(path):
            raise VideoError(f"{path}: a playlist, not a video; name the videos in it") from None
        raise VideoError(f"{path}: cannot be opened ({e.strerror or e})") from None


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


def picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first stream of pictures that is no cover.

    Raises:
        VideoError: there is none, or none of a kind and size that can be decoded.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"{path}: has no picture stream, only {kinds}")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(
            f"{path}: its picture stream is of a kind that FFmpeg cannot decode"
            "; encode it anew with the program that made it"
        )
    _check_size(stream.codec_context.width, stream.codec_context.height, path)
    return stream


def _check_size(width: int, height: int, path: Path) -> None:
    """Refuse pictures that no camera takes, which would fill the memory."""
    long, short = max(width, height), max(min(width, height), 1)
    if width * height > MAX_PIXELS or (min(width, height) and long > MAX_ASPECT * short):
        raise VideoError(
            f"{path}: its pictures are said to be {width} x {height}"
            "; copy it again, or scale it down to 8192 x 8192"
        )


def promised_sec(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Return the picture stream's duration in seconds as its container states it, or 0.

    AVI states a number of frames, which FFmpeg lowers where the file is shorter; Matroska has a tag
    per stream; the whole container's duration is the last resort, because sound may be longer.
    """
    stated = [0.0]
    if stream.duration is not None:
        stated.append(stream.duration * _unit(stream))
    if container.format.name == "avi" and stream.average_rate:
        stated.append(float(stream.frames / stream.average_rate))
    if max(stated) == 0 and (tag := TIME.fullmatch(stream.metadata.get("DURATION", ""))):
        hours, minutes, seconds = tag.groups()
        stated.append(3600 * int(hours) + 60 * int(minutes) + float(seconds))
    if max(stated) == 0 and container.duration is not None:
        stated.append(container.duration / av.time_base)
    return max(stated)


def _unit(stream: av.VideoStream) -> float:
    """The unit of the stream's time stamps, seconds."""
    return float(stream.time_base or 1 / av.time_base)


def decoded_pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    report: DecodeReport,
    path: Path,
) -> Iterator[av.VideoFrame]:
    """Yield every picture that can be decoded, counting what is lost or damaged."""
    try:
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                report.lost_packets += 1
                continue
            for picture in pictures:
                if (picture.width, picture.height) != (stream.width, stream.height):
                    _check_size(picture.width, picture.height, path)
                report.pictures += 1
                report.damaged += bool(picture.is_corrupt)
                yield picture
    except (av.error.FFmpegError, IndexError) as e:  # the latter of a stream that comes later
        report.broken = f"reading broke off ({getattr(e, 'strerror', e)})"


def timed_pictures(
    pictures: Iterator[av.VideoFrame], stream: av.VideoStream, report: DecodeReport
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield pictures with their seconds from the stream's start, until the clock breaks."""
    first = next(pictures, None)
    if first is None:
        return
    unit = _unit(stream)
    period = 1 / float(stream.average_rate or stream.base_rate or 25)
    start = next((s for s in (stream.start_time, first.pts) if s is not None), 0)
    seconds = -period
    for picture in chain([first], pictures):
        stamp = picture.pts if picture.pts is not None else picture.dts
        previous, seconds = seconds, seconds + period
        if stamp is not None:
            seconds = (stamp - start) * unit
        if seconds > previous + MAX_GAP_SEC:
            jump = seconds - previous
            report.broken = f"its time stamps jump by {jump:.0f} s at {previous:.1f} s"
            return
        if seconds > MAX_GAP_SEC + MAX_PERIOD_SEC * report.pictures:
            count = report.pictures
            report.broken = f"its time stamps spread {count} pictures over {seconds:.0f} s"
            return
        shown = picture.duration * unit if picture.duration else period
        report.decoded_sec = max(report.decoded_sec, seconds + shown)
        yield picture, seconds


def _frame(picture: av.VideoFrame, resize: int, crop: int) -> np.ndarray:
    """Return the centre of a picture, upright, (crop, crop, 3)."""
    image = scaled_centre(picture.to_ndarray(format="rgb24"), resize, crop)
    quarter_turns = round(picture.rotation / 90)  # counter-clockwise, from the metadata
    return np.ascontiguousarray(np.rot90(image, quarter_turns))
