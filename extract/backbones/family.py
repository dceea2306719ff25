"""What a backbone is: the description of one, and the small protocol of its network.

Free of torch, so that `--help` and `tsatal backbones` are quick. `table` says which there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Family:
    """A backbone as it is described: what it is shown, and what its rows are.

    `name` stands in feature files as the extractor. `module` is the file beside this one whose
    `load` makes the network. Three kinds: `dense` networks carry over from piece to piece, so that
    their rows are those of the uncut video; `clips` are seen one by one; `frames` are clips of one.
    """

    name: str
    module: str
    kind: Literal["dense", "clips", "frames"]
    # What it is shown.
    channels: Mapping[str, int] = field(default_factory=lambda: {"rgb": 3})  # by stream
    fps: float
    resize: int  # shorter side of a frame, pixels
    crop: int  # of its centre, pixels
    least_crop: int = 32
    fixed_crop: bool = False  # whether the network sees no other size
    clip_frames: int = 1  # in a clip
    fixed_clip: bool = True  # whether a clip may have no other length
    clip_multiple: int = 1  # of which a clip's length must be
    # What its rows are.
    stride_frames: int  # from one row to the next
    strides: tuple[int, ...] = ()  # that can be chosen; any, where empty
    first_instant: float = 0.0  # of the first dense row, in frames after the first frame
    early: float = 0.0  # clips: frames before the middle of a clip that its row answers to most
    centred: bool = True  # clips: the first stands on the first frame, not begins with it
    reach_frames: int = 0  # that a row sees on either side of its own, where pieces can be cut
    width: int  # values of a row, before a projection
    projected: int | None = None  # values of a row after the projection, where that is the default
    labels: tuple[str, ...] | None = None  # classes of its classifier
    # Where its weights come from.
    weights: str = "kinetics"  # what its published weights are called
    urls: Mapping[str, str] = field(default_factory=dict)  # of published weights, by stream
    packages: Mapping[str, str] = field(default_factory=dict)  # commands that bring some, by sha256
    source: str  # who publishes them, in a word
    extra: str = ""  # of tsatal, which brings what it needs
    trained_on: str
    top1: float | None  # accuracy there in percent, as its publisher states it
    licence: str  # of the weights, as their publisher states it
    commercial: Literal["yes", "no", "ask"]  # use by that licence; `ask` where it says nothing

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams that the network exists for."""
        return tuple(self.channels)

    def first_frame(self, clip_frames: int | None) -> float:
        """The instant of the first row, in frames after the first frame.

        Args:
            clip_frames: the length of a clip; None of a dense network.
        """
        if self.kind == "dense" or clip_frames is None:
            return self.first_instant
        return (clip_frames - 1) / 2 - self.early - self.before(clip_frames)

    def before(self, clip_frames: int) -> int:
        """The number of times that the first frame is held before a video."""
        return (clip_frames - 1) // 2 if self.centred else 0


Rows = Callable[[], np.ndarray]  # waits for rows, (t, width) float32, and returns them


class Passage(Protocol):
    """The way of one video through a network, piece by piece."""

    def push(self, frames: np.ndarray, *, last: bool) -> Rows:
        """Compute the next frames; return a function that gives the rows that are ready.

        All rows together are those of the whole video. On CUDA the computation is only begun; the
        function waits for it.

        Args:
            frames: (n, H, W, C) uint8; n at least `first_frames` in the first piece, and 1 in the
                last, be it the first or not.
            last: whether the video ends here.
        """


class Network(ABC):
    """A network with its weights, ready to run: uint8 frames in, rows of features out."""

    piece_frames: int  # that are best pushed at a time
    first_frames: int = 1  # the fewest of a first piece that is not the last
    ahead: int = 0  # pieces worth starting before the rows of the first are taken

    @abstractmethod
    def passage(self) -> Passage:
        """The way of a new video through the network."""

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Return the rows of a whole video, (T, width) float32.

        Args:
            frames: (N, H, W, C) uint8, N at least 1.
        """
        passage, size = self.passage(), max(self.piece_frames, self.first_frames)
        starts = range(0, len(frames), size)
        pieces = [passage.push(frames[n : n + size], last=n == starts[-1]) for n in starts]
        return np.concatenate([rows() for rows in pieces])

    def logits(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the classifier's logits of rows (t, width), (t, classes); None without one."""
        return None


@cache
def kinetics_400() -> tuple[str, ...]:
    """The names of the classes of Kinetics-400, in the order of networks trained on it."""
    lines = Path(__file__).with_name("kinetics400.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))
