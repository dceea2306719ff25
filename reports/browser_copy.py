"""A copy of a video that browsers play, on the clock of the detections, for the viewer.

Time 0 of a detection is the first picture, as `extract.video` says. Browsers begin at the
container's time 0, each in its own way where the pictures start later; and they play few kinds of
video. A video that has its first picture at time 0 and is of such a kind needs no copy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from ..errors import InputError
from ..extract.video import (
    DecodeReport,
    VideoError,
    decoded_pictures,
    open_container,
    picture_stream,
    promised_sec,
    timed_pictures,
)
from ..formats.atomic import replacing
from ..progress import Progress

logger = logging.getLogger(__name__)

TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
PLAYED = {"h264", "vp8", "vp9", "av1"}
PICTURES = {"yuv420p", "yuvj420p"}  # other kinds play in some browsers and not in others
REPACKED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # containers that stamp every packet well
ENCODERS = {  # the best first; PyAV's own wheels have all
    "libx264": (".mp4", {"preset": "veryfast", "crf": "25", "g": "30", "bf": "0"}),
    "libvpx": (".webm", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "g": "30"}),
}
VPX_BIT_RATE = 1_500_000  # its upper limit; libx264 needs none
MAX_HEIGHT = 480  # px, of a copy
TICKS_PER_SEC = 90_000  # fine enough for every frame rate
EARLY_SEC = 0.001  # a start this close to 0 is 0
LONG_SEC = 60.0  # from which on progress is shown


def obstacle(video: Path) -> str:
    """Return the reason why browsers would not play this file, or not on the right clock; or "".

    Raises:
        VideoError: it is no video at all.
    """
    with open_container(video) as container:
        stream = picture_stream(container, video)
        codec, kind = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
        starts = [float((s.start_time or 0) * (s.time_base or 0)) for s in container.streams]
        if codec not in PLAYED:
            return f"browsers do not play {codec}"
        if kind not in PICTURES:
            return f"not all browsers play {codec} of the kind {kind}"
        if video.suffix.lower() not in TYPES or container.format.name not in REPACKED:
            return f"not all browsers play {video.suffix or container.format.name} files"
        if any(abs(start) > EARLY_SEC for start in starts):
            return "its first picture is not at time 0"
    return ""


def write_preview(video: Path, stem: Path, *, smaller: bool = False) -> Path:
    """Write a copy of `video` that browsers play, without its sound, and return its path.

    Pictures that browsers can decode are put into another container as they are; others are
    encoded anew, at most 480 pixels high. The first picture is at time 0 and the others keep
    their distance from it.

    Args:
        stem: the copy's path without its ending.
        smaller: encode anew even where it is not needed.
    Raises:
        VideoError: the video has no pictures.
        InputError: this PyAV has no encoder for a kind of video that browsers play.
    """
    repacked = stem.with_name(f"{stem.name}.mp4")
    if not smaller and _repack(video, repacked):
        return repacked
    encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise InputError(
            f"this PyAV has none of the encoders {', '.join(ENCODERS)}"
            "; install PyAV from PyPI, or convert the video to MP4 (H.264)"
        )
    path = stem.with_name(f"{stem.name}{ENCODERS[encoder][0]}")
    with replacing(path) as partial:
        _encode(video, partial, encoder)
    return path


def _repack(video: Path, path: Path) -> bool:
    """Put the pictures of `video`, still encoded, into an MP4 file; return whether that worked."""
    with open_container(video) as source:
        stream = picture_stream(source, video)
        context = stream.codec_context
        fits = context.codec.canonical_name in PLAYED and context.pix_fmt in PICTURES
        if not fits or source.format.name not in REPACKED:
            return False
        try:
            with replacing(path) as partial:
                _copy_packets(source, stream, partial)
        except (av.error.FFmpegError, ValueError) as error:
            logger.debug("%s cannot be repacked: %s", video, error)
            return False
    return True


def _copy_packets(source: av.container.InputContainer, stream: av.VideoStream, path: Path) -> None:
    start = stream.start_time or 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as target:
        copy = target.add_stream_from_template(stream)
        for packet, dts in _in_decoding_order(source.demux(stream)):
            if packet.pts is None or packet.pts < start:
                raise ValueError(f"a packet is stamped {packet.pts}, the first picture {start}")
            packet.pts, packet.dts = packet.pts - start, dts - start
            packet.stream = copy
            target.mux(packet)


def _in_decoding_order(packets: Iterator[av.Packet[Any]]) -> Iterator[tuple[av.Packet[Any], int]]:
    """Yield the packets with the times to decode them at.

    Matroska does not store these, and FFmpeg does not work out the first ones; any that rise do.
    """
    waiting: list[av.Packet[Any]] = []
    for packet in packets:
        if packet.size == 0:  # the end
            continue
        waiting.append(packet)
        if packet.dts is not None:
            last = packet.dts
            yield from ((p, last - len(waiting) + k) for k, p in enumerate(waiting, start=1))
            waiting = []
    if waiting:
        raise ValueError("its packets have no time to decode them at")


def _encode(video: Path, path: Path, encoder: str) -> None:
    """Encode the pictures of `video` anew; each is stamped with its ticks since the first."""
    kind = ENCODERS[encoder][0].lstrip(".")
    with open_container(video) as source, av.open(str(path), "w", format=kind) as target:
        stream = picture_stream(source, video)
        stream.thread_type = "AUTO"
        promised = promised_sec(source, stream)
        logger.info("making a copy of %s that browsers play", video)
        report, made, last = DecodeReport(), None, 0
        pictures = decoded_pictures(source, stream, report, video)
        progress = Progress("copy", promised, "s of video", shown=promised > LONG_SEC)
        with closing(progress):
            for picture, seconds in timed_pictures(pictures, stream, report):
                # The first picture is at 0, also where it is a little late; the ticks then rise.
                ticks = round(seconds * TICKS_PER_SEC) if made else 0
                if made and ticks <= last:
                    continue
                made = made or _encoding_stream(target, encoder, picture, stream)
                target.mux(made.encode(_prepared(picture, made, ticks)))
                progress.advance((ticks - last) / TICKS_PER_SEC)
                last = ticks
        if made is None:
            raise VideoError(
                f"{video}: no picture could be decoded"
                "; if it plays, try: ffmpeg -i VIDEO -c:v libx264 NEW.mp4"
            )
        target.mux(made.encode())


def _encoding_stream(
    target: av.container.OutputContainer,
    encoder: str,
    picture: av.VideoFrame,
    source: av.VideoStream,
) -> av.VideoStream:
    rate = source.average_rate or source.base_rate or 25
    rate, options = Fraction(rate).limit_denominator(1001), ENCODERS[encoder][1]
    made = cast(av.VideoStream, target.add_stream(encoder, rate=rate, options=options))
    # Upright, in square pixels, with even sides.
    width = float(picture.width * (source.sample_aspect_ratio or Fraction(1)))
    height = float(picture.height)
    if _quarter_turns(picture) % 2:
        width, height = height, width
    scale = min(1.0, MAX_HEIGHT / height)
    made.width = max(2, 2 * round(width * scale / 2))
    made.height = max(2, 2 * round(height * scale / 2))
    made.pix_fmt = "yuv420p"
    made.codec_context.time_base = Fraction(1, TICKS_PER_SEC)
    if encoder == "libvpx":
        made.bit_rate = VPX_BIT_RATE
    return made


def _prepared(picture: av.VideoFrame, made: av.VideoStream, ticks: int) -> av.VideoFrame:
    """Return the picture as the encoder wants it, upright, stamped with `ticks`."""
    turns = _quarter_turns(picture)
    if turns:
        image = np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), turns))
        picture = av.VideoFrame.from_ndarray(image.astype(np.uint8, copy=False), format="rgb24")
    frame = picture.reformat(width=made.width, height=made.height, format="yuv420p")
    frame.pts, frame.time_base = ticks, Fraction(1, TICKS_PER_SEC)
    frame.pict_type = av.video.frame.PictureType.NONE  # the encoder decides anew
    return frame


def _quarter_turns(picture: av.VideoFrame) -> int:
    return round(picture.rotation / 90) % 4  # counter-clockwise, from the metadata
