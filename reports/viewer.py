"""The viewer: one HTML page with a video and, on a time line below it, its detections.

Commands give it detections, from a file or as they were just found. `viewer_data` says what is on
the page; the scripts in `assets/` say how it looks and what keys and clicks do.
"""

from __future__ import annotations

import base64
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from ..errors import InputError, listed, shown
from ..extract.clock import BY_ITSELF, Reading
from ..extract.container import VideoError
from ..extract.label_clock import clock_of
from ..extract.video import probe_duration
from ..formats.annotations import (
    AMBIGUOUS,
    ActionnessCurve,
    Detection,
    Instance,
    all_labels,
)
from ..formats.atomic import check_place, write_text
from ..formats.bundle import looks_like_bundle
from ..formats.labels.detections import load_detections
from ..formats.labels.find import HowToRead, load_annotations
from ..formats.limits import check_size, kind_of, regular_file
from ..formats.names import nfc
from .browser_copy import TYPES, obstacle, write_preview
from .page import page
from .pictures import present_colours

logger = logging.getLogger(__name__)

EMBED_BYTES = 50_000_000  # larger videos stay beside the page
EMBED_FACTOR = 5  # bytes of memory for each of a video that goes into a page
MAX_DETECTIONS = 2000  # more, and the page would answer slowly
FIRST_SHOWN = 1 / 3  # the slider starts at this share of the best score
MOST_SHOWN_FIRST = 100
SLIDER_STEPS = 100
MAX_CURVE_POINTS = 4000


@dataclass(frozen=True)
class Media:
    """The video that a page plays: inside it (`base64`), beside it (`src`), or none.

    `words` say which of these, and why.
    """

    words: str
    type: str = ""
    src: str = ""
    base64: str = ""


def viewer_data(
    *,
    video_id: str,
    duration_sec: float,
    detections: Sequence[Detection],
    labels: Sequence[str],
    media: Media,
    truth: Sequence[Instance] | None = None,
    actionness: ActionnessCurve | None = None,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    min_score: float | None = None,
) -> dict[str, Any]:
    """Return the content of a viewer's page as plain values.

    Args:
        duration_sec: of the video; 0 where unknown.
        labels: all classes of the data set, in the order that fixes the colours in all pictures.
        truth: None where there are no annotations, which is not the same as no action.
        thresholds: from which score on detections count, by class; the page shows those at first.
        min_score: what the page shows at first instead; without either see `slider`.
    """

    def order(d: Detection) -> tuple[bool, float]:
        return d.score < thresholds.get(d.label, -math.inf), -d.score

    best = sorted(sorted(detections, key=order)[:MAX_DETECTIONS], key=lambda d: -d.score)
    actions: list[Detection | Instance] = [*best, *(truth or ())]
    last_sec = max((a.end_sec for a in actions), default=0.0)
    colours = present_colours(labels, {a.label for a in actions})
    return {
        "video_id": video_id,
        "duration_sec": duration_sec or last_sec or 1.0,
        "extent_sec": max(duration_sec, last_sec) or 1.0,
        "classes": [{"label": label, "colour": c} for label, c in colours.items()],
        "detections": [asdict(d) for d in best],
        "left_out": len(detections) - len(best),
        "truth": None if truth is None else [asdict(i) for i in truth],
        "actionness": None if actionness is None else asdict(_thinned(actionness)),
        "slider": slider([d.score for d in best], start=min_score),
        "thresholds": dict(thresholds) or None,
        "by_thresholds": bool(thresholds) and min_score is None,
        "media": asdict(media),
    }


