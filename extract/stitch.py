"""Long videos in pieces: frames in, overlapping segments out, and the rows that count of each.

A row sees 18 frames on either side, so a segment that carries 18 frames of context gives the rows
of the uncut video; only as many frames as one segment needs are ever held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .backbone import STRIDE_FRAMES, Backbone

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
    frames: Iterable[np.ndarray], backbones: Mapping[str, Backbone], *, segment: int, context: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of every stream, (t, 2048) float32, segment after segment.

    Arguments are those of `cut_segments`, and the network of every stream that is wanted.
    """
    for piece in cut_segments(frames, segment=segment, context=context):
        yield {
            name: backbone.rows(piece.frames[..., CHANNELS[name]])[piece.keep]
            for name, backbone in backbones.items()
        }


def _segment(frames: list[np.ndarray], offset: int, segment: int) -> Segment:
    own = min(len(frames) - offset, segment)
    first = offset // STRIDE_FRAMES
    return Segment(np.stack(frames), slice(first, first + max(own // STRIDE_FRAMES, 1)))
