"""One process's way through many videos, and the account of what became of them."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ...formats.features import VideoFeatures
from ...progress import Progress
from ..video import VideoError, probe_duration
from .share import Left, Share

log = logging.getLogger(__name__)

Videos: TypeAlias = Iterable[tuple[str, Path]]  # ids and paths
Advance: TypeAlias = Callable[[str, float], None]  # called with an id and its seconds just done
Results: TypeAlias = Generator[tuple[str, VideoFeatures | VideoError], None, None]


@dataclass
class Summary:
    """What became of the videos: ids of those done now and done before, reasons for the others.

    `failed` and `partial` say why, by video id (by path where a video has no id of its own);
    a partial video is also done. `elsewhere` are those that other processes have finished while
    this one ran. `interrupted` means that some were not tried.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    video_sec: float = 0.0
    interrupted: bool = False

    def fail(self, reasons: Mapping[str, str]) -> None:
        """Take down and log why videos failed, by video id."""
        self.failed.update(reasons)
        for reason in reasons.values():
            log.warning("%s", reason)


class Work:
    """The videos that are left to this process and to others that share them.

    Args:
        share: of this process.
        left: what to do; empty in the end.
        summary: takes down what becomes of each video.
        strict: whether to stop at the first video that fails.
        shown: whether to show progress.
    """

    def __init__(
        self, share: Share, left: Left, summary: Summary, *, strict: bool, shown: bool
    ) -> None:
        self.share, self.left, self.summary, self.strict = share, left, summary, strict
        self.paths = {video_id: path for video_id, (path, _) in left.items()}
        self.lengths = {video_id: probe_duration(path) for video_id, path in self.paths.items()}
        self.progress = Progress(len(left), sum(self.lengths.values()), shown=shown)
        self._advanced_sec = defaultdict[str, float](float)  # counted of videos that are going on

    def run(self, extract: Callable[[Videos, Advance], Results]) -> None:
        """Extract what can be claimed, and wait for the rest, until nothing is left.

        Args:
            extract: yields every video's rows, or why there are none, as they are finished; it
                asks for the next video only when it is about to start it.
        """
        with contextlib.closing(self.progress):
            while self.left and not self._stopped():
                self._run_once(extract)
                if self.left and not self._stopped():
                    self.share.wait(self.left)

    def _run_once(self, extract: Callable[[Videos, Advance], Results]) -> None:
        claimed = self.share.claim(self.left, self._settle)
        results = extract(((v, self.paths[v]) for v in claimed), self._advance)
        with contextlib.closing(results):
            for video_id, result in results:
                self._take_down(video_id, result)
                if self._stopped():
                    return

    def _take_down(self, video_id: str, result: VideoFeatures | VideoError) -> None:
        if isinstance(result, VideoError):
            self.share.fail(video_id, str(result))
            self.summary.fail({video_id: str(result)})
        else:
            self.share.finish(result)
            self.summary.done.append(video_id)
            self.summary.video_sec += result.duration_sec
            self._report_partial(video_id, str(result.details.get("partial", "")))
        left_sec = self.lengths[video_id] - self._advanced_sec.pop(video_id, 0.0)
        self.progress.advance(max(left_sec, 0.0))
        self.progress.finish_video()

    def _report_partial(self, video_id: str, what: str) -> None:
        if what:
            self.summary.partial[video_id] = f"{self.paths[video_id]}: {what}"
            log.warning("%s", self.summary.partial[video_id])

    def _settle(self, video_id: str, reason: str | None) -> None:
        """Take down what another process has made of a video."""
        if reason is None:
            self.summary.elsewhere.append(video_id)
        else:
            self.summary.fail({video_id: reason})
        self.progress.advance(self.lengths[video_id])
        self.progress.finish_video()

    def _advance(self, video_id: str, seconds: float) -> None:
        self._advanced_sec[video_id] += seconds
        self.progress.advance(seconds)

    def _stopped(self) -> bool:
        return self.strict and bool(self.summary.failed)