def slider(scores: Sequence[float], *, start: float | None = None) -> dict[str, float]:
    """Return the range of the slider of thresholds, its step, and its position at the start.

    Unless it is given, that position is a third of the best score, which leaves out most second
    thoughts about the same action; higher where more than a hundred detections would be shown.

    Args:
        scores: best first.
        start: the position at the start; the nearest that the slider has.
    """
    if not scores:
        return {"least": 0.0, "most": 1.0, "step": 0.01, "start": 0.0}
    floor, best = min(0.0, scores[-1]), scores[0]
    if start is not None:
        start = min(max(start, floor), best)
    else:
        start = floor + FIRST_SHOWN * (best - floor)
        if len(scores) > MOST_SHOWN_FIRST:
            start = max(start, scores[MOST_SHOWN_FIRST - 1])
    # Rounded up to 1, 2 or 5 times a power of ten.
    step = (best - floor) / SLIDER_STEPS or 0.01
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= step * (1 - 1e-9))
    least, most, start = (step * math.floor(s / step + 1e-9) for s in (floor, best, start))
    return {"least": least, "most": most, "step": step, "start": start}


def write_viewer(
    video: Path | None,
    out: Path,
    *,
    video_id: str,
    detections: Sequence[Detection],
    truth: Sequence[Instance] | None = None,
    actionness: ActionnessCurve | None = None,
    labels: Iterable[str] = (),
    duration_sec: float = 0.0,
    embed: bool | None = None,
    reading: Reading = BY_ITSELF,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    min_score: float | None = None,
) -> str:
    """Write the page that shows `video` and its detections to `out`.

    A video that browsers do not play is copied into one that they do. Where nothing can decode
    the video, the page says so; the rest of the page works without a picture.

    Args:
        video: None where only its features are at hand.
        labels: as for `viewer_data`; those of this video need not be among them.
        duration_sec: used where the video does not say how long it is.
        reading: how the detections' features read the video.
        embed: True puts the video into the page, False leaves it beside the page; by default it
            is put inside up to 50 MB.
        thresholds, min_score: as for `viewer_data`.
    Returns:
        One line: whether the video is inside the page, beside it or missing, and why.
    Raises:
        InputError: there is no such file.
    """
    if video is not None and kind_of(video, missing="no such video file") != "a folder":
        regular_file(video, needs="a video")
    check_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    media = _media(video, out, embed, reading) if video else Media("no video was given")
    data = viewer_data(
        video_id=video_id,
        duration_sec=(probe_duration(video, reading) if video else 0.0) or duration_sec,
        detections=detections,
        labels=[label for label in labels if label != AMBIGUOUS],
        media=media,
        truth=truth,
        actionness=actionness,
        thresholds=thresholds,
        min_score=min_score,
    )
    title = f"{video_id}: detected actions"
    scripts = ("viewer_stage", "viewer_parts", "viewer_clock")
    html = page(title=title, name="viewer", data=data, scripts=scripts)
    write_text(out, html)
    return media.words


def view_predictions(
    video: Path,
    predictions: Path,
    out: Path,
    *,
    annotations: Path | None = None,
    video_id: str | None = None,
    embed: bool | None = None,
    reading: Reading = BY_ITSELF,
    min_score: float | None = None,
) -> str:
    """Write the page of one video in a file of detections, as `write_viewer` does.

    Args:
        annotations: ground truth to show below the detections.
        video_id: the video's name in these files; by default its file name without the ending.
        min_score: what the page shows at first; the thresholds in the file if not given.
    Raises:
        InputError: a file is missing, is of another form, or does not hold the video.
    """
    inputs = [os.path.realpath(p) for p in (video, predictions, annotations) if p]
    if os.path.realpath(out) in inputs:
        raise InputError(f"{out}: is one of the files to show; choose another --out")
    if predictions.is_file() and looks_like_bundle(predictions):
        raise InputError(
            f"{predictions}: a packed model, not detections; find them with: tsatal detect {video} "
            f"--run {predictions} --view"
        )
    video_id = nfc(video_id or video.stem)
    how = HowToRead(clock_of([video], reading))
    read = load_detections(predictions, how, unscored=1.0)
    found, thresholds = read.videos, dict(read.labels.thresholds)
    for problem in read.problems:
        if not problem.video_id:
            raise InputError(f"{predictions}: {problem}")
        if problem.video_id == video_id:
            logger.warning("%s: %s; left out", predictions, problem)
    _check_known(video_id, found, predictions)
    truth = load_annotations(annotations, how) if annotations else None
    if annotations and truth:
        _check_known(video_id, truth.videos, annotations)
    known = truth.videos.get(video_id) if truth else None
    if not thresholds and min_score is None:
        logger.info(
            "%s: holds no thresholds of a run; the page begins at a third of the best score, and "
            "its slider shows the rest",
            predictions,
        )
    labels = list(read.labels.classes) or sorted(
        {d.label for detections in found.values() for d in detections}
    )
    return write_viewer(
        video,
        out,
        video_id=video_id,
        detections=found[video_id],
        truth=known.instances if known else None,
        actionness=read.labels.curves.get(video_id),
        labels=all_labels(labels, truth),
        duration_sec=(known.duration_sec if known else None) or 0.0,
        embed=embed,
        reading=reading,
        thresholds=thresholds,
        min_score=min_score,
    )


