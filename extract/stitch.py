"""Long videos in pieces: frames in, rows out; only as many frames as one piece needs are held.

Where rows are to be those of the uncut video, the network carries over from piece to piece what
it needs of the frames before. The paper's cut is another matter: segments stand for themselves,
each with as much context around it as is wanted, and of each the rows that count are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .backbones.i3d_r50 import FIRST_FRAMES, REACH_FRAMES, STRIDE_FRAMES, Backbone

PAPER_SEGMENT = 128  # frames
CHANNELS = {"rgb": slice(0, 3), "flow": slice(3, 5)}  # of a frame, see flow.with_flow


@dataclass(frozen=True)
class Segment:
    """One pass of the network: frames (n, H, W, C) uint8, and which of its rows to keep."""

    frames: np.ndarray
    keep: slice


def cut_segments(frames: Iterable[np.ndarray], *, segment: int, context: int) -> Iterator[Segment]:
    """Yield a video's segments; their kept rows, put together, are those of the whole video.

    The last segment has its true length. The video has max(N // 2, 1) rows, so an odd frame at
    the end makes no row of its own.

    Args:
        frames: (H, W, C) uint8 each, N in all.
        segment: frames per segment, even.
        context: frames added on both sides where the video has them, even.
    """
    held: list[np.ndarray] = []
    first, start = 0, 0  # numbers of the first frame held, and of the next segment's first
    for frame in frames:
        held.append(frame)
        if first + len(held) == start + segment + context:
            yield _segment(held, start - first, segment)
            start += segment
            drop = max(start - context - first, 0)
            held, first = held[drop:], first + drop
    while first + len(held) - start >= STRIDE_FRAMES or (start == 0 and held):
        yield _segment(held[: start - first + segment + context], start - first, segment)
        start += segment
        drop = max(start - context - first, 0)
        held, first = held[drop:], first + drop


def stitched_rows(
    frames: Iterable[np.ndarray],
    backbones: Mapping[str, Backbone],
    *,
    segment: int | None,
    context: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of every stream, (t, 2048) float32, piece after piece.

    Args:
        frames: (H, W, C) uint8 each.
        backbones: the network of every stream that is wanted.
        segment: frames per piece; None, where the context makes them all alike, for what suits
            the network.
        context: frames seen on both sides. From 18 on, rows are those of the uncut video.
    """
    size = piece_frames(backbones, segment=segment, context=context)
    if context >= REACH_FRAMES:
        yield from carried_rows(frames, backbones, size=size)
        return
    for piece in cut_segments(frames, segment=size, context=context):
        yield {
            name: backbone.rows(piece.frames[..., CHANNELS[name]])[piece.keep]
            for name, backbone in backbones.items()
        }


def piece_frames(backbones: Mapping[str, Backbone], *, segment: int | None, context: int) -> int:
    """Return how many frames of a video go through the network at a time; see `stitched_rows`."""
    if context < REACH_FRAMES:
        return segment or PAPER_SEGMENT
    return segment or min(backbone.piece_frames for backbone in backbones.values())


def carried_rows(
    frames: Iterable[np.ndarray], backbones: Mapping[str, Backbone], *, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of the uncut video, piece after piece; see `stitched_rows`.

    Args:
        frames: (H, W, C) uint8 each.
        backbones: the network of every stream that is wanted.
        size: frames per piece.
    """
    passages = {name: backbone.passage() for name, backbone in backbones.items()}
    ahead = max(backbone.ahead for backbone in backbones.values())
    started: deque[dict[str, Callable[[], np.ndarray]]] = deque()
    for clip, last in pieces(frames, size=size):
        started.append(
            {name: p.push(clip[..., CHANNELS[name]], last=last) for name, p in passages.items()}
        )
        while len(started) > (0 if last else ahead):
            yield {name: rows() for name, rows in started.popleft().items()}


def pieces(frames: Iterable[np.ndarray], *, size: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield a video's frames, (n, H, W, C), `size` at a time, and whether these are the last.

    The first piece is long enough for a row, or the whole video.
    """
    held: list[np.ndarray] = []
    wanted = max(size, FIRST_FRAMES)
    for frame in frames:
        if len(held) == wanted:
            yield np.stack(held), False
            held, wanted = [], size
        held.append(frame)
    if held:
        yield np.stack(held), True


def _segment(frames: list[np.ndarray], offset: int, segment: int) -> Segment:
    own = min(len(frames) - offset, segment)
    first = offset // STRIDE_FRAMES
    return Segment(np.stack(frames), slice(first, first + max(own // STRIDE_FRAMES, 1)))
