"""One clip: pictures in as they come, an MP4 file with sound out, whole or not at all.

Pictures are encoded anew, so that a clip begins and ends with the very picture that a player shows
at these instants.
"""

from __future__ import annotations

import contextlib
import math
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ..extract.clock import Reading
from ..extract.container import DecodeReport, open_container
from ..extract.scale import display_matrix, upright
from ..extract.video import Pictures
from ..formats.atomic import replacing
from .browser_copy import ENCODERS, TICKS_PER_SEC, choose_encoder, encoding_stream, prepared

MAX_HEIGHT = 4320  # px
QUALITY = {"libx264": {"crf": "18"}, "libvpx": {"crf": "10"}}
VPX_BIT_RATE = 8_000_000
SOUND = {".mp4": "aac", ".webm": "libopus"}
# What AAC takes; others are brought to 48 kHz, as all are for Opus.
SOUND_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
SEEK_EARLIER_SEC = 1.0  # so that a sound's decoder has warmed up
THUMB_HEIGHT = 120  # px
MAX_SOUND_SEC = 3600.0  # of a clip; that of a longer one would fill the memory


@dataclass(frozen=True)
class WantedClip:
    """One detection or label to cut out; `file` is relative to the folder, without its ending."""

    file: str
    video_id: str
    label: str
    start_sec: float
    end_sec: float
    score: float | None


class Sound:
    """The sound of one video, on the clock of its pictures."""

    def __init__(self, path: Path, reading: Reading, report: DecodeReport) -> None:
        self._path, self._reading, self._report = path, reading, report
        self.lost = ""  # why clips are without the sound that the video has

    def between(self, start_sec: float, end_sec: float) -> tuple[np.ndarray, int] | None:
        """Return the samples, (channels, N) float32, and their rate; None where there are none.

        Where the video's clock was mended, nobody knows to which pictures a sound belongs, so there
        is none.
        """
        if self._path.is_dir():
            return None
        try:
            if self._report.steps.first or end_sec - start_sec > MAX_SOUND_SEC:
                with open_container(self._path) as container:
                    if container.streams.audio:
                        self.lost = (
                            "clips after a mended clock, or over an hour long, have no sound"
                        )
                return None
            found = self._decode(start_sec, end_sec, seek=True)
            return found or self._decode(start_sec, end_sec, seek=False)
        except (av.error.FFmpegError, ValueError):
            self.lost = "clips are without sound, which cannot be decoded"
            return None

    def _decode(
        self, start_sec: float, end_sec: float, *, seek: bool
    ) -> tuple[np.ndarray, int] | None:
        with open_container(self._path) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            origin = (container.start_time or 0) / av.time_base
            origin += self._report.lead_sec if self._reading.zero == "picture" else 0.0
            if seek:
                at = origin + start_sec - SEEK_EARLIER_SEC
                container.seek(max(int(at * av.time_base), container.start_time or 0))
            layout = "mono" if stream.channels == 1 else "stereo"
            rate, plain = stream.rate, av.AudioResampler("fltp", layout)
            samples = np.zeros(
                (1 if layout == "mono" else 2, round((end_sec - start_sec) * rate)), np.float32
            )
            any_there, early = False, not seek
            for frame in container.decode(stream):
                if frame.pts is None or frame.time_base is None:
                    continue
                begins = float(frame.pts * frame.time_base) - origin
                early = early or begins <= start_sec
                if not early and begins < end_sec:
                    return None  # the seek went too far; the whole file is read instead
                if begins >= end_sec:
                    break
                place = round((begins - start_sec) * rate)
                for part in plain.resample(frame):
                    chunk = part.to_ndarray()
                    cut = chunk[:, max(-place, 0) : max(samples.shape[1] - place, 0)]
                    samples[:, max(place, 0) : max(place, 0) + cut.shape[1]] = cut
                    any_there = any_there or cut.shape[1] > 0
                    place += chunk.shape[1]
            return (samples, rate) if any_there else None