def _check_known(video_id: str, videos: Iterable[str], source: Path) -> None:
    ids = list(videos)
    if video_id not in ids:
        near = get_close_matches(video_id, ids, n=5, cutoff=0.3)
        there = listed([*near, *(v for v in ids if v not in near)])
        raise InputError(
            f"{source}: has no video called {shown(video_id)}, but {there}; "
            "say which one this is with --id"
        )


def _thinned(curve: ActionnessCurve) -> ActionnessCurve:
    """Return the curve in at most 4000 points, each the highest value of its stretch."""
    every = max(1, math.ceil(len(curve.values) / MAX_CURVE_POINTS))
    starts = range(0, len(curve.values), every)
    values = tuple(max(curve.values[k : k + every]) for k in starts)
    middle = curve.start_sec + (every - 1) / 2 * curve.step_sec
    return ActionnessCurve(middle, every * curve.step_sec, values)


def _media(video: Path, out: Path, embed: bool | None, reading: Reading) -> Media:
    """Return the video for the page `out`: `video` itself, or a copy where browsers need one."""
    large = video.is_file() and video.stat().st_size > EMBED_BYTES
    try:
        why = obstacle(video, reading)
        if not why and embed and large:
            why = "the video itself is too large to be there"
        if not why:
            return _beside(video, out) if embed is False or large else _inside(video, "the video")
        # Hidden, so that a copy which goes into the page overwrites no file of the user's; and of
        # one name, so that the next call removes what a killed one has left.
        copy = write_preview(
            video, out.with_name(f".{out.stem}.preview"), smaller=large, reading=reading
        )
        if embed is False or (embed is None and copy.stat().st_size > EMBED_BYTES):
            media = _beside(copy.replace(copy.with_name(copy.name[1:])), out)
        else:
            media = _inside(copy, "a copy of the video")
            copy.unlink()
    except VideoError as error:
        return Media(words=str(error).replace(str(video), video.name))
    return replace(media, words=f"{media.words}, because {why}")


def _inside(video: Path, what: str) -> Media:
    size = video.stat().st_size
    check_size(EMBED_FACTOR * size, f"{video}: inside the page it", instead="--link")
    megabytes = max(0.1, size / 1e6)
    text = base64.b64encode(video.read_bytes()).decode("ascii")
    words = f"{what} is inside the page ({megabytes:.1f} MB)"
    return Media(words, TYPES[video.suffix.lower()], base64=text)


def _beside(video: Path, out: Path) -> Media:
    try:
        where = Path(
            os.path.relpath(os.path.realpath(video), os.path.realpath(out.parent))
        ).as_posix()
        src = quote(where)
    except ValueError:  # another drive
        where, src = str(video), Path(os.path.realpath(video)).as_uri()
    words = f"the page plays {where}: keep the two together"
    return Media(words, TYPES[video.suffix.lower()], src=src)
