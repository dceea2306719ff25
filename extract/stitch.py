"""A long video in pieces: frames in, wide rows out, with one piece in memory at a time.

Two ways: carried rows are those of the uncut video, because the network carries over from piece to
piece what it needs of the frames before. Cut segments stand for themselves, as in the paper, each
with some context around it; of its rows, those of the segment itself are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import numpy as np

from .backbones.family import Network
from .settings import ExtractSettings

PAPER_SEGMENT = 128  # frames
CHANNELS = {"rgb": slice(0, 3), "flow": slice(3, 5)}  # of a frame, see flow.with_flow


def stitched_rows(
    frames: Iterable[np.ndarray], backbones: Mapping[str, Network], settings: ExtractSettings
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of every stream, (t, width) float32, piece after piece.

    Args:
        frames: (H, W, C) uint8 each.
        settings: `exact`, or with the segment and context of a cut.
    """
    size = piece_frames(backbones, settings)
    if settings.exact:
        yield from carried_rows(frames, backbones, size=size)
        return
    context, stride = settings.context, settings.stride
    for clip, keep in cut_segments(frames, segment=size, context=context, stride=stride):
        yield {name: net.rows(clip[..., CHANNELS[name]])[keep] for name, net in backbones.items()}


def piece_frames(backbones: Mapping[str, Network], settings: ExtractSettings) -> int:
    """The frames per piece: `segment`, else the paper's cut, or the fastest if rows are exact."""
    if not settings.exact:
        return settings.segment or PAPER_SEGMENT
    if settings.segment and settings.clip_frames is None:
        return settings.segment
    return min(backbone.piece_frames for backbone in backbones.values())


def carried_rows(
    frames: Iterable[np.ndarray], backbones: Mapping[str, Network], *, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the rows of the uncut video, `size` frames at a time; see `stitched_rows`."""
    passages = {name: backbone.passage() for name, backbone in backbones.items()}
    ahead = max(backbone.ahead for backbone in backbones.values())
    started: deque[dict[str, Callable[[], np.ndarray]]] = deque()
    first = max(backbone.first_frames for backbone in backbones.values())
    for clip, last in pieces(frames, size=size, first=first):
        started.append(
            {name: p.push(clip[..., CHANNELS[name]], last=last) for name, p in passages.items()}
        )
        while len(started) > (0 if last else ahead):
            yield {name: rows() for name, rows in started.popleft().items()}


def pieces(
    frames: Iterable[np.ndarray], *, size: int, first: int = 1
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield a video's frames, (n, H, W, C), `size` at a time, and whether these are the last.

    The first piece has at least `first` frames, or the whole video.
    """
    coming = iter(frames)
    held = list(islice(coming, max(size, first)))
    while held:
        following = list(islice(coming, 1))
        yield np.stack(held), not following
        held = following + list(islice(coming, size - len(following)))


def cut_segments(
    frames: Iterable[np.ndarray], *, segment: int, context: int, stride: int
) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield the frames of every pass, (n, H, W, C), and which of its rows to keep.

    The kept rows, put together, are max(N // stride, 1) of N frames: what is left at the end makes
    no row of its own. The last segment has its true length.

    Args:
        frames: (H, W, C) uint8 each.
        segment: frames per segment, a multiple of the stride.
        context: frames added on both sides where the video has them, likewise.
        stride: frames per row.
    """
    coming, held = iter(frames), list[np.ndarray]()
    first = start = 0  # numbers of the first frame held, and of the segment's first
    while True:
        held += islice(coming, start + segment + context - first - len(held))
        left = first + len(held) - start
        if left < stride and not (start == 0 and held):
            return
        row = (start - first) // stride
        count = max(min(left, segment) // stride, 1)
        yield np.stack(held), slice(row, row + count)
        start += segment
        drop = max(start - context - first, 0)
        held, first = held[drop:], first + drop
