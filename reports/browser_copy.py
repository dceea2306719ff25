"""A copy of a video that browsers play, on the clock of the detections, for the viewer.

Time 0 of a detection is the first picture, as `extract.video` says. Browsers begin at the
container's time 0, each in its own way where the pictures start later; and they play few kinds of
video. A video that has its first picture at time 0 and is of such a kind needs no copy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from ..errors import InputError
from ..extract.clock import BY_ITSELF, MAX_GAP_SEC, Reading
from ..extract.container import DecodeReport, open_container, picture_track
from ..extract.scale import display_matrix, swaps_sides, upright
from ..extract.video import Pictures, no_picture, open_pictures
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


def obstacle(video: Path, reading: Reading = BY_ITSELF) -> str:
    """Return the reason why browsers would not play this file, or not on the right clock; or "".

    Raises:
        VideoError: it is no video at all.
    """
    if video.is_dir():
        return "browsers do not play folders of images"
    with open_container(video) as container:
        stream = picture_track(container, video, reading.track)
        codec, kind = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
        starts = [float((s.start_time or 0) * (s.time_base or 0)) for s in container.streams]
        if codec not in PLAYED:
            return f"browsers do not play {codec}"
        if kind not in PICTURES:
            return f"not all browsers play {codec} of the kind {kind}"
        if video.suffix.lower() not in TYPES or container.format.name not in REPACKED:
            return f"not all browsers play {video.suffix or container.format.name} files"
        if stream.index != container.streams.video[0].index:
            return "its picture track is not the first"
        if any(abs(start) > EARLY_SEC for start in starts):
            return "its first picture is not at time 0"
    return ""


def write_preview(
    video: Path, stem: Path, *, smaller: bool = False, reading: Reading = BY_ITSELF
) -> Path:
    """Write a copy of `video` that browsers play, without its sound, and return its path.

    Pictures that browsers can decode are put into another container as they are; others are
    encoded anew, at most 480 pixels high. Time 0 is that of the detections: the first picture, or
    with `reading.zero` the start of the container, from which on the first picture is shown.

    Args:
        stem: the copy's path without its ending.
        smaller: encode anew even where it is not needed.
    Raises:
        VideoError: the video has no pictures.
        InputError: this PyAV has no encoder for a kind of video that browsers play.
    """
    repacked = stem.with_name(f"{stem.name}.mp4")
    as_it_is = not smaller and reading.zero == "picture" and not video.is_dir()
    if as_it_is and _repack(video, repacked, reading):
        return repacked
    encoder = choose_encoder()
    path = stem.with_name(f"{stem.name}{ENCODERS[encoder][0]}")
    with replacing(path) as partial:
        _encode(video, partial, encoder, reading)
    return path


def choose_encoder() -> str:
    """Return the best encoder of a kind of video that browsers play.

    Raises:
        InputError: this PyAV has none.
    """
    encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise InputError(
            f"this PyAV has none of the encoders {', '.join(ENCODERS)}"
            "; install PyAV from PyPI, or convert the video to MP4 (H.264)"
        )
    return encoder


def _repack(video: Path, path: Path, reading: Reading) -> bool:
    """Put the pictures of `video`, still encoded, into an MP4 file; return whether that worked."""
    with open_container(video) as source:
        stream = picture_track(source, video, reading.track)
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
    longest = MAX_GAP_SEC / float(stream.time_base or 1)
    last = start
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as target:
        copy = target.add_stream_from_template(stream)
        for packet, dts in _in_decoding_order(source.demux(stream)):
            if packet.pts is None or packet.pts < start:
                raise ValueError(f"a packet is stamped {packet.pts}, the first picture {start}")
            if packet.pts > last + longest:
                raise ValueError(f"the clock jumps from {last} to {packet.pts}")
            last = max(last, packet.pts)
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


def _encode(video: Path, path: Path, encoder: str, reading: Reading) -> None:
    """Encode the pictures of `video` anew; each is stamped with its ticks since time 0."""
    kind, report = ENCODERS[encoder][0].lstrip("."), DecodeReport()
    with (
        open_pictures(video, report, reading, all_threads=True) as source,
        av.open(str(path), "w", format=kind) as target,
    ):
        logger.info("making a copy of %s that browsers play", video)
        made, last, progress = None, 0, None
        for picture, seconds in source.pictures:
            # The first picture is shown from time 0 on; the ticks then rise.
            ticks = round(seconds * TICKS_PER_SEC) if made else 0
            if made and ticks <= last:
                continue
            if progress is None:
                shown = report.promised_sec > LONG_SEC
                progress = Progress("copy", report.promised_sec, "s of video", shown=shown)
            made = made or encoding_stream(target, encoder, picture, source)
            target.mux(made.encode(prepared(picture, made, ticks)))
            progress.advance((ticks - last) / TICKS_PER_SEC)
            last = ticks
        if made is None or progress is None:
            raise no_picture(video)
        progress.close()
        target.mux(made.encode())


def encoding_stream(
    target: av.container.OutputContainer,
    encoder: str,
    picture: av.VideoFrame,
    source: Pictures,
    *,
    max_height: int = MAX_HEIGHT,
) -> av.VideoStream:
    """Return a new stream for pictures like this one: upright, in square pixels, with even sides.

    Its stamps count `TICKS_PER_SEC`.
    """
    rate, options = Fraction(source.rate).limit_denominator(1001), ENCODERS[encoder][1]
    made = cast(av.VideoStream, target.add_stream(encoder, rate=rate, options=options))
    width, height = picture.width * source.pixel_aspect, float(picture.height)
    if swaps_sides(display_matrix(picture)):
        width, height = height, width
    scale = min(1.0, max_height / height)
    made.width = max(2, 2 * round(width * scale / 2))
    made.height = max(2, 2 * round(height * scale / 2))
    made.pix_fmt = "yuv420p"
    made.codec_context.time_base = Fraction(1, TICKS_PER_SEC)
    if encoder == "libvpx":
        made.bit_rate = VPX_BIT_RATE
    return made


def prepared(picture: av.VideoFrame, made: av.VideoStream, ticks: int) -> av.VideoFrame:
    """Return the picture as the encoder wants it, upright, stamped with `ticks`."""
    matrix = display_matrix(picture)
    if matrix != (1, 0, 0, 1):
        width, height = made.width, made.height
        if swaps_sides(matrix):
            width, height = height, width
        small = picture.reformat(width=width, height=height, format="rgb24")
        image = np.ascontiguousarray(upright(small.to_ndarray(), matrix))
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame = picture.reformat(width=made.width, height=made.height, format="yuv420p")
    frame.pts, frame.time_base = ticks, Fraction(1, TICKS_PER_SEC)
    frame.pict_type = av.video.frame.PictureType.NONE  # the encoder decides anew
    return frame
