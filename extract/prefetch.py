"""Decoding in the background: frames wait in a bounded queue while the network works."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np

from .flow import with_flow
from .settings import ExtractSettings
from .sources import fingerprint
from .video import DecodeReport, VideoError, read_frames

log = logging.getLogger(__name__)

DEPTH = 256  # frames waiting per video: 10 MB at 112 x 112
POLL_SEC = 0.1  # how soon a thread with a full queue notices that nobody wants its frames


class FrameStream:
    """The frames of one video, decoded by a thread that starts at once.

    Iterate once; `report` is complete when the iteration ends. Whatever goes wrong in decoding
    is raised in the iterating thread, as a `VideoError` that names the file. `source` is the
    fingerprint of what is read; None where there is nothing.
    """

    def __init__(self, path: Path, settings: ExtractSettings) -> None:
        self.path, self.report = path, DecodeReport()
        self.source: str | None = None
        with contextlib.suppress(OSError):
            self.source = fingerprint(path)  # before it is opened: of two states, never the later
        self._settings = settings
        self._frames: queue.Queue[np.ndarray | VideoError | None] = queue.Queue(DEPTH)
        self._stop = threading.Event()
        threading.Thread(target=self._decode, name=f"decode {path.name}", daemon=True).start()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, (crop, crop, 3) uint8 each; with flow, (crop, crop, 5)."""
        while (frame := self._frames.get()) is not None:
            if isinstance(frame, VideoError):
                raise frame
            yield frame

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

    def _put(self, item: np.ndarray | VideoError | None) -> bool:
        while not self._stop.is_set():
            try:
                self._frames.put(item, timeout=POLL_SEC)
                return True
            except queue.Full:
                continue
        return False


def read_ahead(
    videos: Iterable[tuple[str, Path]], settings: ExtractSettings
) -> Generator[tuple[str, FrameStream], None, None]:
    """Yield every video's id and frames, the next video's decoding already begun."""
    started: deque[tuple[str, FrameStream]] = deque()
    try:
        for video_id, path in videos:
            started.append((video_id, FrameStream(path, settings)))
            if len(started) > 1:
                yield started[0]
                started.popleft()
        while started:
            yield started[0]
            started.popleft()
    finally:
        for _, stream in started:
            stream.close()
