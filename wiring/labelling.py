"""Labels: made on a page, converted from form to form, cut out as clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, listed
from ..exchange.convert import Converted, convert_labels
from ..extract.label_clock import clock_of
from ..extract.settings import ExtractSettings
from ..extract.sources import assign_ids, find_videos
from ..formats.annotation_file import AnnotationFile
from ..formats.atomic import check_place
from ..formats.labels.detections import load_detections
from ..formats.labels.find import HowToRead, read_labels, refuse_problems, tell
from ..head.packed import place_for, run_folder
from ..head.run import load_operating_point
from .detecting import detect, first_look
from .files import Pathlike

if TYPE_CHECKING:
    from ..formats.annotations import Detection
    from ..reports.clips import Clips
    from ..reports.detections import DetectedVideos

logger = logging.getLogger(__name__)

SUGGESTED = "suggested"  # folder of what a run finds in videos that are being annotated


def annotate(
    videos: Pathlike,
    run: Pathlike | None = None,
    *,
    annotations: Pathlike | None = None,
    predictions: Pathlike | None = None,
    classes: Sequence[str] | None = None,
    order: str = "name",
    device: str = "auto",
    port: int = 0,
    on_open: Callable[[str], None] = logger.info,
    **settings: Any,
) -> str:
    """Serve the page to annotate videos in, on this machine alone, until Ctrl-C.

    What comes back says in a line what is saved, and where; it is empty where nothing was marked.

    Args:
        videos: a video, a folder or a list of videos.
        run: the run's folder, or a packed model (see `head.packed.run_folder`), whose detections
            are suggested; those of videos in its feature file are found there, others are
            extracted first, see `detect`.
        annotations: the file to read and to save into; by default `annotations.json` beside them.
        predictions: detections or labels of any form to suggest, instead of a run's.
        classes: suggest what `first_look` sees, of these classes, or of all where none is named.
        order: `name`, or `useful`: what is least sure first.
        device: `auto`, `cpu` or `cuda`.
        port: to listen on; any that is free where 0.
        on_open: called with the address, which nobody else can guess.
        settings: how videos are read: `time_zero`, `track` and `assume_fps` of
            `extract.settings.ExtractSettings`.
    Raises:
        InputError: no video, annotations that cannot be read or written, no such port, or nothing
            to sort by.
    """
    reading, videos = ExtractSettings(**settings).reading, Path(videos)
    paths, refused = assign_ids(find_videos(videos, images=reading.assume_fps is not None))
    for words in refused.values():
        logger.warning("%s", words)
    if order == "useful" and run is None and predictions is None and classes is None:
        raise InputError(
            "--order useful needs detections: name a --run, --predictions or --classes"
        )
    folder = videos if videos.is_dir() and videos not in paths.values() else videos.parent
    file = AnnotationFile(Path(annotations or folder / "annotations.json"))

    from ..annotator.server import serve
    from ..annotator.session import Session
    from ..annotator.suggest import Suggested, found_by_run, suggest

    def new_videos(rest: Sequence[Path]) -> DetectedVideos:
        return detect(
            rest, run, out=place_for(run or "", SUGGESTED), min_score=0.0, device=device,
            track=reading.track, assume_fps=reading.assume_fps,
        )  # fmt: skip

    found: Mapping[str, Sequence[Detection]] = {}
    if predictions:
        clock = HowToRead(clock_of(list(paths.values()), reading))
        given = load_detections(predictions, clock, unscored=1.0)
        refuse_problems(given.labels, predictions)
        found = given.videos
        if strange := [video_id for video_id in found if video_id not in paths]:
            logger.warning("%s: of no video here, and left out: %s", predictions, listed(strange))
    elif run:
        found = found_by_run(paths, run_folder(run), device=device, new_videos=new_videos)
    elif classes is not None:
        looked = first_look(list(paths.values()), classes=classes, device=device)
        found = {video_id: video.detections for video_id, video in looked.items()}
    point = load_operating_point(run_folder(run)) if run else None
    suggested = suggest(found, point, file.durations(list(paths))) if found else Suggested()
    if order == "useful":
        paths = {video_id: paths[video_id] for video_id in suggested.order(list(paths))}
    return serve(Session(paths, file, reading, suggested, order), port, on_open)


def convert(
    source: Pathlike,
    to: Pathlike,
    form: str | None = None,
    *,
    videos: Pathlike | None = None,
    min_score: float | None = None,
    as_labels: bool = False,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    tiers: Sequence[str] = (),
    **reading: Any,
) -> Converted:
    """Write labels or detections in another program's form, and say what that form cannot hold.

    Args:
        source: a file or folder of labels or detections, in any form of docs/labels.md.
        to: what to write; a folder where the form has a file for every video.
        form: its name; by the ending of `to` where not given.
        videos: their own clocks turn frames into seconds, and back.
        min_score: leave out detections that score less.
        as_labels: write detections as labels, without their scores.
        split, split_seed, label_fps: as for `extract`.
        tiers: of ELAN, to take; all where none is named.
        reading: `time_zero`, `track` and `assume_fps`, see `extract.settings.ExtractSettings`.
    Raises:
        InputError: `source` cannot be read, or `to` cannot hold it.

    Example:
        >>> tsatal.convert("project.boris", "labels.csv")  # doctest: +SKIP
    """
    asked = ExtractSettings(**reading).reading
    paths = find_videos(Path(videos), images=asked.assume_fps is not None) if videos else []
    how = HowToRead(clock_of(paths, asked, label_fps), tuple(tiers), split, split_seed)
    return convert_labels(
        Path(source), Path(to), form, how, min_score=min_score, as_labels=as_labels
    )


def clips(
    predictions: Pathlike,
    videos: Pathlike,
    out: Pathlike,
    *,
    pad: float = 0.0,
    min_score: float | None = None,
    top: int | None = None,
    label_fps: float | None = None,
    **reading: Any,
) -> Clips:
    """Cut a clip for every detection or label out of its video, with contact sheets and an index.

    Args:
        predictions: detections or labels in any form of docs/labels.md.
        videos: a video, a folder, or a `.txt` list of paths.
        out: a folder.
        pad: seconds to add before and after.
        min_score: leave out what scores less; by default, less than the thresholds in the file.
        top: cut the best so many of each class.
        label_fps: as for `extract`.
        reading: `time_zero`, `track` and `assume_fps`, see `extract.settings.ExtractSettings`.
    Raises:
        InputError: a file cannot be read, or no video is among those of `predictions`.

    Example:
        >>> tsatal.clips("found/predictions.json", "videos", "clips", top=20)  # doctest: +SKIP
    """
    asked = ExtractSettings(**reading).reading
    check_place(out, folder=True)
    paths = find_videos(Path(videos), images=asked.assume_fps is not None)
    ids, refused = assign_ids(paths)
    labels = read_labels(Path(predictions), HowToRead(clock_of(paths, asked, label_fps)))
    refuse_problems(labels, predictions)
    tell(labels, predictions)

    from ..reports.clips import choose_clips, labels_of_videos, write_clips

    there, missing = labels_of_videos(labels, ids)
    wanted = choose_clips(there, min_score=min_score, top=top)
    return write_clips(
        wanted, ids, Path(out), pad_sec=pad, reading=asked, refused=refused, missing=missing
    )