class ClipWriter:
    """Encodes one clip; `finish` puts it in its place, `abandon` leaves nothing."""

    def __init__(
        self, clip: WantedClip, out: Path, source: Pictures, pad_sec: float, sound: Sound
    ) -> None:
        self.clip, self._out, self._source, self._sound = clip, out, source, sound
        self.start_sec = max(clip.start_sec - pad_sec, 0.0)
        self.end_sec = max(clip.end_sec + pad_sec, self.start_sec)
        self._encoder = choose_encoder()
        self._stack = ExitStack()
        self._target: Any = None
        self._stream: Any = None
        self._packets: list[Any] = []
        self._last = -1
        self._middle: av.VideoFrame | None = None
        self._shown_until = self.start_sec

    def is_over(self, seconds: float) -> bool:
        """Whether a picture that begins then is none of the clip's."""
        return self._stream is not None and seconds >= self.end_sec

    def add(self, picture: av.VideoFrame, start_sec: float, end_sec: float) -> None:
        """Encode a picture that is shown between these instants."""
        ticks = round(max(start_sec - self.start_sec, 0.0) * TICKS_PER_SEC)
        if self._stream is None:
            self._open(picture)
            ticks = 0
        if self._middle is None or start_sec <= (self.start_sec + self.end_sec) / 2:
            self._middle = picture
        self._shown_until = end_sec
        if ticks > self._last:
            self._packets += self._stream.encode(prepared(picture, self._stream, ticks))
            self._last = ticks

    def finish(self, end_sec: float) -> tuple[str, bytes]:
        """Write the file; return its name relative to the folder, and its middle picture as JPEG.

        Args:
            end_sec: the end of the clip, which is earlier where the video ends before.
        """
        try:
            self._packets += self._stream.encode()
            least = self._last / TICKS_PER_SEC + 1 / max(self._source.rate, 1.0)
            # A clip of no length shows its one picture for as long as the video does.
            lasts = end_sec - self.start_sec
            lasts = lasts if lasts * TICKS_PER_SEC > self._last else least
            stamps = [p.pts for p in self._packets] + [round(lasts * TICKS_PER_SEC)]
            for packet, after in zip(self._packets, stamps[1:], strict=True):
                packet.duration = max(after - packet.pts, 1)
            self._packets += self._sound_packets(lasts)
            for packet in sorted(self._packets, key=lambda p: float(p.dts * p.time_base)):
                self._target.mux(packet)
            self._target.close()
            self._stack.close()
        except BaseException:
            self.abandon()
            raise
        return f"{self.clip.file}{ENCODERS[self._encoder][0]}", self._thumb()

    def abandon(self) -> None:
        """Leave nothing of the clip."""
        # The file aside is removed when its `with` statement ends with an error.
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            self._stack.__exit__(RuntimeError, RuntimeError("abandoned"), None)

    def _open(self, picture: av.VideoFrame) -> None:
        ending, _ = ENCODERS[self._encoder]
        path = self._out / f"{self.clip.file}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._stack.enter_context(replacing(path))
        kind = ending.lstrip(".")
        options = {"movflags": "faststart"} if kind == "mp4" else {}
        self._target = self._stack.enter_context(
            av.open(str(aside), "w", format=kind, options=options)
        )
        self._stream = encoding_stream(
            self._target, self._encoder, picture, self._source, max_height=MAX_HEIGHT
        )
        self._stream.options = {**self._stream.options, **QUALITY[self._encoder]}
        if self._encoder == "libvpx":
            self._stream.bit_rate = VPX_BIT_RATE
        self._audio: Any = None
        self._samples = self._sound.between(self.start_sec, self.end_sec)
        if self._samples is not None:
            samples, rate = self._samples
            codec = SOUND[ending]
            new = rate if codec == "aac" and rate in SOUND_RATES else 48000
            layout = "mono" if len(samples) == 1 else "stereo"
            self._audio = self._target.add_stream(codec, rate=new, layout=layout)

    def _sound_packets(self, lasts: float) -> list[Any]:
        """Return the clip's sound, encoded."""
        if self._audio is None or self._samples is None:
            return []
        samples, rate = self._samples
        samples = np.ascontiguousarray(samples[:, : max(math.ceil(lasts * rate), 1)])
        layout = "mono" if len(samples) == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        packets = []
        convert = av.AudioResampler(self._audio.format.name, layout, self._audio.rate)
        for part in [*convert.resample(frame), *convert.resample(None)]:
            packets += self._audio.encode(part)
        return packets + list(self._audio.encode())

    def _thumb(self) -> bytes:
        """Return the middle picture, small, as JPEG."""
        assert self._middle is not None
        picture = self._middle
        self._middle = None
        aspect = self._source.pixel_aspect
        image: np.ndarray = picture.reformat(format="rgb24").to_ndarray()
        width = max(1, round(image.shape[1] * aspect))
        image = cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(upright(image, display_matrix(picture)))
        scale = THUMB_HEIGHT / image.shape[0]
        size = (max(1, round(image.shape[1] * scale)), THUMB_HEIGHT)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        return bytes(data)
