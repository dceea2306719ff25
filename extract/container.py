"""A video file opened: its picture track, its pictures, and what it says of its time.

Nothing but the file itself is read, whatever is in it, and no picture is decoded that would fill
the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av

from ..errors import InputError
from ..formats.limits import TooLarge, allowed, check_size, regular_file
from .clock import ClockSteps

HELD = 4  # pictures that a decoder and the scaling after it have in memory, about
MAX_SIDE = 32_768
MAX_ASPECT = 32
MAX_PIXEL_ASPECT = 4  # wider or narrower pixels do not exist; such a statement is damage
CLOCKLESS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: raw streams
STILLS = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
TIME = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
PLAYLISTS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
FORMATS = ",".join(sorted(av.formats_available - PLAYLISTS))
INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # whose duration is not of the stamps
APPENDED = {"mov,mp4,m4a,3gp,3g2,mj2", "asf", "flv"}  # which end for FFmpeg where the first ends
HEAD_BYTES = 12  # that tell the beginning of such a file
CHUNK, MAX_SEARCHED = 2**20, 2**28  # bytes
MISSING_SEC = 0.5  # an end that is this much too early is not worth a warning
SCALE_DOWN = "scale it down: ffmpeg -i VIDEO -vf scale=1920:-2 NEW.mp4"
HDR = {16: "PQ", 18: "HLG"}  # transfer functions, by ITU-T H.273


class VideoError(InputError):
    """A video that gives no frames: the message names the file and why."""


@dataclass
class DecodeReport:
    """The account of one video; filled in while its frames are read."""

    frames: int = 0  # on the clock
    pictures: int = 0  # in the video, of which some are damaged
    damaged: int = 0
    lost_packets: int = 0
    decoded_sec: float = 0.0  # from time 0 to the end of the last picture
    promised_sec: float = 0.0  # the same by the container; 0 where it does not say
    broken: str = ""  # why reading ended early
    lead_sec: float = 0.0  # the first picture's time after the start of the container
    remarks: list[str] = field(default_factory=list)  # what a user should know, and is no damage
    steps: ClockSteps = field(default_factory=ClockSteps)

    @property
    def missing_sec(self) -> float:
        """The part of the promised duration that did not come out; 0 where all did."""
        missing = self.promised_sec - self.steps.skipped_sec - self.decoded_sec
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


def open_container(path: Path) -> av.container.InputContainer:
    """Open a video; nothing but that file is read, whatever is in it.

    Raises:
        VideoError: it is not there, empty, or no video.
    """
    try:
        regular_file(path, needs="a video")
    except InputError as e:
        raise VideoError(str(e)) from None
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


def picture_track(
    container: av.container.InputContainer, path: Path, track: int | None = None
) -> av.VideoStream:
    """Return the track of pictures to take: one flagged as the default, then the largest.

    Args:
        track: the number of another one among the video tracks, from 0.
    Raises:
        VideoError: there is none, or none of a kind and size that can be decoded.
    """
    streams = _tracks(container)
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(f"{path}: has no picture stream, only {kinds}")
    if track is not None and track >= len(streams):
        raise VideoError(f"{path}: has no picture track {track}, but {_tracks_in_words(streams)}")
    known = [s for s in streams if s.codec_context is not None]
    if track is not None:
        known = [s for s in known if s is streams[track]]
    if not known:
        raise VideoError(
            f"{path}: its picture stream is of a kind that FFmpeg cannot decode"
            "; encode it anew with the program that made it"
        )
    stream = max(known, key=_rank)
    context = stream.codec_context
    check_pictures(context.width, context.height, context.pix_fmt, path)
    return stream


def track_in_words(container: av.container.InputContainer, stream: av.VideoStream) -> str:
    """Return which of several picture tracks was taken; empty where there is only one."""
    streams = _tracks(container)
    if len(streams) < 2:
        return ""
    number = next(n for n, s in enumerate(streams) if s.index == stream.index)
    return f"picture track {number} was taken of {_tracks_in_words(streams)}; --track chooses"


def _tracks(container: av.container.InputContainer) -> list[av.VideoStream]:
    return [s for s in container.streams.video if not s.disposition & STILLS]


def _rank(stream: av.VideoStream) -> tuple[bool, int, int]:
    default = bool(stream.disposition & av.stream.Disposition.default)
    return default, stream.codec_context.width * stream.codec_context.height, -stream.index


def _tracks_in_words(streams: list[av.VideoStream]) -> str:
    sizes = []
    for number, stream in enumerate(streams):
        context = stream.codec_context
        size = f"{context.width} x {context.height}" if context else "unknown"
        default = bool(stream.disposition & av.stream.Disposition.default)
        sizes.append(f"{number} ({size}{', default' if default else ''})")
    return ", ".join(sizes)


def check_pictures(width: int, height: int, kind: str | None, path: Path) -> None:
    """Refuse pictures that no camera takes, or that would fill the memory.

    Args:
        kind: FFmpeg's name of the pixel format; 8-bit RGB where unknown.
    """
    long, short = max(width, height), max(min(width, height), 1)
    bits = av.VideoFormat(kind).padded_bits_per_pixel if kind else 24
    size = width * height * max(bits, 8) // 8
    told = f"{path}: its pictures are said to be {width} x {height}"
    if long > MAX_SIDE or (min(width, height) and long > MAX_ASPECT * short):
        raise VideoError(f"{told}; copy it again, or scale it down")
    try:
        check_size(HELD * size, told, instead=SCALE_DOWN)
    except TooLarge as e:
        raise VideoError(str(e)) from None


def promised_sec(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Return the picture stream's duration in seconds as its container states it, or 0.

    AVI states a number of frames, which FFmpeg lowers where the file is shorter; Matroska has a tag
    per stream; the whole container's duration is the last resort, because sound may be longer.
    """
    stated = [0.0]
    if stream.duration is not None:
        stated.append(stream.duration * unit_sec(stream))
    if container.format.name == "avi" and stream.average_rate:
        stated.append(float(stream.frames / stream.average_rate))
    if max(stated) > 0:
        return max(stated)
    # The others are ends rather than durations: they count from a start that may be earlier.
    start = (stream.start_time or 0) * unit_sec(stream)
    if tag := TIME.fullmatch(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = tag.groups()
        return max(3600 * int(hours) + 60 * int(minutes) + float(seconds) - start, 0.0)
    if container.duration is not None:
        begin = (container.start_time or 0) / av.time_base
        return max(container.duration / av.time_base - max(start - begin, 0.0), 0.0)
    return 0.0


def unit_sec(stream: av.VideoStream) -> float:
    """The unit of the stream's time stamps, seconds."""
    return float(stream.time_base or 1 / av.time_base)


def no_rate(path: Path) -> VideoError:
    """The error for pictures whose time nobody knows."""
    return VideoError(
        f"{path}: a raw stream that does not state its rate"
        "; give its pictures per second with --assume-fps"
    )


def rate_without_clock(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    path: Path,
    assumed: float | None,
) -> float | None:
    """Return the pictures per second of a raw stream; None where the container has a clock.

    FFmpeg takes 25 where nothing is known; what counts is what the stream itself states.

    Args:
        assumed: what the user says.
    Raises:
        VideoError: nothing is known.
    """
    if not container.format.flags & CLOCKLESS:
        return None
    stated = stream.codec_context.framerate
    if assumed is None and not stated:
        raise no_rate(path)
    return assumed or float(stated or 0)


def decoded_pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    report: DecodeReport,
    path: Path,
) -> Iterator[av.VideoFrame]:
    """Yield every picture that can be decoded, counting what is lost or damaged."""
    stream.codec_context.options = {"max_pixels": str(allowed() // HELD * 2)}
    end = 0
    try:
        for packet in container.demux(stream):
            end = max(end, (packet.pos or 0) + packet.size)
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                report.lost_packets += 1
                continue
            for picture in pictures:
                if (picture.width, picture.height) != (stream.width, stream.height):
                    check_pictures(picture.width, picture.height, picture.format.name, path)
                report.pictures += 1
                report.damaged += bool(picture.is_corrupt)
                yield picture
    except (av.error.FFmpegError, IndexError) as e:  # the latter of a stream that comes later
        report.broken = f"reading broke off ({getattr(e, 'strerror', e)})"
    if not report.broken and (at := next_recording(container, path, end)):
        report.broken = (
            f"another recording begins at byte {at} of {container.size}, and is not read: cut the "
            "file there, or join the two with ffmpeg -f concat"
        )


def next_recording(container: av.container.InputContainer, path: Path, end: int) -> int:
    """Return where a second file was appended that FFmpeg does not read; 0 where none was.

    It begins as the first one does. Of other formats FFmpeg reads on by itself.

    Args:
        end: the place after the last picture that was read.
    """
    if container.format.name not in APPENDED or container.size - end < 1024:
        return 0
    with path.open("rb") as file:
        begins = file.read(HEAD_BYTES)
        file.seek(end)
        before = b""
        for _ in range(MAX_SEARCHED // CHUNK):
            if not (chunk := file.read(CHUNK)):
                break
            if (found := (before + chunk).find(begins)) >= 0:
                return file.tell() - len(chunk) - len(before) + found
            before = chunk[-HEAD_BYTES:]
    return 0
