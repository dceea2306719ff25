"""Videos to frames in the background: they wait in a bounded queue while the network works."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .container import DecodeReport, VideoError
from .flow import with_flow
from .settings import ExtractSettings
from .sources import fingerprint
from .video import read_frames

log = logging.getLogger(__name__)

DEPTH = 256  # frames waiting per video: 10 MB at 112 x 112
MOST_AT_ONCE = 16  # videos; the waiting frames of each take 10 MB
READY_SEC = 0.002  # how soon a network that waits for several videos notices a piece
POLL_SEC = 0.1  # how soon a thread with a full queue notices that nobody wants its frames


class FrameStream:
    """The frames of one video, decoded by a thread that starts at once.

    Iterate once; `report` is complete when the iteration ends. Whatever goes wrong in decoding
    is raised in the iterating thread, as a `VideoError` that names the file. `source` is the
    fingerprint of the file; None where there is no file.
    """

    def __init__(self, path: Path, settings: ExtractSettings) -> None:
        self.path, self.report = path, DecodeReport()
        self.source: str | None = None
        with contextlib.suppress(VideoError):
            # Taken before the file is opened: if the file changes, it is the older state's.
            self.source = fingerprint(path, settings.reading)
        self._settings = settings
        self._frames: queue.Queue[np.ndarray | VideoError | None] = queue.Queue(DEPTH)
        self._stop, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._decode, name=f"decode {path.name}", daemon=True).start()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, (crop, crop, 3) uint8 each; with flow, (crop, crop, 5)."""
        while (frame := self._frames.get()) is not None:
            if isinstance(frame, VideoError):
                raise frame
            yield frame

    def ready(self, frames: int) -> bool:
        """Whether so many frames, or all that are left, can be had without waiting."""
        return self._frames.qsize() >= min(frames, DEPTH) or self._ended.is_set()

    def close(self) -> None:
        """Stop decoding; frames that nobody took are dropped."""
        self._stop.set()

    def _decode(self) -> None:
        chosen = self._settings
        try:
            frames = read_frames(
                self.path,
                fps=chosen.fps,
                resize=chosen.resize,
                crop=chosen.crop,
                reading=chosen.reading,
                report=self.report,
            )
            if chosen.flow:
                frames = with_flow(frames, method=chosen.flow_method)
            for frame in frames:
                if not self._put(frame):
                    return
            self._put(None)
        except VideoError as e:
            self._put(e)
        except Exception as e:  # one strange file must not stop the others
            log.debug("%s", self.path, exc_info=True)
            self._put(VideoError(f"{self.path}: decoding failed ({type(e).__name__}: {e})"))
        finally:
            self._ended.set()

    def _put(self, item: np.ndarray | VideoError | None) -> bool:
        """Queue an item, unless the stream is closed before there is room."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._frames.put(item, timeout=POLL_SEC)
                return True
        return False


def first_ready(streams: Mapping[str, FrameStream], frames: int) -> str:
    """Wait for the first stream of which so many frames are there, or all; return its name."""
    while len(streams) > 1:
        for name, stream in streams.items():
            if stream.ready(frames):
                return name
        time.sleep(READY_SEC)
    return next(iter(streams))  # a single one is waited for where its frames are taken


def videos_at_once(device: str) -> int:
    """The number of videos that keep a network busy: one on a CPU, one per core on a GPU."""
    return 1 if device == "cpu" else min(os.cpu_count() or 1, MOST_AT_ONCE)
