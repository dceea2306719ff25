"""Annotations and tables of videos in, facts of each video out: its duration and frames.

ActionFormer and OpenTAD write `fps` or `frame` into the annotations; for ActivityNet, tables go
with the features of BSN and BMN.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from ..formats.annotations import Annotations
from ..formats.json_values import parse_json
from ..formats.limits import TooLarge, read_text, regular_file
from ..formats.names import nfc

# What others call these; `rfps` (frames by seconds) stands beside a rounded `fps` in BSN's table.
KEYS: Mapping[str, tuple[str, ...]] = {
    "duration_sec": ("duration", "duration_second", "seconds"),
    "frames": ("frame", "frames", "numFrame", "duration_frame"),
    "feature_frames": ("feature_frame", "featureFrame"),
    "fps": ("rfps", "fps"),
    "stride_frames": ("feat_stride", "snippet_stride", "stride_frames", "stride"),
    "window_frames": ("feat_num_frames", "clip_length", "window_frames", "window"),
    "start_sec": ("start_sec",),
    "step_sec": ("step_sec",),
}
FOR_ALL = ("fps", "stride_frames", "window_frames")  # may stand at the top of the JSON
MAY_BE_ZERO = ("start_sec",)


@dataclass(frozen=True)
class VideoFacts:
    """Facts of one video; None where nobody says.

    frames, feature_frames: how many the video has, and how many of them the features saw.
    stride_frames, window_frames: from row to row, and seen by each row.
    start_sec, step_sec: where rows stand in time, exactly; `tsatal export` writes them.
    """

    duration_sec: float | None = None
    frames: float | None = None
    feature_frames: float | None = None
    fps: float | None = None
    stride_frames: float | None = None
    window_frames: float | None = None
    start_sec: float | None = None
    step_sec: float | None = None

    @property
    def frame_rate(self) -> float | None:
        """Return frames per second: as stated, or frames by duration as OpenTAD has it."""
        if self.fps is None and self.frames and self.duration_sec:
            return self.frames / self.duration_sec
        return self.fps


class FactBook:
    """The facts of all videos, from annotations and from a table of videos.

    Args:
        truth: annotations, whose JSON may say more than they need; it goes before the table.
        table: a `.csv` with a column `video`, or a `.json` of one dict per video.
    Raises:
        InputError: the table cannot be read.
    """

    def __init__(self, truth: Annotations | None, table: Path | None) -> None:
        raw: dict[str, Any] = parse_json(truth.text, truth.source) if truth else {}
        self.annotated = set(truth.videos) if truth else set()
        self._where = truth.source if truth else str(table)
        self._for_all = {key: raw[key] for name in FOR_ALL for key in KEYS[name] if key in raw}
        self._entries = _by_id(raw.get("database", {}))
        self._table = _by_id(_read_table(table)) if table else {}
        self.streams = raw.get("streams")  # widths by name, side by side in one array

    def of(self, video_id: str) -> VideoFacts:
        """Return the facts of one video.

        Raises:
            InputError: one of them is not a positive number; the message names it.
        """
        beside = self._table.get(video_id) or self._table.get(f"v_{video_id}") or {}
        known: dict[str, float] = {}
        for source in (self._for_all, beside, self._entries.get(video_id, {})):
            for name, keys in KEYS.items():
                key = next((k for k in keys if source.get(k) not in (None, "")), None)
                if key is not None:
                    at = f"{self._where}: {video_id}: {key!r}"
                    known[name] = _number(source[key], at, zero=name in MAY_BE_ZERO)
        return VideoFacts(**known)


def _by_id(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {nfc(video): entry for video, entry in entries.items()}


def _number(value: Any, at: str, *, zero: bool) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or not (number > 0 or zero):
        raise InputError(f"{at} must be a positive number, is {shown(value)}")
    return number


def _read_table(path: Path) -> Mapping[str, Any]:
    regular_file(path, needs="a .csv or .json file")
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            found = parse_json(text, str(path))
            found = found.get("database", found)
        else:
            found = {row["video"]: row for row in csv.DictReader(text.splitlines())}
        if not found or not all(isinstance(entry, dict) for entry in found.values()):
            raise ValueError("no videos in it")
    except TooLarge:
        raise
    except (AttributeError, KeyError, ValueError, csv.Error) as e:
        raise InputError(
            f"{path}: no table of videos ({e}); a .csv with a column `video`, or a .json of one "
            "dict per video is needed"
        ) from None
    return dict(found)
